"""Keeps what is written away from the photos that are read."""

import os
from collections.abc import Sequence
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path

from edgefool.datasets import Photo
from edgefool.errors import UsageError
from edgefool.storage import parse_path


def refuse_overlap(folder: Path, photos: Sequence[Photo], sources: Sequence[Path]) -> None:
    """Refuse a folder to write into that is among the photos.

    Parameters
    ----------
    folder
        With links resolved.
    photos
        Those that were found.
    sources
        The files, folders and patterns in which they were found.

    Raises
    ------
    UsageError
        If the folder is in a source or contains photos, or a pattern would find files in it.
    """
    if any(_is_searched(folder, source) for source in sources) or any(
        photo.path.is_inside(parse_path(folder)) for photo in photos
    ):
        raise UsageError(f"{folder} is inside a folder of photos, or contains photos; choose another folder")


def refuse_link(folder: Path) -> None:
    """Refuse a folder to write into that leads elsewhere."""
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link, which is not followed; choose another folder")


def _is_searched(folder: Path, source: Path) -> bool:
    """Return whether files in a folder would be found in a source."""
    if source.exists():
        return source.is_dir() and folder.is_relative_to(source.resolve())
    *parts, _ = source.absolute().parts
    count = next((k for k, part in enumerate(parts) if has_magic(part)), len(parts))
    fixed = Path(*parts[:count]).resolve()
    if not folder.is_relative_to(fixed):
        return False
    return _reaches(parts[count:], folder.relative_to(fixed).parts)


def _reaches(pattern: Sequence[str], folder: Sequence[str]) -> bool:
    """Return whether the folders of a pattern match a folder or one below it.

    >>> _reaches(["**"], ["a", "out"]), _reaches(["*"], ["out"]), _reaches([], ["out"]), _reaches(["b*"], ["out"])
    (True, True, False, False)
    """
    if not folder or not pattern:
        return not folder
    if pattern[0] == "**":
        return True
    return fnmatch(os.path.normcase(folder[0]), os.path.normcase(pattern[0])) and _reaches(pattern[1:], folder[1:])
