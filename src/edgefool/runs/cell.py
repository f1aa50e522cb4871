"""A cell: one attack on one dataset and one classifier, the unit in which work is planned, done and compared."""

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgefool.attacks import Criterion, FromLabels, Targeted
from edgefool.attacks.criteria import BY_DEFAULT
from edgefool.errors import ImageError
from edgefool.images import MAX_SIDE, MIN_SIDE

Size = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)] | Literal["native"]
Constants = dict[str, bool | int | float | str]


class CellMember(BaseModel):
    """A member of an attacked ensemble: its name in tables, its SHA-256, and its number of classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classifier: str
    fingerprint: str
    num_classes: int


class Cell(BaseModel):
    """All settings that determine the results of a cell, apart from the photos, and its labels.

    Attributes
    ----------
    dataset : str
        Name of the dataset.
    method : str
        Name of the attack.
    constants : dict
        Every field of the attack, including defaults.
    fingerprint : str
        The SHA-256 of the classifier or the ensemble.
    size : int or "native"
        Side in pixels that photos are resized to, or their own size.
    seed : int
        The run's seed; an image's own is derived from it and the photo's bytes.
    label, classifier : str
        Labels of the attack and the classifier, which do not affect results.
    num_classes : int
        The classifier's number of classes; of an ensemble, its members' if all have the same, else 0.
    criterion : "labels", "targeted" or None
        When the attack succeeds; None: by another class than the classifier's own decision.
    targets : tuple of int
        The target class for each member of the ensemble, or for the one classifier.
    groups : str or None
        The SHA-256 of the classes' semantic groups, if the attack aims at another one.
    members : tuple of CellMember
        The members of the ensemble; empty for a single classifier.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    dataset: str
    method: str
    constants: Constants
    fingerprint: str
    size: Size
    seed: int
    label: str
    classifier: str
    num_classes: int
    criterion: Literal["labels", "targeted"] | None = None
    targets: tuple[int, ...] = ()
    groups: str | None = None
    members: tuple[CellMember, ...] = ()

    @cached_property
    def id(self) -> str:
        """SHA-256 of the settings; cells with other settings are other cells."""
        return hashlib.sha256(json.dumps(self._settings(), sort_keys=True).encode()).hexdigest()

    def criterion_for(self, label: int | None) -> Criterion:
        """Return the criterion of a photo with this label; raise `ImageError` if it needs one that is unknown."""
        if self.criterion == "labels":
            if label is None:
                raise ImageError("it has no label to judge the attack's success by")
            return FromLabels(label)
        return Targeted([self.targets]) if self.criterion == "targeted" else BY_DEFAULT

    def differences(self, other: "Cell") -> list[str]:
        """Return a line for each setting in which ``other`` differs: name, its value here, its value there."""
        mine, theirs = self._settings(), other._settings()
        mine, theirs = mine | mine.pop("constants"), theirs | theirs.pop("constants")
        return [
            f"{key}: {mine.get(key, 'not set')} there, {theirs.get(key, 'not set')} now"
            for key in dict.fromkeys([*mine, *theirs])
            if mine.get(key) != theirs.get(key)
        ]

    def _settings(self) -> dict[str, Any]:
        settings = self.model_dump(exclude={"label", "classifier", "num_classes", "members"})
        # Cells of version 0.1.0 had no criterion and no groups.
        return {key: value for key, value in settings.items() if value or key not in ("criterion", "targets", "groups")}
