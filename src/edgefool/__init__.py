"""EdgeFool: photos with sharper details that a classifier gets wrong.

The names are in the stub beside this file and load on first use, so that ``edgefool --help`` does not import torch.

>>> import edgefool
>>> classifier = edgefool.load_classifier("resnet18", weights="resnet18.safetensors")  # doctest: +SKIP
>>> result = edgefool.EdgeFool()(classifier, images)  # doctest: +SKIP
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("edgefool")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
