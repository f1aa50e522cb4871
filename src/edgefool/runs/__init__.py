"""What was done: run folders, their cells and their records. Imported as needed: records as tables need pandas."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
