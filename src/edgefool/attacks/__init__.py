"""Attacks: one paper, one file."""

from edgefool.attacks.attack import Attack, AttackResult, Sample
from edgefool.attacks.edgefool import EdgeFool

METHODS: dict[str, type[Attack]] = {attack.name: attack for attack in (EdgeFool,)}

__all__ = ["METHODS", "Attack", "AttackResult", "EdgeFool", "Sample"]
