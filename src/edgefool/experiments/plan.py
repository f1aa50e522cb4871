"""Plans: what to run, validated before anything runs."""

import os
import re
import tomllib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgefool.attacks import make_attack
from edgefool.datasets import DatasetEntry
from edgefool.errors import RunError, UsageError, unknown
from edgefool.metrics import PAPER_SQUEEZERS, SQUEEZERS
from edgefool.runs.cell import Constants, Size
from edgefool.storage import StorePath, local_path, parse_path
from edgefool.storage.fields import LocalPath
from edgefool.storage.paths import is_address

E = TypeVar("E", bound=BaseModel)

_CHECK = b"# check: "
_PATHS = ("path", "weights", "classes", "labels")  # keys whose values are files or folders


def _check_label(text: str) -> str:
    if not text.isprintable() or not re.search(r"\w", text):
        raise ValueError("a label needs a letter or a digit, and only printable characters")
    return text


Label = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_check_label)]


def _check_squeezer(name: str) -> str:
    if name not in SQUEEZERS:
        raise ValueError(str(unknown("squeezer", name, SQUEEZERS)))
    return name


def _absolute_factory(name: str) -> str:
    """Make the path of a factory in a user's file absolute, as other processes may run in other folders."""
    file, colon, function = name.rpartition(".py:")
    return f"{local_path(file)}{colon}{function}" if colon else name


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassifierEntry(_Entry):
    """A classifier: every method attacks it, and it is evaluated on images made for the others.

    Attributes
    ----------
    name : str
        A name in the catalogue, ``torchvision:NAME``, ``timm:NAME``, ``hf-hub:OWNER/MODEL``, ``clip:MODEL/TAG`` or
        ``path/to/file.py:factory`` (the file is run).
    label : str
        Name in tables; by default the classifier's own.
    weights, classes : path
        See `edgefool.load_classifier`.
    datasets : list of str
        Names of the datasets it is used with; by default all.
    """

    name: Annotated[str, AfterValidator(_absolute_factory)]
    label: Label | None = None
    weights: LocalPath | None = None
    classes: LocalPath | None = None
    datasets: tuple[str, ...] | None = None


class MethodEntry(_Entry):
    """An attack and its constants.

    Attributes
    ----------
    name : str
        Name of the attack.
    label : str
        Name in tables; by default that of the attack. Two entries of one attack need different labels.
    constants : dict
        Values of the attack's fields; the others keep their defaults.
    limit : int
        Maximum number of photos of each dataset; the first ones are used.
    """

    name: str
    label: Label = Field(default_factory=lambda data: data.get("name", ""))
    constants: Constants = {}
    limit: Annotated[int, Field(ge=1)] | None = None


class LpipsEntry(_Entry):
    """The backbone of LPIPS and the file of its weights; those of AlexNet can be downloaded."""

    backbone: Literal["alex", "squeeze", "vgg"] = "alex"
    weights: LocalPath | None = None


class Plan(_Entry):
    """What to run.

    Attributes
    ----------
    datasets, classifiers, methods
        Each method attacks each classifier on each of its datasets.
    size : int or "native"
        Side in pixels to which photos are resized; "native" keeps their size.
    seed : int
        Seed of all random numbers; the seed of an image is derived from it and the photo's bytes.
    squeezers : list of str
        Squeezers that detect adversarial images; by default those of Table 1 of the paper.
    false_positive_rate : float
        Maximum share of original images that each detector may flag.
    lpips
        Settings of LPIPS; None: LPIPS is not computed.
    max_megapixels : int or None
        Photos with more million pixels are refused; by default 100.
    """

    datasets: tuple[DatasetEntry, ...] = Field(min_length=1)
    classifiers: tuple[ClassifierEntry, ...] = Field(min_length=1)
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    size: Size = 224
    seed: int = 0
    squeezers: tuple[Annotated[str, AfterValidator(_check_squeezer)], ...] = PAPER_SQUEEZERS
    false_positive_rate: Annotated[float, Field(ge=0, lt=1)] = 0.05
    lpips: LpipsEntry | None = None
    max_megapixels: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [dataset.name for dataset in self.datasets]
        _check_unique("dataset", [name.casefold() for name in names])
        _check_unique("method", [method.label for method in self.methods])
        _check_unique("squeezer", self.squeezers)
        for entry in self.classifiers:
            for name in entry.datasets or ():
                if name not in names:
                    raise ValueError(str(unknown(f"dataset of classifier {entry.name}", name, names)))
        for method in self.methods:
            make_attack(method.name, method.constants)
        return self

    def to_toml(self) -> str:
        """Return the plan as TOML with absolute paths, in which ``?`` replaces what is not UTF-8.

        The first line is a comment with the CRC-32 of the others, by which `reread_plan` detects changes.
        """
        data = tomli_w.dumps(self.model_dump(mode="json", exclude_none=True)).encode(errors="replace")
        return (_check(data) + data).decode()


