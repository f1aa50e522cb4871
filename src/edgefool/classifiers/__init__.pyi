from .catalogue import CLASSIFIERS, ClassifierInfo
from .checkpoints import read_state_dict
from .classifier import Classifier
from .downloads import cache_folder, fetch
from .ensemble import Ensemble, SafeEnsemble, Victim, member_logits, members_of
from .loading import load_classifier
from .preprocessing import Preprocessing
from .safe_classifier import SafeClassifier
from .semantic_groups import SemanticGroups, groups_of, imagenet_groups, read_groups

__all__ = [
    "CLASSIFIERS",
    "Classifier",
    "ClassifierInfo",
    "Ensemble",
    "Preprocessing",
    "SafeClassifier",
    "SafeEnsemble",
    "SemanticGroups",
    "Victim",
    "cache_folder",
    "fetch",
    "groups_of",
    "imagenet_groups",
    "load_classifier",
    "member_logits",
    "members_of",
    "read_groups",
    "read_state_dict",
]
