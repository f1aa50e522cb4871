from .catalogue import CLASSIFIERS, ClassifierInfo
from .checkpoints import read_state_dict
from .classifier import Classifier
from .downloads import cache_folder, fetch
from .ensemble import Ensemble, SafeEnsemble, member_logits
from .loading import load_classifier
from .preprocessing import Preprocessing
from .safe_classifier import SafeClassifier

__all__ = [
    "CLASSIFIERS",
    "Classifier",
    "ClassifierInfo",
    "Ensemble",
    "Preprocessing",
    "SafeClassifier",
    "SafeEnsemble",
    "cache_folder",
    "fetch",
    "load_classifier",
    "member_logits",
    "read_state_dict",
]
