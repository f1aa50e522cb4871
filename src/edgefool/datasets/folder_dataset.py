"""The user's photos, with or without labels."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from edgefool.datasets.dataset import Dataset, check_missing
from edgefool.datasets.photo import KnownNames, Photo
from edgefool.errors import UsageError
from edgefool.storage import StorePath
from edgefool.storage.csv_table import read_csv_table
from edgefool.storage.fields import AnyPath
from edgefool.text import one_form


def _as_several(value: object) -> object:
    return (value,) if isinstance(value, str | Path | StorePath) else value


class Folder(Dataset):
    """Files, folders and patterns, as for `edgefool.datasets.find_photos`.

    Attributes
    ----------
    path : path or tuple of paths
        Locations of the photos.
    labels : path or None
        CSV file with the columns ``file`` and ``label``; others are ignored. File names are relative to ``path`` if it
        is a single folder, else to the folder of the CSV file; a name that is on the disk in another Unicode normal
        form is the same name. A label is a number from 0, or empty if unknown, like
        the labels of photos without a line. Lines for existing files that are not in ``path`` are ignored.
    num_classes : int or None
        Number of classes of the labels; required with ``labels``.
    """

    kind: Literal["folder"] = "folder"
    path: Annotated[tuple[AnyPath, ...], BeforeValidator(_as_several), Field(min_length=1)]
    labels: AnyPath | None = None
    num_classes: Annotated[int, Field(ge=1)] | None = None

    source: ClassVar[str] = "your own files, folders and patterns; labels: a CSV file with the columns file and label"
    licence: ClassVar[str] = "yours"
    about: ClassVar[str] = "any photos, with or without labels"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.labels is not None and self.num_classes is None:
            raise ValueError("labels need num_classes, the number of their classes")
        if self.labels is None and self.num_classes is not None:
            raise ValueError("num_classes is the number of classes of labels; give their file as labels")
        return self

    def _find_all(self, known: KnownNames, allow_missing: bool) -> list[Photo]:
        from edgefool.datasets.folder import find_photos  # imports torch

        photos = find_photos(self.path, known)
        if self.labels is None or self.num_classes is None:
            return photos
        home = self.path[0] if len(self.path) == 1 and self.path[0].kind() == "folder" else self.labels.parent
        listed = _read_labels(self.labels, self.num_classes)
        paths = _paths(home, listed, photos)
        missing = [repr(file) for file in listed if file not in paths]
        check_missing(self.name, missing, len(listed), home, allow_missing)

        labels: dict[StorePath, int | None] = {}
        for file, path in paths.items():
            if path in labels:
                raise UsageError(f"{self.name}: {str(self.labels)!r} names {str(path)!r} twice, once as {file!r}")
            labels[path] = listed[file]
        if not any(photo.path in labels for photo in photos):
            raise UsageError(f"{self.name}: none of the photos is listed in {str(self.labels)!r}")
        return [replace(photo, label=labels.get(photo.path)) for photo in photos]


def _paths(home: StorePath, names: Iterable[str], photos: Iterable[Photo]) -> dict[str, StorePath]:
    """Return the paths of those named files in a folder that exist, by name."""
    paths = {name: home / name for name in names}
    absent = set(home.store.missing(path.key for path in paths.values()))
    by_form = {one_form(photo.path.key): photo.path for photo in photos}
    found = {}
    for name, path in paths.items():
        if path.key not in absent:
            found[name] = path.resolve()
        elif same := by_form.get(one_form(path.resolve().key)):
            found[name] = same
    return found


def _read_labels(file: StorePath, num_classes: int) -> dict[str, int | None]:
    """Return the labels by file name; names must not lead outside the folder.

    Raises `UsageError` if the file is invalid; the message names the line.
    """
    labels: dict[str, int | None] = {}
    for where, row in read_csv_table(file, ["file", "label"]):
        name, label = row.get("file", ""), row.get("label", "").strip()
        path = PurePosixPath(name)
        if path == PurePosixPath() or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise UsageError(f"{where}: {name!r} is not a file in the folder")
        if str(path) in labels:
            raise UsageError(f"{where}: {name!r} is named twice")
        if label and not (re.fullmatch(r"[0-9]{1,9}", label) and int(label) < num_classes):
            raise UsageError(f"{where}: label {label!r} of {name!r} is not a whole number from 0 to {num_classes - 1}")
        labels[str(path)] = int(label) if label else None
    return labels
