"""Classifiers: photos in [0, 1] to logits, by catalogue name or brought by the user.

Names are resolved on first use, so that listing the catalogue does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgefool.classifiers.catalogue import CATALOGUE, Entry
    from edgefool.classifiers.classifier import Classifier
    from edgefool.classifiers.loading import load_classifier
    from edgefool.classifiers.weights import read_state_dict

__all__ = ["CATALOGUE", "Classifier", "Entry", "load_classifier", "read_state_dict"]

_HOMES = {
    "CATALOGUE": "catalogue",
    "Classifier": "classifier",
    "Entry": "catalogue",
    "load_classifier": "loading",
    "read_state_dict": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
