"""EdgeFool: photos with sharper details that a classifier gets wrong.

>>> import edgefool
>>> classifier = edgefool.load_classifier("resnet18", weights="resnet18.safetensors")  # doctest: +SKIP
>>> result = edgefool.EdgeFool()(classifier, images)  # doctest: +SKIP
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgefool.attacks import (
        CW,
        NFGSM,
        PFGSM,
        AttackResult,
        DeepFool,
        EdgeFool,
        Enhance,
        SemanticAdv,
        SparseFool,
    )
    from edgefool.classifiers import Classifier, load_classifier
    from edgefool.images import read_image, resize_image
    from edgefool.runs import load_records

__all__ = [
    "CW",
    "NFGSM",
    "PFGSM",
    "AttackResult",
    "Classifier",
    "DeepFool",
    "EdgeFool",
    "Enhance",
    "SemanticAdv",
    "SparseFool",
    "load_classifier",
    "load_records",
    "read_image",
    "resize_image",
]

__version__ = version("edgefool")

# Resolved on first use, so that the command line answers `--help` without waiting for torch.
_HOMES = {
    "CW": "attacks",
    "NFGSM": "attacks",
    "PFGSM": "attacks",
    "AttackResult": "attacks",
    "Classifier": "classifiers",
    "DeepFool": "attacks",
    "EdgeFool": "attacks",
    "Enhance": "attacks",
    "SemanticAdv": "attacks",
    "SparseFool": "attacks",
    "load_classifier": "classifiers",
    "load_records": "runs",
    "read_image": "images",
    "resize_image": "images",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
