"""From files, folders and patterns to a list of photos with unique names."""

import difflib
import re
import warnings
from collections.abc import Iterable, Sequence
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import NoReturn

from edgefool.datasets.photo import NO_NAMES, KnownNames, Photo, PhotoFile, name_photos
from edgefool.errors import ImageWarning, UsageError, reason_of
from edgefool.images import IMAGE_SUFFIXES, describe_unreadable
from edgefool.storage import StorePath, parse_path


def find_photos(inputs: Sequence[str | Path | StorePath], known: KnownNames = NO_NAMES) -> list[Photo]:
    """Return the photos in files, folders and patterns, each once, in the order of their first occurrence.

    Parameters
    ----------
    inputs
        A file is included whether or not it is an image. A folder stands for the image files in it and its subfolders
        (without hidden ones and links to folders), in natural order (2 before 10). A pattern (``photos/**/*.jpg``)
        stands for the matching image files; an existing file of that exact name takes precedence. All three may be
        addresses (``s3://bucket/photos``).
    known
        Names from earlier: these photos keep theirs, and no other photo gets one of them.

    Returns
    -------
    list of Photo
        A name is the file's stem, made safe. Photos with equal names, ignoring case, get a suffix of ``-`` and 8
        hexadecimal digits of the SHA-256 of their key.

    Raises
    ------
    UsageError
        A file or folder does not exist or cannot be opened; a folder or pattern holds no images.

    Warns
    -----
    ImageWarning
        A folder or pattern also holds photos that cannot be read (HEIC, camera raw): how many, and what to do.
    """
    return name_photos([file for item in inputs for file in _expand(parse_path(item))], known)


def _expand(path: StorePath) -> list[PhotoFile]:
    try:
        kind = path.kind()
        if kind == "file":
            return [PhotoFile(path, path.name)]
        if kind == "folder":
            return _images(path.walk(), path, f"no image files in the folder {str(path)!r}")
        if has_magic(path.key):
            matches = [StorePath(path.store, key) for key in path.store.glob(path.key)]
            return _images(matches, _fixed_part(path), f"no image file matches {str(path)!r}")
    except UsageError:
        raise
    except (OSError, ValueError) as error:
        where = getattr(error, "filename", None) or path
        raise UsageError(f"cannot open {str(where)!r}: {reason_of(error)}") from error
    return _refuse_missing(path)


def _fixed_part(pattern: StorePath) -> StorePath:
    """Return the deepest folder that contains all matches of a pattern."""
    parts = PurePosixPath(pattern.key).parts
    fixed = next(k for k, part in enumerate(parts) if has_magic(part))
    return StorePath(pattern.store, str(PurePosixPath(*parts[:fixed])))


def _images(paths: Iterable[StorePath], root: StorePath, complaint: str) -> list[PhotoFile]:
    paths = list(paths)
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    unreadable = describe_unreadable(path.suffix for path in paths)
    if not images:
        raise UsageError(f"{complaint}, but photos that cannot be read: {unreadable}" if unreadable else complaint)
    if unreadable:
        warnings.warn(f"photos in {str(root)!r} that cannot be read: {unreadable}", ImageWarning, stacklevel=2)
    return sorted((PhotoFile(path, path.relative_to(root)) for path in images), key=_natural_order)


def _natural_order(file: PhotoFile) -> tuple[list[list[str | int]], str]:
    def pieces(name: str) -> list[str | int]:
        return [
            int(piece) if piece.isascii() and piece.isdigit() else piece
            for piece in re.split(r"([0-9]+)", name.casefold())
        ]

    return [pieces(part) for part in file.key.split("/")], file.key


def _refuse_missing(path: StorePath) -> NoReturn:
    """Raise the error for a path that does not exist, with names similar to its first missing part."""
    hint = ""
    try:
        missing = path
        while not missing.parent.exists() and missing.parent != missing:
            missing = missing.parent
        files, folders = missing.parent.list_folder()
        near = difflib.get_close_matches(missing.name, [known.name for known in files + folders], n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(repr(str(missing.parent / name)) for name in near)}?" if near else ""
    except OSError:
        pass  # a folder that cannot be listed gives no hint
    raise UsageError(f"no such file or folder: {str(path)!r}{hint}")
