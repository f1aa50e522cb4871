"""Metrics: pure functions over tensors or records.

The names are in the stub file and load on first use, as kornia and SciPy are slow to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
