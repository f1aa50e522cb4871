"""The attacks by name, and their hyper-parameters to and from plain values."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import get_type_hints

from pydantic import ValidationError

from edgefool.attacks.attack import AbsentValue, Attack
from edgefool.attacks.cw import CW
from edgefool.attacks.deepfool import DeepFool
from edgefool.attacks.edgefool import EdgeFool
from edgefool.attacks.enhance import Enhance
from edgefool.attacks.nfgsm import NFGSM
from edgefool.attacks.pfgsm import PFGSM
from edgefool.attacks.robust_edgefool import RobustEdgeFool
from edgefool.attacks.semanticadv import SemanticAdv
from edgefool.attacks.sparsefool import SparseFool
from edgefool.errors import UsageError, check_known, unknown

_ATTACKS: tuple[type[Attack], ...] = (
    EdgeFool,
    RobustEdgeFool,
    NFGSM,
    PFGSM,
    DeepFool,
    SparseFool,
    CW,
    SemanticAdv,
    Enhance,
)
METHODS = {attack.name: attack for attack in _ATTACKS}

FACTORIES: dict[str, Callable[[str, Mapping[str, object]], Attack]] = {}
"""What makes attacks called ``PREFIX:NAME``, by prefix; filled by `edgefool.adapters`."""


def make_attack(method: str, constants: Mapping[str, object]) -> Attack:
    """Return the attack with these hyper-parameters, the others at their defaults; strings are converted.

    Raises
    ------
    UsageError
        If the method or a field does not exist, or a value is out of range; the message gives similar names or the
        range. Methods of other libraries (``PREFIX:NAME``) are made without the library; `Attack.check` looks them up.

    Examples
    --------
    >>> make_attack("edgefool", {"alpha": "5"}).alpha
    5.0
    """
    prefix, colon, _ = method.partition(":")
    if colon and prefix in FACTORIES:
        return FACTORIES[prefix](method, constants)
    if method not in METHODS:
        raise unknown("method", method, [*METHODS, *(f"{prefix}:NAME" for prefix in FACTORIES)])
    attack = METHODS[method]
    names = [field.name for field in fields(attack)]
    for name in constants:
        check_known(f"field of {method}", name, names)
    try:
        return attack(**constants)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(f"{method}: {first['loc'][0]}={first['input']}: {message}") from error


def settings(attack: Attack) -> dict[str, bool | int | float | str]:
    """Return the hyper-parameters of an attack, except those that equal their `AbsentValue`."""
    absent = _absent_values(type(attack))
    values = attack.hyperparameters().items()
    return {name: value for name, value in values if name not in absent or value != absent[name]}


def attack_from_settings(name: str, settings: Mapping[str, object]) -> Attack:
    """Return the attack with these `settings`; a missing field gets its `AbsentValue`, not its current default.

    Raises
    ------
    UsageError
        As `make_attack` does.
    """
    absent = _absent_values(METHODS[name]) if name in METHODS else {}
    return make_attack(name, absent | dict(settings))


@cache
def _absent_values(attack: type[Attack]) -> dict[str, object]:
    hints = get_type_hints(attack, include_extras=True)
    return {
        field.name: marker.value
        for field in fields(attack)
        for marker in getattr(hints[field.name], "__metadata__", ())
        if isinstance(marker, AbsentValue)
    }
