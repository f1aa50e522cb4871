"""Which photos were meant: files, folders and patterns become a list of photos with names of their own."""

import difflib
import glob
import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NoReturn

from edgefool.errors import UsageError
from edgefool.images import IMAGE_SUFFIXES
from edgefool.storage.address import Address, as_path
from edgefool.storage.files import is_remote, parse_path, real_path

# With "-" and 8 digits and ".png" this stays under 143 bytes, the shortest limit in use (eCryptfs).
_NAME_BYTES = 120
_RESERVED_BY_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Photo:
    """An input photo.

    Parameters
    ----------
    path
        Where it is: absolute, symbolic links resolved; or its address.
    name
        What its results are called (without suffix): safe as a file name everywhere, and no other photo's.
    label
        Number of the class that it really shows, from 0; None where that is unknown.
    """

    path: Path
    name: str
    label: int | None = None


def find_photos(inputs: Sequence[str | Path], taken: Mapping[Path, str] = {}) -> list[Photo]:
    """Return the photos meant by files, folders and patterns, each once, in the order in which they are first met.

    Parameters
    ----------
    inputs
        A file is taken as it is, image or not. A folder stands for the image files in it and its subfolders
        (hidden ones and links to folders left out), in natural order (2 before 10). A pattern (``photos/**/*.jpg``)
        stands for the image files that match; a file that is really called so goes before the pattern. All three may be
        addresses (``s3://bucket/photos``).
    taken
        Names given before, by `Photo.path`: these photos keep them, no other photo gets them.

    Returns
    -------
    list of Photo
        A name is the file's stem, made safe. Photos that would share one, also where upper and lower case are the
        same, get ``-`` and 8 hexadecimal digits of the SHA-256 of their path behind it.

    Raises
    ------
    UsageError
        A file or folder does not exist or cannot be opened; a folder or pattern holds no images.
    """
    return name_photos([path for item in inputs for path in _expand(parse_path(item))], taken)


def name_photos(paths: Iterable[Path], taken: Mapping[Path, str] = {}) -> list[Photo]:
    """Return files as photos, each once, in the order in which they are first met; see `find_photos`."""
    stems: dict[Path, str] = {}
    for path in paths:
        stems.setdefault(real_path(path), _safe_name(path.stem))
    names = _unique_names(stems, taken)
    return [Photo(path, names[path]) for path in stems]


def _expand(path: Path) -> Sequence[Path]:
    if is_remote(path):
        return _expand_address(path)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():  # broken: an image that cannot be read, like those that a folder holds
            return [path]
        return _match(path) if glob.has_magic(str(path)) else _refuse_missing(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return _walk(path) if is_folder else [path]


def _expand_address(address: Address) -> Sequence[Path]:
    try:
        if address.is_file():
            return [as_path(address)]
        inside = [path for path in address.find() if not _is_hidden(path.relative_to(address))]
        if not inside and glob.has_magic(str(address)):
            asked = "/." in str(address)
            matches = [as_path(path) for path in address.glob() if asked or not _is_hidden(path.key)]
            return _images(matches, f"no image file matches {str(address)!r}")
    except OSError as error:
        raise _unreadable(as_path(address), error) from error
    if not inside:
        raise UsageError(f"no such file or folder: {str(address)!r}")
    return _images(map(as_path, inside), f"no image files in the folder {str(address)!r}")


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _match(pattern: Path) -> list[Path]:
    matches = [Path(match) for match in glob.iglob(str(pattern), recursive=True) if not os.path.isdir(match)]
    return _images(matches, f"no image file matches {str(pattern)!r}")


def _walk(folder: Path) -> list[Path]:
    def fail(error: OSError) -> NoReturn:
        raise _unreadable(Path(error.filename), error) from error

    paths: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent, name) for name in files if not name.startswith(".")]
    return _images(paths, f"no image files in the folder {str(folder)!r}")


def _images(paths: Iterable[Path], complaint: str) -> list[Path]:
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise UsageError(complaint)
    return sorted(images, key=_natural_order)


def _natural_order(path: Path) -> tuple[list[list[str | int]], str]:
    def pieces(name: str) -> list[str | int]:
        return [
            int(piece) if piece.isascii() and piece.isdigit() else piece
            for piece in re.split(r"([0-9]+)", name.casefold())
        ]

    return [pieces(part) for part in path.parts], str(path)


def _unreadable(path: Path, error: OSError | ValueError) -> UsageError:
    reason = error.strerror if isinstance(error, OSError) else error
    return UsageError(f"cannot open {str(path)!r}: {reason}")


def _refuse_missing(path: Path) -> NoReturn:
    """Raise the error for a path that does not exist, with names like the first of its parts that is missing."""
    missing = next(part for part in [*reversed(path.parents), path] if not os.path.lexists(part))
    known = os.listdir(missing.parent) if os.access(missing.parent, os.R_OK) and missing.parent.is_dir() else []
    near = difflib.get_close_matches(missing.name, known, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(repr(str(missing.parent / name)) for name in near)}?" if near else ""
    raise UsageError(f"no such file or folder: {str(path)!r}{hint}")


def _safe_name(stem: str) -> str:
    """Return an untrusted name as one that every file system, terminal and web page takes as a plain name."""
    name = unicodedata.normalize("NFC", stem)
    name = "".join("_" if _is_unsafe(character) else character for character in name).lstrip(". ")
    name = name.encode()[:_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    if _RESERVED_BY_WINDOWS.fullmatch(name):
        name = f"_{name}"
    return name or "image"


def _is_unsafe(character: str) -> bool:
    return not character.isprintable() or character in '<>:"/\\|?*'


def _unique_names(stems: Mapping[Path, str], taken: Mapping[Path, str]) -> dict[Path, str]:
    names = dict(taken)
    used = {_fold(name) for name in taken.values()}
    # Photos that already have names count too: a run that goes on must name the others as at its start.
    wanted = Counter(_fold(stem) for stem in stems.values())
    for path, stem in stems.items():
        if path in taken:
            continue
        candidates = _with_digits(stem, path)
        name = stem if wanted[_fold(stem)] == 1 else next(candidates)
        while _fold(name) in used:
            name = next(candidates)
        names[path] = name
        used.add(_fold(name))
    return names


def _with_digits(stem: str, path: Path) -> Iterator[str]:
    digest = os.fsencode(str(path))
    while True:
        digest = hashlib.sha256(digest).digest()
        yield f"{stem}-{digest.hex()[:8]}"


def _fold(name: str) -> str:
    """Return the same text for names that some file system takes for the same (case, composed characters)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).upper().casefold())
