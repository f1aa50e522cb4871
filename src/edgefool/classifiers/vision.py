"""torchvision, made importable with CPU builds of torch.

The wheel from PyPI is linked against CUDA. With a CPU build of torch its operators do not load, and its import fails
when it registers shape functions for two of them. Declaring these two is enough: models and transforms use neither.
"""

import sys

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    _OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for _name in ("nms", "qnms"):
        _schema = f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        _OPERATORS.define(_schema)  # type: ignore[no-untyped-call]
    for _module in [module for module in sys.modules.copy() if module.split(".")[0] == "torchvision"]:
        del sys.modules[_module]  # partly imported
    import torchvision

__all__ = ["torchvision"]
