"""A photo of a dataset, and the name of its results."""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from edgefool.storage import StorePath

# With "-", 8 digits and ".png" this is below 143 bytes, the lowest limit of common file systems (eCryptfs).
_NAME_BYTES = 120
_RESERVED_BY_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Photo:
    """An input photo.

    Parameters
    ----------
    path
        Location, with links resolved.
    key
        Path relative to the folder, or to the fixed part of the pattern, in which it was found; the name of a single
        file. It does not change when the folder moves.
    name
        Name of its results, without suffix: unique, and a safe file name everywhere.
    label
        Its true class, numbered from 0; None if unknown.
    """

    path: StorePath
    key: str
    name: str
    label: int | None = None


class PhotoFile(NamedTuple):
    """A file and its key; see `Photo`."""

    path: StorePath
    key: str


class KnownNames(NamedTuple):
    """Names used in a run: those of photos by path, and others, of photos that no longer exist."""

    photos: Mapping[StorePath, str] = {}
    others: Collection[str] = ()


NO_NAMES = KnownNames()


def name_photos(files: Iterable[PhotoFile], known: KnownNames = NO_NAMES) -> list[Photo]:
    """Return files as photos, each once, in the order of their first occurrence; see `find_photos`."""
    found: dict[StorePath, str] = {}
    for file in files:
        found.setdefault(file.path.resolve(), file.key)
    names = _unique_names(found, known)
    return [Photo(path, key, names[path]) for path, key in found.items()]


def _safe_name(stem: str) -> str:
    """Make an untrusted name safe for every file system, terminal and web page."""
    name = unicodedata.normalize("NFC", stem)
    name = "".join("_" if _is_unsafe(character) else character for character in name).lstrip(". ")
    name = name.encode()[:_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    if _RESERVED_BY_WINDOWS.fullmatch(name):
        name = f"_{name}"
    return name or "image"


def _is_unsafe(character: str) -> bool:
    return not character.isprintable() or character in '<>:"/\\|?*'


def _unique_names(keys: Mapping[StorePath, str], known: KnownNames) -> dict[StorePath, str]:
    names = dict(known.photos)
    used = {fold_name(name) for name in (*known.photos.values(), *known.others)}
    stems = {path: _safe_name(PurePosixPath(key).stem) for path, key in keys.items()}
    # Includes photos that already have names, so that a resumed run names the others as before.
    wanted = Counter(fold_name(stem) for stem in stems.values())
    for path, stem in sorted(stems.items()):  # so that names do not depend on the order of discovery
        if path in known.photos:
            continue
        candidates = (f"{stem}-{digits}" for digits in digits_of(keys[path]))
        name = stem if wanted[fold_name(stem)] == 1 else next(candidates)
        while fold_name(name) in used:
            name = next(candidates)
        names[path] = name
        used.add(fold_name(name))
    return names


def digits_of(key: str) -> Iterator[str]:
    """Yield 8 hexadecimal digits of a photo's key, and others without end: they tell apart names that are alike."""
    digest = os.fsencode(key)
    while True:
        digest = hashlib.sha256(digest).digest()
        yield digest.hex()[:8]


def fold_name(name: str) -> str:
    """Return the same text for names that some file system treats as equal (case, composed characters)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).upper().casefold())
