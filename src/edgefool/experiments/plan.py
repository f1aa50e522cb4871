"""Plans: what to run, validated before anything runs."""

import json
import os
import re
import tomllib
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import tomli_w
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from edgefool.attacks import make_attack
from edgefool.attacks.criteria import check_support
from edgefool.datasets import DatasetEntry
from edgefool.datasets.huggingface import is_hub_name
from edgefool.errors import RunError, UsageError, check_known, reason_of, unknown
from edgefool.experiments.entries import ClassifierEntry, EnsembleEntry, Entry, LpipsEntry, MethodEntry, StrictEntry
from edgefool.metrics import PAPER_SQUEEZERS, SQUEEZERS, check_transformation
from edgefool.runs.cell import Size
from edgefool.storage import StorePath, parse_path
from edgefool.storage.paths import is_address

E = TypeVar("E", bound=BaseModel)
C = TypeVar("C", ClassifierEntry, ClassifierEntry | EnsembleEntry)

_CHECK = b"# check: "
_PATHS = ("path", "weights", "classes", "groups", "labels")  # keys whose values are files or folders

Squeezer = Annotated[str, AfterValidator(partial(check_known, "squeezer", known=SQUEEZERS))]


class Plan(StrictEntry):
    """What to run.

    Attributes
    ----------
    datasets, classifiers, methods
        Each method attacks each classifier, or those that it names, on each of its datasets.
    size : int or "native"
        Side in pixels to which photos are resized; "native" keeps their size.
    seed : int
        Seed of all random numbers; the seed of an image is derived from it and the photo's bytes.
    squeezers : list of str
        Squeezers that detect adversarial images; by default those of Table 1 of the paper.
    robustness : list of str
        Transformations after which all classifiers classify originals and adversarial images; by default none.
    false_positive_rate : float
        Maximum share of original images that each detector may flag.
    lpips
        Settings of LPIPS; None: LPIPS is not computed.
    max_megapixels : int or None
        Photos with more million pixels are refused; by default 100.
    """

    datasets: tuple[DatasetEntry, ...] = Field(min_length=1)
    classifiers: tuple[Entry, ...] = Field(min_length=1)
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    size: Size = 224
    seed: int = 0
    squeezers: tuple[Squeezer, ...] = PAPER_SQUEEZERS
    robustness: tuple[Annotated[str, AfterValidator(check_transformation)], ...] = ()
    false_positive_rate: Annotated[float, Field(ge=0, lt=1)] = 0.05
    lpips: LpipsEntry | None = None
    max_megapixels: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [dataset.name for dataset in self.datasets]
        _check_unique("dataset", [name.casefold() for name in names])
        _check_unique("method", [method.label for method in self.methods])
        _check_unique("squeezer", self.squeezers)
        _check_unique("transformation", self.robustness)
        for entry in self.classifiers:
            for name in entry.datasets or ():
                check_known(f"dataset of classifier {entry.title}", name, names)
        for ensemble in self.ensembles:
            self.members(ensemble)
        for method in self.methods:
            self._check_method(method)
        return self

    def _check_method(self, method: MethodEntry) -> None:
        attack, attacked = make_attack(method.name, method.constants), self.attacked(method)
        ensembles = [entry for entry in attacked if isinstance(entry, EnsembleEntry)]
        try:
            check_support(attack, ensemble=bool(ensembles), targeted=method.target is not None)
        except UsageError as error:
            single = [entry.title for entry in attacked if entry not in ensembles]
            if not ensembles or not single:
                raise
            raise UsageError(
                f"{error}; name what it attacks in its entry: classifiers = {json.dumps(single)}"
            ) from error

    @property
    def networks(self) -> list[ClassifierEntry]:
        """The classifiers that are no ensembles."""
        return [entry for entry in self.classifiers if isinstance(entry, ClassifierEntry)]

    @property
    def ensembles(self) -> list[EnsembleEntry]:
        """The ensembles."""
        return [entry for entry in self.classifiers if isinstance(entry, EnsembleEntry)]

    def members(self, ensemble: EnsembleEntry) -> list[ClassifierEntry]:
        """Return the entries of an ensemble's members; raise `UsageError` if one is unknown or occurs twice."""
        return _choose(f"member of the ensemble {ensemble.label}", ensemble.members, self.networks)

    def attacked(self, method: MethodEntry) -> list[ClassifierEntry | EnsembleEntry]:
        """Return the entries that a method attacks; raise `UsageError` if one is unknown, a judge, or occurs twice."""
        victims = [entry for entry in self.classifiers if isinstance(entry, EnsembleEntry) or entry.role is None]
        if method.classifiers is None:
            return victims
        kind = f"classifier of the method {method.label}"
        for entry in (chosen := _choose(kind, method.classifiers, self.classifiers)):
            if entry not in victims:
                raise UsageError(f"the method {method.label} names {entry.title}, a judge, which is not attacked")
        return [entry for entry in victims if entry in chosen]

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
        raise UsageError(f"cannot read the plan {path}: {reason_of(error)}") from error


def _choose(kind: str, names: Sequence[str], entries: Sequence[C]) -> list[C]:
    """Return the entries with these labels or names; raise `UsageError` if one is unknown or occurs twice."""
    found: list[C] = []
    for name in names:
        fitting = [entry for entry in entries if name in (entry.title, getattr(entry, "name", None))]
        if not fitting:
            raise unknown(kind, name, [entry.title for entry in entries])
        if len(fitting) > 1:
            raise UsageError(f"two classifiers are called {name}; give them labels")
        found += fitting
    if len(set(found)) < len(found):
        raise UsageError(f"a {kind} occurs twice")
    return found


def _check_unique(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{kind} {name!r} occurs twice")
        seen.add(name)


def _resolve(settings: Any, folder: Path, key: str = "") -> Any:
    """Return the settings with their paths made absolute; relative ones start from the folder."""
    if isinstance(settings, dict):
        on_hub = settings.get("kind") == "huggingface" and is_hub_name(settings.get("path"), folder)
        return {
            name: value if on_hub and name == "path" else _resolve(value, folder, name)
            for name, value in settings.items()
        }
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
    where = ".".join(str(part) for part in first["loc"] if part not in ("one", "ensemble"))  # tags of `Entry`
    message = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    given = f" = {value!r}" if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    text = f"{where}{given}: {message}{more}" if where else f"{message}{more}"
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
