"""The lines of a run's files: its cells, photos and sessions, and what happened to each image."""

import hashlib
import os
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edgefool.runs.cell import Cell
from edgefool.storage import Stat, StorePath
from edgefool.storage.keyed_log import Line

ImageKind = Literal["originals", "images", "failures", "structure", "mask"]
"""Folders of a run: originals as attacked, successful and failed adversarial images, smooth structures I_s, masks."""


def _check_inside(text: str) -> str:
    """Refuse a name that would lead out of the run folder, as anybody may have written the line."""
    inside = f"/{text}/"  # searched for each name of each line, so without splitting it
    if "//" in inside or "/./" in inside or "/../" in inside or "\\" in text or "\0" in text:
        raise ValueError("not a plain name")
    return text


Name = Annotated[str, AfterValidator(_check_inside)]


class CellLine(Line):
    """A cell of the run.

    Attributes
    ----------
    folder : str
        DATASET/METHOD/CLASSIFIER, the folder of its images and its name in records.
    cell : Cell
        Its settings.
    limit : int or None
        How many photos of the dataset the plan wants in it; all by default.
    """

    folder: Name
    cell: Cell
    limit: int | None = None

    @property
    def key(self) -> str:
        """The cell; a later line may bring new labels or another limit."""
        return self.cell.id


class Selection(Line):
    """The images of a dataset that are in the current plan, in order; tables leave out all others."""

    dataset: Name
    images: tuple[Name, ...]

    @property
    def key(self) -> str:
        """The dataset."""
        return self.dataset


class MemberDecisions(BaseModel):
    """What a member of an ensemble says about an image; see `Record`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classifier: str
    original_class: int
    original_name: str
    original_probability: float
    adversarial_class: int
    adversarial_name: str
    adversarial_probability: float
    target_class: int | None = None


class Record(Line):
    """What happened to one image. Fields are None where the image could not be attacked (``error`` says why).

    Attributes
    ----------
    cell : str
        DATASET/METHOD/CLASSIFIER, the folder of the cell's images.
    dataset, image : str
        The dataset, and the name of the image's files in the run, without suffix.
    source, sha256 : str
        The photo's path relative to the dataset's folder (version 0.1.0 wrote absolute paths), and the SHA-256 of its
        bytes.
    label : int
        The photo's ground-truth class, where it is known.
    method, classifier : str
        The attack and the classifier.
    original_png, png, structure_png : str
        SHA-256 of the PNGs of the original as attacked, of the adversarial image and of I_s, where there is one.
    width, height : int
        Of the attacked image, pixels.
    seed : int
        The image's own.
    original_class, original_name, original_probability
        The classifier's decision on the original, the name of the class, and its probability (Eqs. 2 and 3). None for
        an ensemble, as are the next three; see ``members``.
    adversarial_class, adversarial_name, adversarial_probability
        The same for the adversarial image as re-read from its 8-bit PNG; of the last one tried where none succeeded.
    success : bool
        The criterion is met (of an ensemble, by every member): by default, the two classes differ (Eq. 1). The PNG is
        then in ``images``, else in ``failures``.
    success_float : bool
        It is met before rounding to 8 bits.
    converged : bool
        The attack met its own stopping rule, and the saved file succeeds.
    lost_gradient : bool
        A gradient was zero or not finite; see `edgefool.attacks.AttackResult`.
    iterations, forward_passes, backward_passes : int
        Spent on the image.
    seconds : float
        The image's share of the wall time.
    smoothing_loss : float
        L_s (Eq. 6) of the image kept; EdgeFool only.
    psnr, ssim : float
        In records of version 0.1.0 only; see `Quality`.
    criterion : "labels", "targeted" or None
        Success is another class than ``label``, or ``target_class``; None: another than ``original_class``.
    target_class : int
        The target; for an ensemble see ``members``.
    success_before : bool
        The original meets the criterion: its class is wrong, or the target.
    members : tuple of MemberDecisions
        The decisions of the members of an ensemble; None for a single classifier.
    mask_png : str
        SHA-256 of the grey PNG of the mask that says where the photo hides a change, scaled to its maximum.
    error : str
        The reason why there is no result.
    """

    cell: Name
    dataset: Name
    image: Name
    source: str
    sha256: str | None = None
    label: int | None = None
    method: str
    classifier: str
    original_png: str | None = None
    png: str | None = None
    structure_png: str | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    original_class: int | None = None
    original_name: str | None = None
    original_probability: float | None = None
    adversarial_class: int | None = None
    adversarial_name: str | None = None
    adversarial_probability: float | None = None
    success: bool = False
    success_float: bool = False
    converged: bool = False
    lost_gradient: bool = False
    iterations: int | None = None
    forward_passes: int | None = None
    backward_passes: int | None = None
    seconds: float | None = None
    smoothing_loss: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    error: str | None = None
    criterion: Literal["labels", "targeted"] | None = None
    target_class: int | None = None
    success_before: bool = False
    members: tuple[MemberDecisions, ...] | None = None
    mask_png: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The cell and the image."""
        return self.cell, self.image

    @property
    def kind(self) -> ImageKind:
        """The folder of the adversarial image."""
        return "images" if self.success else "failures"

    def decisions(self, image: Literal["original", "adversarial"]) -> list[tuple[str | None, float | None]]:
        """Return the name and the probability of the class of one of the two images, by each member of an ensemble."""
        return [(getattr(m, f"{image}_name"), getattr(m, f"{image}_probability")) for m in self.members or [self]]

    def files(self) -> dict[ImageKind, str]:
        """Return the SHA-256 of each PNG of the image, by its kind."""
        hashes: dict[ImageKind, str | None] = {
            "originals": self.original_png,
            self.kind: self.png,
            "structure": self.structure_png,
            "mask": self.mask_png,
        }
        return {kind: sha for kind, sha in hashes.items() if sha}


class Session(Line):
    """One process that worked on the run: its command, start, platform and package versions.

    ``weights`` has, by fingerprint, name, tag and licence of the classifiers whose publishers state them; older lines
    have none.
    """

    command: str
    date: str
    python: str
    platform: str
    versions: dict[str, str]
    weights: dict[str, dict[str, str]] = Field(default_factory=dict)
    id: str = Field(default_factory=lambda: uuid4().hex)

    @property
    def key(self) -> str:
        """A random identifier, as the clock may have been set back."""
        return self.id


class FileStamp(Line):
    """A file whose hash is known: a PNG of the run, or a photo. It is not read again until its size or version changes.

    ``path`` is relative to the run; of a photo it is ``sources/`` and the SHA-256 of its path.
    """

    path: Name
    size: int
    version: str
    sha256: str

    @property
    def key(self) -> str:
        """The path."""
        return self.path

    def fits(self, stat: Stat) -> bool:
        """Return whether the file is as it was when it was hashed."""
        return bool(stat.version) and (self.size, self.version) == (stat.size, stat.version)


def source_text(path: StorePath | str) -> str:
    r"""Return a path as records hold it: bytes that are not UTF-8 become ``\xff``."""
    return os.fsencode(str(path)).decode(errors="backslashreplace")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
