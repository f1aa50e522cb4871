"""Addresses of objects in stores that fsspec reaches (``s3://bucket/run``): what of `pathlib.Path` a run needs.

Not universal_pathlib's, which caches what other processes change, asks the store more often than needed and lets the
errors of its client through: here every failure is an `OSError` that tells the address.
"""

import errno
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO, Literal, Self

from edgefool.errors import UsageError

_S3 = ("s3", "s3a")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # a single letter is a drive of Windows


def is_address(text: str) -> bool:
    """Tell whether a text begins like an address, ``scheme://``."""
    return _SCHEME.match(text) is not None


@dataclass(frozen=True, order=True)
class Address:
    """An object, or all those whose names begin with it and ``/``: what a file and a folder are elsewhere.

    Its methods are those of `pathlib.Path`, and fail as these do.

    Attributes
    ----------
    scheme : str
        Which store.
    key : PurePosixPath
        Where in it, the bucket first.
    """

    scheme: str
    key: PurePosixPath

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that a text is; raise `UsageError` if there is nothing to reach it by."""
        scheme, _, key = text.partition("://")
        _check_reachable(scheme.lower())
        return cls(scheme.lower(), PurePosixPath(key.strip("/")))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}"

    def __truediv__(self, other: str | PurePath) -> Self:
        return self._at(self.key / PurePosixPath(other))

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self.key.stem

    @property
    def suffix(self) -> str:
        """What the last part ends with, from its last dot."""
        return self.key.suffix

    @property
    def parts(self) -> Sequence[str]:
        """The store, the bucket, and so on."""
        return (f"{self.scheme}://", *self.key.parts)

    @property
    def parent(self) -> Self:
        """What it lies in."""
        return self._at(self.key.parent)

    def with_name(self, name: str) -> Self:
        """Return the address of that name beside this one."""
        return self._at(self.key.with_name(name))

    def with_suffix(self, suffix: str) -> Self:
        """Return the address with another suffix."""
        return self._at(self.key.with_suffix(suffix))

    def is_relative_to(self, other: object) -> bool:
        """Tell whether it is the other or lies in it."""
        return isinstance(other, Address) and self.scheme == other.scheme and self.key.is_relative_to(other.key)

    def relative_to(self, other: "Address") -> PurePosixPath:
        """Return the way from the other to here."""
        return self.key.relative_to(other.key)

    def exists(self) -> bool:
        """Tell whether there is such an object, or one whose name begins so."""
        return self._type() is not None

    def is_file(self) -> bool:
        """Tell whether there is such an object."""
        return self._type() == "file"

    def is_dir(self) -> bool:
        """Tell whether there are objects inside."""
        return self._type() == "directory"

    def read_bytes(self) -> bytes:
        """Return what the object holds."""
        with self._told() as store:
            data: bytes = store.cat_file(str(self))
            return data

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return what the object holds, as text."""
        return self.read_bytes().decode(encoding)

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Return what the object holds, as a file."""
        return io.BytesIO(self.read_bytes())

    def write_bytes(self, data: bytes) -> None:
        """Write the whole object at once: whoever reads gets all of it or what was there; durable on return."""
        with self._told() as store:
            store.pipe_file(str(self), data)

    def create(self, data: bytes) -> None:
        """Write the object if there is none; raise `FileExistsError` if there is, as far as the store can tell."""
        with self._told() as store:
            store.pipe_file(str(self), data, mode="create")

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: there are no folders, only names with ``/`` in them."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        try:
            with self._told() as store:
                store.rm_file(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def modified(self) -> datetime:
        """Return when the object was written, by the clock of the store."""
        with self._told() as store:
            when: datetime = store.modified(str(self))
            return when

    def scan(self) -> tuple[list[Self], list[Self]]:
        """Return the objects and the folders inside; both are empty where there is nothing."""
        try:
            with self._told() as store:
                found = store.ls(str(self), detail=True)
        except FileNotFoundError:
            return [], []
        inside = [(self._child(entry["name"]), entry["type"]) for entry in found]
        inside = [(child, kind) for child, kind in inside if child != self]  # consoles mark folders by empty objects
        return [child for child, kind in inside if kind == "file"], [c for c, kind in inside if kind == "directory"]

    def find(self) -> list[Self]:
        """Return all objects inside, at any depth, in the order of their names."""
        with self._told() as store:
            return sorted(self._child(name) for name in store.find(str(self)))

    def glob(self) -> list[Self]:
        """Return the objects that match this address as a pattern, in the order of their names."""
        with self._told() as store:
            found = store.glob(str(self), detail=True)
            return sorted(self._child(name) for name, entry in found.items() if entry["type"] == "file")

    def _at(self, key: PurePosixPath) -> Self:
        return type(self)(self.scheme, key)

    def _child(self, name: str) -> Self:
        return self._at(PurePosixPath(name.strip("/")))

    def _type(self) -> str | None:
        try:
            with self._told() as store:
                return str(store.info(str(self))["type"])
        except FileNotFoundError:
            return None

    @contextmanager
    def _told(self) -> Iterator[Any]:
        """Give the file system of the store, and turn what its client raises into an `OSError` with the address."""
        try:
            yield _reach(self.scheme, os.getpid())
        except Exception as error:  # each client has exceptions of its own
            number = next((n for kind, n in _NUMBERS.items() if isinstance(error, kind)), None)
            number = number or (error.errno if isinstance(error, OSError) else None) or errno.EIO
            words = " ".join(str(error.strerror if isinstance(error, OSError) and error.strerror else error).split())
            raise OSError(number, words if " " in words else os.strerror(number), str(self)) from error


_NUMBERS = {
    FileNotFoundError: errno.ENOENT,
    NotADirectoryError: errno.ENOENT,
    PermissionError: errno.EACCES,
    FileExistsError: errno.EEXIST,
}


@cache
def _reach(scheme: str, process: int) -> Any:
    """Return the file system of a store, one for all threads of a process; a fork needs another."""
    import fsspec

    # Other processes write too: nothing is remembered, and objects are read at once, not in ranges.
    options = {"max_concurrency": 1} if scheme in _S3 else {}
    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **options)


@cache
def _check_reachable(scheme: str) -> None:
    try:
        import fsspec

        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        if scheme in _S3:
            raise UsageError(f"{scheme}://... needs edgefool[s3]: pip install 'edgefool[s3]'") from error
        raise UsageError(f"{scheme}://... cannot be reached: {error}") from error
    except ValueError as error:
        raise UsageError(f"{scheme}://... is of an unknown kind") from error


def as_path(address: Address) -> Path:
    """Return an address as what the rest of the program takes for a path, as it can do the same."""
    return address  # type: ignore[return-value]
