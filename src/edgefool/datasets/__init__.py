"""Sources of photos: datasets by name, or files, folders and patterns."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
