"""torchvision, made importable with CPU builds of torch, and imported when it is first used, as that takes seconds.

For Linux, the wheel from PyPI is linked against CUDA. With a CPU build of torch its operators do not load, and its
import fails when it registers shape functions for two of them. Declaring these two is enough: models and transforms use
neither. Once this module is imported, ``import torchvision`` works, also in timm and in users' files.
"""

import importlib
import importlib.util
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from pathlib import Path
from typing import Any

import torch


def _operators_load() -> bool:
    """Load torchvision's operators as its import does; return whether that works."""
    package = importlib.util.find_spec("torchvision")
    folder = Path(str(package and package.origin)).parent
    library = FileFinder(str(folder), (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec("_C")
    try:
        torch.ops.load_library(str(library and library.origin))  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return True


if sys.platform == "linux" and torch.version.cuda is None and not _operators_load():
    _OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for _name in ("nms", "qnms"):
        _schema = f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        _OPERATORS.define(_schema)  # type: ignore[no-untyped-call]


def __getattr__(name: str) -> Any:
    if name == "torchvision":
        return importlib.import_module(name)
    raise AttributeError(name)
