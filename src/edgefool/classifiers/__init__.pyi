from .catalogue import CLASSIFIERS, ClassifierInfo
from .checkpoints import read_state_dict
from .classifier import Classifier
from .downloads import cache_folder, fetch
from .ensemble import Ensemble, SafeEnsemble, Victim, member_logits, members_of
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
    "Victim",
    "cache_folder",
    "fetch",
    "load_classifier",
    "member_logits",
    "members_of",
    "read_state_dict",
]
