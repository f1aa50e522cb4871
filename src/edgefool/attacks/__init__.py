"""Attacks: one paper, one file."""

from edgefool.attacks.attack import Attack, AttackResult, Sample
from edgefool.attacks.cw import CW
from edgefool.attacks.deepfool import DeepFool
from edgefool.attacks.edgefool import EdgeFool
from edgefool.attacks.enhance import Enhance
from edgefool.attacks.nfgsm import NFGSM
from edgefool.attacks.pfgsm import PFGSM
from edgefool.attacks.semanticadv import SemanticAdv
from edgefool.attacks.sparsefool import SparseFool

_ATTACKS: tuple[type[Attack], ...] = (EdgeFool, NFGSM, PFGSM, DeepFool, SparseFool, CW, SemanticAdv, Enhance)
METHODS = {attack.name: attack for attack in _ATTACKS}

__all__ = [
    "CW",
    "METHODS",
    "NFGSM",
    "PFGSM",
    "Attack",
    "AttackResult",
    "DeepFool",
    "EdgeFool",
    "Enhance",
    "Sample",
    "SemanticAdv",
    "SparseFool",
]
