"""Datasets of the Hugging Face Hub, and local files in the formats of its package datasets."""

import re
from functools import cached_property
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from edgefool.datasets.dataset import Dataset
from edgefool.datasets.hub_rows import HubRows, HubSource
from edgefool.datasets.photo import KnownNames, Photo
from edgefool.errors import UsageError
from edgefool.storage import StorePath, local_path, parse_path

_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?")


def is_hub_name(path: object, folder: Path) -> bool:
    """Return whether a path is the name of a dataset of the Hub, NAME or OWNER/NAME, and not a file in a folder.

    >>> is_hub_name("uoft-cs/cifar10", Path()), is_hub_name("photos/*.parquet", Path())
    (True, False)
    """
    if isinstance(path, list | tuple) and len(path) == 1:
        return is_hub_name(path[0], folder)
    if not isinstance(path, str) or path.endswith((".parquet", ".arrow")):
        return False
    return bool(_HUB_NAME.fullmatch(path)) and not (folder / path).exists()


def _locate(path: object) -> object:
    """Return a tuple of absolute paths, or with the name of a dataset of the Hub."""
    paths = path if isinstance(path, list | tuple) else (path,)
    if is_hub_name(paths, Path()) or not all(isinstance(p, str | Path | StorePath) for p in paths):
        return paths
    return tuple(str(local_path(p)) for p in paths)


class HuggingFace(Dataset):
    """A dataset of the Hugging Face Hub, or local files in its formats; needs the extra ``huggingface``.

    A photo is the image file in a row as it was uploaded, and its key is the split and the row, ``train/000012``.
    Datasets are downloaded into the cache of the package datasets (``HF_HOME``).

    Attributes
    ----------
    path : str, path or tuple of paths
        Its name on the Hub, ``OWNER/NAME``; or local files in the formats Parquet or Arrow, patterns of these, or a
        folder with such files or with images (an "imagefolder"), perhaps in folders named after their classes.
    config : str or None
        The configuration; by default the dataset's own.
    split : str or None
        The split; needed if there are several.
    revision : str or None
        A commit, a tag or a branch of the Hub; by default the main branch. The plan in the run holds the commit.
    image, label : str
        The columns of the images, and of the labels, class numbers from 0 (negative ones are unknown); by default
        ``label``, if there is such a column.
    streaming : bool
        Download only the first ``limit`` rows and keep them in the cache, and not the whole dataset.
    num_classes : int or None
        Number of classes of the labels; by default that of the column's class names. If it is unknown, labels are
        recorded and nothing is compared with them.
    """

    kind: Literal["huggingface"] = "huggingface"
    path: Annotated[tuple[str, ...], BeforeValidator(_locate), Field(min_length=1)]
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    image: str = "image"
    label: str | None = None
    streaming: bool = False
    num_classes: Annotated[int, Field(ge=1)] | None = None

    source: ClassVar[str] = (
        "https://huggingface.co/datasets, or local Parquet, Arrow or image files; pip install 'edgefool[huggingface]'"
    )
    licence: ClassVar[str] = "see the dataset's card"
    about: ClassVar[str] = "datasets of the Hugging Face Hub, and local files in their formats"

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The local files and folders."""
        return tuple(parse_path(path) for path in self.path if Path(path).is_absolute())

    def pinned(self) -> Self:
        """Return the dataset with the commit, the split and the number of classes that were found."""
        found = self._rows.found.source
        count = self.num_classes or self._rows.num_classes
        return self.model_copy(update={"split": found.split, "revision": found.revision, "num_classes": count})

    def _find_all(self, known: KnownNames, allow_missing: bool) -> list[Photo]:
        split, labels = str(self._rows.found.source.split), self._rows.labels()
        if not labels:
            raise UsageError(f"{self.name}: the split {split} is empty")
        most = max((label for label in labels if label is not None), default=0)
        if self.num_classes is not None and most >= self.num_classes:
            raise UsageError(f"{self.name}: there is a label {most}, but num_classes is {self.num_classes}")
        return self._rows.photos(split, labels, known)

    @cached_property
    def _rows(self) -> HubRows:
        paths = tuple(file for path in self.path for file in _expand(path)) if self.paths else self.path
        columns = self.image, self.label
        return HubRows(HubSource(paths, self.config, self.split, self.revision, *columns, self.streaming, self.limit))


def _expand(path: str) -> list[str]:
    """Return the files of a pattern, or the path itself; raise `UsageError` if there is none."""
    paths = [path] if Path(path).exists() or not has_magic(path) else sorted(glob(path, recursive=True))
    if not paths or not Path(paths[0]).exists():
        raise UsageError(f"no such file or folder: {path!r}")
    return paths