def read_plan(path: Path) -> Plan:
    """Read a plan from a TOML file.

    Paths in it are relative to its folder; ``~`` and ``$VARIABLES`` of the environment are expanded, also in addresses.

    Raises
    ------
    UsageError
        If the file cannot be read, or the plan is not valid; the message names the entry and its value.
    """
    settings, _ = _read(parse_path(path))
    try:
        settings = _resolve(settings, path.resolve().parent)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return make_plan(settings, str(path))


def reread_plan(path: StorePath) -> Plan:
    """Read a plan that `Plan.to_toml` wrote, whose paths are absolute.

    Raises
    ------
    UsageError
        As `read_plan`.
    RunError
        If the file was changed.
    """
    settings, data = _read(path)
    if data.startswith(_CHECK) and not data.startswith(_check(data.partition(b"\n")[2])):  # older plans have no check
        raise RunError(f"{path} is damaged; to repair it, repeat the command that made the run")
    return make_plan(settings, str(path))


def make_plan(settings: Mapping[str, object], source: str = "the plan") -> Plan:
    """Return the plan with these settings; raise `UsageError`, which begins with ``source``, if they are invalid."""
    return _validate(Plan, settings, source)


def make_classifier_entry(settings: Mapping[str, object]) -> ClassifierEntry:
    """Return the entry with these settings; raise `UsageError`, which begins with its name, if they are invalid."""
    return _validate(ClassifierEntry, settings, f"the classifier {settings.get('name')}")


def _validate(model: type[E], settings: Mapping[str, object], source: str) -> E:
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise UsageError(f"{source}: {_describe(error)}") from error


def _check(data: bytes) -> bytes:
    return _CHECK + b"%08x\n" % zlib.crc32(data)


def _read(path: StorePath) -> tuple[dict[str, Any], bytes]:
    try:
        data = path.read()
        return tomllib.loads(data.decode()), data
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"cannot read the plan {path}: {reason}") from error


def _check_unique(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{kind} {name!r} occurs twice")
        seen.add(name)


def _resolve(settings: Any, folder: Path, key: str = "") -> Any:
    """Return the settings with their paths made absolute; relative ones start from the folder."""
    if isinstance(settings, dict):
        return {name: _resolve(value, folder, name) for name, value in settings.items()}
    if isinstance(settings, list):
        return [_resolve(value, folder, key) for value in settings]
    is_path = key in _PATHS or (key == "name" and ".py:" in str(settings))  # or a factory in a user's file
    return _absolute(settings, folder) if is_path and isinstance(settings, str) else settings


def _absolute(text: str, folder: Path) -> str:
    expanded = os.path.expanduser(os.path.expandvars(text))
    if not expanded:
        raise UsageError(f"a path is empty: {text!r}")
    if left := re.search(r"\$\{?\w+\}?", expanded):
        raise UsageError(f"{text!r}: {left.group()} is not set in the environment")
    return expanded if is_address(expanded) else os.path.normpath(folder / expanded)


def _describe(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    given = f" = {value!r}" if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    text = f"{where}{given}: {message}{more}" if where else f"{message}{more}"
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
