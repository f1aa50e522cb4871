"""What classifiers say about a photo and its result: the lines of a verification."""

from pydantic import BaseModel, ConfigDict

from edgefool.storage.keyed_log import Line

VERSIONS = {
    "file": "the file itself",
    "jpeg75": "after JPEG 75",
    "half": "at half size",
    "social": "after a social network",
}
"""What is judged, by the names of `edgefool.metrics.TRANSFORMATIONS` but for the file itself."""


class Said(BaseModel):
    """A classifier's decision.

    Attributes
    ----------
    index, name
        The class.
    probability
        Of it (Eq. 2).
    group
        Its semantic group; empty where the classes have no groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    name: str
    probability: float
    group: str = ""

    def leaves_group(self, after: "Said") -> bool:
        """Return whether another decision is outside the group of this one, which must have one."""
        return after.group != self.group


class Answers(BaseModel):
    """The decisions on the original, on the result, and on the original with nothing but its details enhanced.

    Attributes
    ----------
    before, after
        Of the original and the result, both transformed in the same way.
    alone
        Of the null method; None where the strength is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: Said
    after: Said
    alone: Said | None = None

    @property
    def changed(self) -> bool:
        """Whether the result has another class than the original."""
        return self.before.index != self.after.index

    @property
    def alone_changed(self) -> bool | None:
        """Whether enhancement alone gives another class."""
        return None if self.alone is None else self.before.index != self.alone.index

    @property
    def left_group(self) -> bool | None:
        """Whether the class of the result is outside the semantic group of the original's; None if this has none."""
        return self.before.leaves_group(self.after) if self.before.group else None

    @property
    def alone_left_group(self) -> bool | None:
        """The same of enhancement alone."""
        return self.before.leaves_group(self.alone) if self.before.group and self.alone else None


class Finding(BaseModel):
    """What a classifier says about one version of a photo.

    Attributes
    ----------
    classifier
        Its fingerprint.
    version
        One of `VERSIONS`.
    own
        What it says about images that its own preprocessing resized.
    pillow
        What it says about the original and the result where Pillow resizes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classifier: str
    version: str
    own: Answers
    pillow: Answers

    @property
    def resizers_disagree(self) -> bool:
        """Whether the original or the result has another class where Pillow resizes it."""
        return any(getattr(self.own, name).index != getattr(self.pillow, name).index for name in ("before", "after"))


class VerifiedPhoto(Line):
    """A photo that was judged, or could not be.

    Attributes
    ----------
    photo, result
        Paths in their folders.
    photo_sha256, result_sha256
        Of the files.
    photo_bytes, result_bytes
        Of the files; 0 in older lines.
    photo_size, result_size
        Width and height of what people see.
    strength, factor
        Of the result, as far as its maker said so: its strength, and by what it was weakened.
    null_method
        The strength of the null method; None if it is not known, then there is none.
    classifiers
        Fingerprints of those that judged.
    previews
        Name of the small pictures in the report; empty if there is an error.
    findings
        For each classifier and version.
    notes
        What is unusual.
    error
        Why it could not be judged.
    """

    photo: str
    result: str
    photo_sha256: str = ""
    result_sha256: str = ""
    photo_bytes: int = 0
    result_bytes: int = 0
    photo_size: tuple[int, int] = (0, 0)
    result_size: tuple[int, int] = (0, 0)
    strength: str | None = None
    factor: float = 1
    null_method: str | None = None
    classifiers: tuple[str, ...] = ()
    previews: str = ""
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def key(self) -> str:
        """The photo."""
        return self.photo

    def answers(self, wanted: "VerifiedPhoto") -> bool:
        """Return whether this is about the same files, strength and classifiers as a line without findings."""
        same = ("result", "photo_sha256", "result_sha256", "strength", "factor", "classifiers")
        return all(getattr(self, name) == getattr(wanted, name) for name in same)

    @property
    def resizers_disagree(self) -> bool:
        """Whether a classifier's decision depends on who resizes."""
        return any(finding.resizers_disagree for finding in self.findings)
