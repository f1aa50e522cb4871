"""What to run, validated before anything runs."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edgefool.attacks import METHODS, Attack
from edgefool.errors import RunError, UsageError, unknown
from edgefool.images import MAX_PIXELS, MIN_SIDE

MAX_SIDE = math.isqrt(MAX_PIXELS)
Size = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)] | Literal["native"]


class Plan(BaseModel):
    """All that decides the results of a run, apart from the photos.

    Attributes
    ----------
    method : str
        Name of the attack.
    constants : dict
        Every field of the attack, also those left at their defaults.
    classifier : str
        The classifier's name.
    fingerprint : str
        The classifier's SHA-256.
    size : int or "native"
        Side in pixels that photos are resized to, or their own size.
    seed : int
        The run's seed; an image's own is derived from it and the image's bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    constants: dict[str, bool | int | float | str]
    classifier: str
    fingerprint: str
    size: Size
    seed: int

    def to_toml(self) -> str:
        """Return the plan as TOML."""
        return tomli_w.dumps(self.model_dump())

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read a plan that `to_toml` wrote; raise `RunError` if it is damaged."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise RunError(f"the plan {path} is damaged: {name}: {first['msg']}") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RunError(f"cannot read the plan {path}: {error}") from error

    def differences(self, other: "Plan") -> list[str]:
        """Return a line for each setting in which ``other`` differs: name, its value here, its value there."""
        mine, theirs = _flat(self.model_dump()), _flat(other.model_dump())
        return [
            f"{key}: {mine.get(key)} there, {theirs.get(key)} now"
            for key in dict.fromkeys([*mine, *theirs])
            if mine.get(key) != theirs.get(key)
        ]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "constants"} | dict(settings["constants"])


def make_attack(method: str, constants: Mapping[str, object]) -> Attack:
    """Return the attack with these constants; strings are converted (``--set alpha=5``).

    Raises
    ------
    UsageError
        If the method or a field does not exist, or a value is out of range; the message gives the nearest names or
        the range.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    attack = METHODS[method]
    names = [field.name for field in fields(attack)]
    for name in constants:
        if name not in names:
            raise unknown(f"field of {method}", name, names)
    try:
        return TypeAdapter(attack).validate_python(dict(constants))
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(f"{method}: {first['loc'][0]}={first['input']}: {message}") from error
