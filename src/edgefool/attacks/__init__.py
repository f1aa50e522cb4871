"""Attacks: one paper, one file."""

from edgefool.attacks.attack import AttackResult, IterativeAttack, Sample
from edgefool.attacks.edgefool import EdgeFool

METHODS: dict[str, type[EdgeFool]] = {attack.name: attack for attack in (EdgeFool,)}

__all__ = ["METHODS", "AttackResult", "EdgeFool", "IterativeAttack", "Sample"]
