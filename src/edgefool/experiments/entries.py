"""The entries of a plan: classifiers, ensembles, methods, and LPIPS."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from edgefool.runs.cell import Constants
from edgefool.storage import local_path
from edgefool.storage.fields import LocalPath


def _check_label(text: str) -> str:
    if not text.isprintable() or not re.search(r"\w", text):
        raise ValueError("a label needs a letter or a digit, and only printable characters")
    return text


Label = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_check_label)]


def _absolute_factory(name: str) -> str:
    """Make the path of a factory in a user's file absolute, as other processes may run in other folders."""
    file, colon, function = name.rpartition(".py:")
    return f"{local_path(file)}{colon}{function}" if colon else name


class StrictEntry(BaseModel):
    """A part of a plan, in which unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassifierEntry(StrictEntry):
    """A classifier: every method attacks it unless it is a judge, and it is evaluated on images made for the others.

    Attributes
    ----------
    name : str
        A name in the catalogue, ``torchvision:NAME``, ``timm:NAME``, ``hf-hub:OWNER/MODEL``, ``clip:MODEL/TAG`` or
        ``path/to/file.py:factory`` (the file is run).
    label : str
        Name in tables; by default the classifier's own.
    weights, classes : path
        See `edgefool.load_classifier`.
    groups : path
        CSV file with semantic groups of the classes; see `edgefool.classifiers.read_groups`.
    datasets : list of str
        Names of the datasets it is used with; by default all.
    role : "judge" or None
        A judge is not attacked by itself, but it may be a member of ensembles.
    """

    name: Annotated[str, AfterValidator(_absolute_factory)]
    label: Label | None = None
    weights: LocalPath | None = None
    classes: LocalPath | None = None
    groups: LocalPath | None = None
    datasets: tuple[str, ...] | None = None
    role: Literal["judge"] | None = None

    @property
    def title(self) -> str:
        """Its name in tables, by which ensembles name it."""
        return self.label or self.name.rpartition(":")[2]


class EnsembleEntry(StrictEntry):
    """Classifiers that every method attacks together.

    Attributes
    ----------
    label : str
        Name in tables.
    members : list of str
        The labels of other entries, or their names where they have no label.
    datasets : list of str
        Names of the datasets it is used with; by default those of all its members.
    """

    label: Label
    members: tuple[str, ...] = Field(min_length=2)
    datasets: tuple[str, ...] | None = None

    @property
    def title(self) -> str:
        """Its name in tables."""
        return self.label


def _is_ensemble(entry: object) -> str:
    return "ensemble" if isinstance(entry, EnsembleEntry) or (isinstance(entry, dict) and "members" in entry) else "one"


Entry = Annotated[
    Annotated[ClassifierEntry, Tag("one")] | Annotated[EnsembleEntry, Tag("ensemble")], Discriminator(_is_ensemble)
]


class MethodEntry(StrictEntry):
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
    classifiers : list of str
        What it attacks: labels of classifiers and ensembles, or names where they have no label; by default all.
    criterion : "misclassification" or "labels"
        Success is another class than the classifier's own decision on the photo, or than its label.
    target : int or str
        Success is this class, by index or name. Only for attacks that can be targeted.
    """

    name: str
    label: Label = Field(default_factory=lambda data: data.get("name", ""))
    constants: Constants = {}
    limit: Annotated[int, Field(ge=1)] | None = None
    classifiers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    criterion: Literal["misclassification", "labels"] = "misclassification"
    target: Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.target is not None and self.criterion == "labels":
            raise ValueError("target and criterion = 'labels' are mutually exclusive")
        return self


class LpipsEntry(StrictEntry):
    """The backbone of LPIPS and the file of its weights; those of AlexNet can be downloaded."""

    backbone: Literal["alex", "squeeze", "vgg"] = "alex"
    weights: LocalPath | None = None
