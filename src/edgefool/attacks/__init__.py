"""Attacks: one paper, one file."""

from edgefool.attacks.active_batch import ActiveBatch, Sample
from edgefool.attacks.attack import AbsentValue, Attack
from edgefool.attacks.criteria import Criterion, FromLabels, Misclassification, Targeted
from edgefool.attacks.cw import CW
from edgefool.attacks.deepfool import DeepFool
from edgefool.attacks.edgefool import EdgeFool
from edgefool.attacks.enhance import Enhance
from edgefool.attacks.nfgsm import NFGSM
from edgefool.attacks.pfgsm import PFGSM
from edgefool.attacks.registry import METHODS, attack_from_settings, make_attack, settings
from edgefool.attacks.result import AttackResult
from edgefool.attacks.robust_edgefool import RobustEdgeFool
from edgefool.attacks.semanticadv import SemanticAdv
from edgefool.attacks.sparsefool import SparseFool

__all__ = [
    "CW",
    "METHODS",
    "NFGSM",
    "PFGSM",
    "AbsentValue",
    "ActiveBatch",
    "Attack",
    "AttackResult",
    "Criterion",
    "DeepFool",
    "EdgeFool",
    "Enhance",
    "FromLabels",
    "Misclassification",
    "RobustEdgeFool",
    "Sample",
    "SemanticAdv",
    "SparseFool",
    "Targeted",
    "attack_from_settings",
    "make_attack",
    "settings",
]
