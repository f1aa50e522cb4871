"""Classifiers: images in [0, 1] to logits, by name or from your own file.

The names are in the stub file and load on first use, so that listing classifiers does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
