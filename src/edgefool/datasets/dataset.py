"""The base class of datasets: settings that find photos and their labels."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from edgefool.datasets.photo import NO_NAMES, KnownNames, Photo, PhotoFile, name_photos
from edgefool.errors import UsageError, reason_of
from edgefool.storage import StorePath

DATA = Path(__file__).parent / "data"
"""Folder of the lists of classes, images and labels that come with the package."""


class DatasetInfo(NamedTuple):
    """Description of a kind of dataset.

    Attributes
    ----------
    kind : str
        Its name in an entry ``[[datasets]]`` of a plan.
    needs, takes : tuple of str
        The other fields of such an entry, required and optional.
    images, classes : int or None
        Their numbers; None: they depend on the user's files.
    source : str
        Where to get the images.
    licence : str
        Terms of the images.
    about : str
        One line.
    """

    kind: str
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    images: int | None
    classes: int | None
    source: str
    licence: str
    about: str


class Dataset(BaseModel, ABC):
    """A dataset as an entry of a plan; only `find` looks for the photos.

    Attributes
    ----------
    kind : str
        Name of the subclass; see `edgefool.datasets.DATASETS`.
    name : str
        Name in tables and folders: up to 60 letters, digits and ``._-``; the kind by default.
    limit : int or None
        Maximum number of photos; the first ones are used.
    num_classes : int or None
        Number of classes of the labels; None: the photos have no labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")] = Field(
        default_factory=lambda data: data.get("kind", ""), validate_default=True
    )
    limit: Annotated[int, Field(ge=1)] | None = None

    if TYPE_CHECKING:  # pydantic would take it for the default of the field of `Folder`

        @property
        @abstractmethod
        def num_classes(self) -> int | None:
            """Return the number of classes of the labels."""

    images: ClassVar[int | None] = None
    source: ClassVar[str]
    licence: ClassVar[str]
    about: ClassVar[str]

    @classmethod
    def info(cls) -> DatasetInfo:
        """Return the description of this kind of dataset."""
        own = [name for name in cls.model_fields if name not in Dataset.model_fields]
        needs = tuple(name for name in own if cls.model_fields[name].is_required())
        takes = (*(name for name in own if name not in needs), "name", "limit")
        classes = getattr(cls, "num_classes", None)
        kind = cls.model_fields["kind"].default
        return DatasetInfo(kind, needs, takes, cls.images, classes, cls.source, cls.licence, cls.about)

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The locations of the photos, as given by the user."""
        path = getattr(self, "path", ())
        return path if isinstance(path, tuple) else (path,)

    def pinned(self) -> Self:
        """Return the dataset with what its source decides, such as its version, for the plan of a run."""
        return self

    def find(self, known: KnownNames = NO_NAMES, *, allow_missing: bool = False) -> list[Photo]:
        """Return the photos in a stable order.

        Parameters
        ----------
        known
            Names from earlier: these photos keep theirs, and no other photo gets one of them.
        allow_missing
            Continue without missing images of a list, unless all are missing.

        Raises
        ------
        UsageError
            If images are missing, there are none, one occurs twice or contradicts its label, or something cannot be
            read; the message names it.
        """
        # The limit comes last, so that the names of photos do not depend on it.
        return self._find_all(known, allow_missing)[: self.limit]

    @abstractmethod
    def _find_all(self, known: KnownNames, allow_missing: bool) -> list[Photo]:
        """Return the photos, ignoring the limit."""


def list_images(folder: StorePath, inside: Collection[str]) -> tuple[list[StorePath], list[StorePath]]:
    """Return the image files and the folders in a folder and in those of its subfolders named in ``inside``.

    Sorted by name, without hidden ones. Raises `UsageError` if a folder cannot be opened.
    """
    files, folders = _list(folder)
    for inner in [path for path in folders if path.name in inside]:
        more_files, more_folders = _list(inner)
        files += more_files
        folders += more_folders
    return files, folders


def _list(folder: StorePath) -> tuple[list[StorePath], list[StorePath]]:
    from edgefool.images import IMAGE_SUFFIXES  # imports torch

    try:
        files, folders = folder.list_folder()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot open {str(folder)!r}: {reason_of(error)}") from error
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    shown, inner = (sorted(path for path in paths if path.name[0] != ".") for paths in (images, folders))
    return shown, inner


def match_stems(
    name: str,
    files: Iterable[StorePath],
    stems: Collection[str],
    stem_of: Callable[[StorePath], str] = lambda path: path.stem,
) -> dict[str, StorePath]:
    """Return the files whose stems, by default their names without suffix, are in ``stems``, by stem.

    Raises `UsageError`, which begins with the ``name`` of the dataset, if two files have the same stem.
    """
    found: dict[str, StorePath] = {}
    for path in files:
        stem = stem_of(path)
        if stem in stems and found.setdefault(stem, path) != path:
            raise UsageError(f"{name}: {stem} occurs twice: {str(found[stem])!r} and {str(path)!r}")
    return found


def check_missing(name: str, missing: Sequence[str], listed: int, folder: StorePath, allow_missing: bool) -> None:
    """Raise `UsageError` if images of a list are missing; with ``allow_missing`` only if all are.

    Parameters
    ----------
    name
        Name of the dataset.
    missing
        Names of the missing images in the list.
    listed
        Number of images in the list.
    folder
        The folder searched.
    """
    there = listed - len(missing)
    if not missing or (allow_missing and there):
        return
    first = ", ".join(missing[:3]) + (f" and {len(missing) - 3:,} more" if len(missing) > 3 else "")
    if not there:
        raise UsageError(f"{name}: none of the {listed:,} images is in {str(folder)!r} ({first})")
    raise UsageError(
        f"{name}: {len(missing):,} of {listed:,} images {'is' if len(missing) == 1 else 'are'} missing in"
        f" {str(folder)!r} ({first}); allow_missing uses the {there:,} that are there"
    )


def label_photos(name: str, folder: StorePath, labels: Mapping[StorePath, int], known: KnownNames) -> list[Photo]:
    """Return the files of a folder as photos with their labels, in the same order.

    Raises `UsageError`, which begins with the ``name`` of the dataset, if two are links to the same file.
    """
    photos = name_photos([PhotoFile(path, path.relative_to(folder)) for path in labels], known)
    if len(photos) != len(labels):
        found: dict[StorePath, StorePath] = {}
        for path in labels:
            if (first := found.setdefault(path.resolve(), path)) != path:
                raise UsageError(f"{name}: {str(first)!r} and {str(path)!r} are the same file")
    return [replace(photo, label=label) for photo, label in zip(photos, labels.values(), strict=True)]
