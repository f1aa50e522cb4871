"""What a dataset is: settings that find photos, with the classes that they really show."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from edgefool.errors import UsageError
from edgefool.storage.files import list_folder, real_path

if TYPE_CHECKING:
    from edgefool.datasets.folder import Photo

DATA = Path(__file__).parent / "data"
"""Lists of classes, images and labels that come with the package."""


class Dataset(BaseModel, ABC):
    """A dataset as a plan names it; its photos are looked for only by `find`.

    Attributes
    ----------
    kind : str
        Which subclass; see `edgefool.datasets.KNOWN`.
    name : str
        What tables and folders call it: up to 60 letters, digits and ``._-``. By default its kind.
    limit : int or None
        Only that many photos, the first ones.
    num_classes : int or None
        How many classes the labels count; None: the photos have no labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")] = Field(
        default_factory=lambda data: data.get("kind", ""), validate_default=True
    )
    limit: Annotated[int, Field(ge=1)] | None = None

    if TYPE_CHECKING:  # for pydantic it would be the default of the field that `Folder` has

        @property
        @abstractmethod
        def num_classes(self) -> int | None:
            """Return how many classes the labels count."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the user said that the photos are."""
        path = getattr(self, "path", ())
        return path if isinstance(path, tuple) else (path,)

    def find(self, taken: Mapping[Path, str] = {}, *, allow_missing: bool = False) -> list["Photo"]:
        """Return the photos, in an order that does not change.

        Parameters
        ----------
        taken
            Names given before, by `Photo.path`: these photos keep them, no other photo gets them.
        allow_missing
            Go on without the images that a list names and that are not there, if there are others.

        Raises
        ------
        UsageError
            Images are missing, there are none, one is there twice or contradicts its label, or something cannot be
            read; the message names it.
        """
        return self._find_all(taken, allow_missing)[: self.limit]

    @abstractmethod
    def _find_all(self, taken: Mapping[Path, str], allow_missing: bool) -> list["Photo"]:
        """Return the photos as if there were no limit, so that a photo's name does not depend on it."""


def list_images(folder: Path, inside: Collection[str]) -> tuple[list[Path], list[Path]]:
    """Return the image files and the folders in a folder and in those of its folders whose names are in ``inside``.

    Hidden ones are left out; the order is by name. Raises `UsageError` for what cannot be opened.
    """
    files, folders = _list(folder)
    for inner in [path for path in folders if path.name in inside]:
        more_files, more_folders = _list(inner)
        files += more_files
        folders += more_folders
    return files, folders


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    from edgefool.images import IMAGE_SUFFIXES  # imports torch

    try:
        files, folders = list_folder(folder)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot open {str(folder)!r}: {reason}") from error
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    shown, inner = (sorted(path for path in paths if path.name[0] != ".") for paths in (images, folders))
    return shown, inner


def match_stems(name: str, files: Iterable[Path], stems: Collection[str]) -> dict[str, Path]:
    """Return the files whose names, without suffix, are among ``stems``, by these.

    Raises `UsageError`, which begins with the ``name`` of the dataset, if two files have one.
    """
    found: dict[str, Path] = {}
    for path in files:
        if path.stem in stems and found.setdefault(path.stem, path) != path:
            raise UsageError(f"{name}: {path.stem} is there twice: {str(found[path.stem])!r} and {str(path)!r}")
    return found


def check_missing(name: str, missing: Sequence[str], listed: int, folder: Path, allow_missing: bool) -> None:
    """Raise `UsageError` if listed images are missing; with ``allow_missing`` only if all are.

    Parameters
    ----------
    name
        Of the dataset.
    missing
        What the list calls those that are missing.
    listed
        How many the list names.
    folder
        Where they were looked for.
    """
    there = listed - len(missing)
    if not missing or (allow_missing and there):
        return
    first = ", ".join(missing[:3]) + (f" and {len(missing) - 3:,} more" if len(missing) > 3 else "")
    if not there:
        raise UsageError(f"{name}: none of the {listed:,} images is in {str(folder)!r} ({first})")
    raise UsageError(
        f"{name}: {len(missing):,} of {listed:,} images {'is' if len(missing) == 1 else 'are'} missing in"
        f" {str(folder)!r} ({first}); --allow-missing goes on with the {there:,} that are there"
    )


def label_photos(name: str, labels: Mapping[Path, int], taken: Mapping[Path, str]) -> list["Photo"]:
    """Return these files as photos with these labels, in their order.

    Raises `UsageError`, which begins with the ``name`` of the dataset, if two are links to one file.
    """
    from edgefool.datasets.folder import name_photos  # imports torch

    photos = name_photos(labels, taken)
    if len(photos) != len(labels):
        _refuse_same_file(name, labels)
    return [replace(photo, label=label) for photo, label in zip(photos, labels.values(), strict=True)]


def _refuse_same_file(name: str, paths: Iterable[Path]) -> NoReturn:
    found: dict[Path, Path] = {}
    for path in paths:
        if found.setdefault(real_path(path), path) != path:
            break
    raise UsageError(f"{name}: {str(found[real_path(path)])!r} and {str(path)!r} are the same file")
