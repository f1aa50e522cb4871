"""The user's own photos, with or without labels."""

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from edgefool.datasets.dataset import Dataset, check_missing
from edgefool.errors import UsageError
from edgefool.storage.files import is_folder, is_remote, real_path
from edgefool.storage.path_fields import AnyPath

if TYPE_CHECKING:
    from edgefool.datasets.folder import Photo


def _as_several(value: object) -> object:
    return (value,) if isinstance(value, str | Path) or is_remote(value) else value


class Folder(Dataset):
    """Files, folders and patterns, as `edgefool.datasets.find_photos` takes them.

    Attributes
    ----------
    path : several paths
        Where the photos are; one may be given as it is.
    labels : path or None
        CSV file with the columns ``file`` and ``label``, others are not read. A file's name counts from ``path`` if
        that is a single folder, else from the folder of the CSV file. A label is a number from 0, or empty: unknown, as
        for photos that have no line. Lines for files that are there but not meant by ``path`` are passed over.
    num_classes : int or None
        How many classes the labels count; must be given with them.
    """

    kind: Literal["folder"] = "folder"
    path: Annotated[tuple[AnyPath, ...], BeforeValidator(_as_several), Field(min_length=1)]
    labels: AnyPath | None = None
    num_classes: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.labels is not None and self.num_classes is None:
            raise ValueError("labels need num_classes: how many classes they count")
        if self.labels is None and self.num_classes is not None:
            raise ValueError("num_classes counts the classes of labels; name their file as labels")
        return self

    def _find_all(self, taken: Mapping[Path, str], allow_missing: bool) -> list["Photo"]:
        from edgefool.datasets.folder import find_photos  # imports torch

        photos = find_photos(self.path, taken)
        if self.labels is None or self.num_classes is None:
            return photos
        home = self.path[0] if len(self.path) == 1 and is_folder(self.path[0]) else self.labels.parent
        listed = _read_labels(self.labels, self.num_classes)
        missing = [repr(str(file)) for file in _missing(listed, home)]
        check_missing(self.name, missing, len(listed), home, allow_missing)

        known: dict[Path, int | None] = {}
        for file, label in listed.items():
            path = real_path(home / file)
            if path in known:
                raise UsageError(f"{self.name}: {str(self.labels)!r} names {str(path)!r} twice, once as {str(file)!r}")
            known[path] = label
        if not any(photo.path in known for photo in photos):
            raise UsageError(f"{self.name}: none of the photos is named in {str(self.labels)!r}")
        return [replace(photo, label=known.get(photo.path)) for photo in photos]


def _missing(files: Iterable[Path], home: Path) -> list[Path]:
    """Return those that are not there; a broken link is an image that cannot be read, as in `find_photos`."""
    if is_remote(home):
        there = set(home.find())  # one question to the store for all
        return [file for file in files if home / file not in there]
    return [file for file in files if not os.path.lexists(home / file) or os.path.isdir(home / file)]


def _read_labels(file: Path, num_classes: int) -> dict[Path, int | None]:
    """Return the labels by the names of their files, which lead into no other folder.

    Raises `UsageError` if the file is not such a list; the message names the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets write a BOM
        reader = csv.DictReader(io.StringIO(text), strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"cannot read {str(file)!r}: {reason}") from error
    columns = reader.fieldnames or []
    if not {"file", "label"} <= set(columns):
        raise UsageError(f"{str(file)!r}: its first line must name the columns file and label, not {columns}")

    labels: dict[Path, int | None] = {}
    for line, row in rows:
        where = f"{str(file)!r}, line {line}"
        name, label = row["file"] or "", (row["label"] or "").strip()
        path = Path(name)
        if path == Path() or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise UsageError(f"{where}: {name!r} is no file of that folder")
        if path in labels:
            raise UsageError(f"{where}: {name!r} is named twice")
        if label and not (re.fullmatch(r"[0-9]{1,9}", label) and int(label) < num_classes):
            raise UsageError(f"{where}: label {label!r} of {name!r} is no whole number from 0 to {num_classes - 1}")
        labels[path] = int(label) if label else None
    return labels
