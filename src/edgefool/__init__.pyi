from .attacks import (
    CW,
    NFGSM,
    PFGSM,
    AttackResult,
    DeepFool,
    EdgeFool,
    Enhance,
    FromLabels,
    Misclassification,
    RobustEdgeFool,
    SemanticAdv,
    SparseFool,
    Targeted,
)
from .classifiers import Classifier, Ensemble, load_classifier
from .images import read_image, resize_image
from .protection import Protector, protect, verify
from .runs import load_records

__version__: str

__all__ = [
    "CW",
    "NFGSM",
    "PFGSM",
    "AttackResult",
    "Classifier",
    "DeepFool",
    "EdgeFool",
    "Enhance",
    "Ensemble",
    "FromLabels",
    "Misclassification",
    "Protector",
    "RobustEdgeFool",
    "SemanticAdv",
    "SparseFool",
    "Targeted",
    "__version__",
    "load_classifier",
    "load_records",
    "protect",
    "read_image",
    "resize_image",
    "verify",
]
