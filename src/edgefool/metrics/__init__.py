"""Metrics: pure functions over tensors or records.

The names are in the stub beside this file and load on first use, as kornia and SciPy import slowly.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
