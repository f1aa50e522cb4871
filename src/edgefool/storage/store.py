"""The interface to a place that keeps bytes, modelled on zarr's stores."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, NamedTuple, Protocol

STORE_THREADS = 32
"""Simultaneous requests to a store."""

Kind = Literal["file", "folder"]


class Stat(NamedTuple):
    """The size of an object in bytes, and a string that changes whenever the object is replaced; empty if unknown."""

    size: int
    version: str


class RunLock(Protocol):
    """The right to work in a folder."""

    def check(self) -> None:
        """Raise `RunError` if another process has taken over the folder, `OSError` if the store cannot be reached."""


class Store(ABC):
    """Objects by key; a key is a string with ``/`` between its parts. Stores of one kind are equal.

    Every failure is an `OSError` with ``errno``, ``strerror`` and the object's address as ``filename``.
    """

    can_append: ClassVar[bool]
    """Whether an object can grow. If not, `AppendLog` writes segments."""

    @abstractmethod
    def url(self, key: str) -> str:
        """Return the path or address of an object as users write it."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the content of an object."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write a whole object and the folders above it; durable on return.

        Whatever happens, readers find the old object or the new one. If several processes write, the last one wins.
        """

    @abstractmethod
    def append(self, key: str, data: bytes, *, durable: bool) -> None:
        """Append to an object, all or nothing; only if `can_append`."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object; a missing one is fine."""

    @abstractmethod
    def kind(self, key: str) -> Kind | None:
        """Return whether a key is a file or a folder, None if nothing is there. A broken link is an unreadable file."""

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Return size and version of an object, None if there is none."""

    @abstractmethod
    def list_folder(self, key: str) -> tuple[list[str], list[str]]:
        """Return the keys of the files and of the folders in a folder."""

    @abstractmethod
    def walk(self, key: str) -> list[str]:
        """Return the keys of all visible files in a folder, at any depth; hidden folders are left out."""

    @abstractmethod
    def glob(self, pattern: str) -> list[str]:
        """Return the keys of the files that match a pattern (``*``, ``?``, ``[]``, ``**``)."""

    @abstractmethod
    def find(self, key: str) -> dict[str, Stat]:
        """Return all objects below a key, by their keys relative to it; empty if there are none."""

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return the keys without a file."""
        wanted = list(keys)
        with ThreadPoolExecutor(STORE_THREADS) as pool:
            kinds = pool.map(self.kind, wanted)
            return [key for key, kind in zip(wanted, kinds, strict=True) if kind != "file"]

    def resolve(self, key: str) -> str:
        """Return the key with its links resolved."""
        return key

    @abstractmethod
    def make_folder(self, key: str) -> None:
        """Make a folder and its parents, if the store has folders; durable on return."""

    @abstractmethod
    def copy_to(self, key: str, target: Path) -> None:
        """Copy an object to a file on this machine's disk; a hard link where that is possible."""

    @abstractmethod
    def replace_folder(self, key: str, build: Callable[[Path], None], last: str) -> None:
        """Replace a folder by what ``build`` writes into an empty one.

        A store that cannot replace a folder atomically writes the file ``last`` after all others. If ``build`` fails,
        the old folder remains.
        """

    @abstractmethod
    def remove_leftovers(self, key: str) -> None:
        """Delete the unfinished files of killed processes below a key."""

    @abstractmethod
    def lock(self, key: str) -> AbstractContextManager[RunLock]:
        """Keep other processes from opening the run in a folder.

        Raises
        ------
        RunError
            If another process holds it.
        """


@dataclass(frozen=True)
class StorePath:
    """A key in a store, with the operators of `pathlib` and the store's methods.

    Attributes
    ----------
    store : Store
        Where the object is.
    key : str
        Its key: an absolute path on a disk; the bucket and the object's name in an object store.
    """

    store: Store
    key: str

    def __str__(self) -> str:
        return self.store.url(self.key)

    def __lt__(self, other: "StorePath") -> bool:
        return str(self) < str(other)

    @cached_property
    def _path(self) -> PurePosixPath:
        return PurePosixPath(self.key)

    def __truediv__(self, inside: str) -> "StorePath":
        return self._at(self._path / inside)

    @property
    def name(self) -> str:
        """The last part."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """The end of the last part, from its last dot."""
        return self._path.suffix

    @property
    def parent(self) -> "StorePath":
        """The folder that it is in."""
        return self._at(self._path.parent)

    def with_name(self, name: str) -> "StorePath":
        """Return the path with another last part."""
        return self._at(self._path.with_name(name))

    def is_inside(self, folder: "StorePath") -> bool:
        """Return whether its key is that of a folder, or below it."""
        return self.store == folder.store and self._path.is_relative_to(folder._path)

    def relative_to(self, folder: "StorePath") -> str:
        """Return the key relative to a folder that it is in."""
        return self._path.relative_to(folder._path).as_posix()

    def read(self) -> bytes:
        """Return the content of the object."""
        return self.store.read(self.key)

    def write(self, data: bytes) -> None:
        """Write the object whole and durable; see `Store.write`."""
        self.store.write(self.key, data)

    def delete(self) -> None:
        """Delete the object; a missing one is fine."""
        self.store.delete(self.key)

    def kind(self) -> Kind | None:
        """Return whether it is a file or a folder, None if there is nothing."""
        return self.store.kind(self.key)

    def exists(self) -> bool:
        """Return whether there is a file or a folder."""
        return self.kind() is not None

    def stat(self) -> Stat | None:
        """Return size and version of the object, None if there is none."""
        return self.store.stat(self.key)

    def list_folder(self) -> "tuple[list[StorePath], list[StorePath]]":
        """Return the files and the folders in the folder."""
        files, folders = self.store.list_folder(self.key)
        return [StorePath(self.store, key) for key in files], [StorePath(self.store, key) for key in folders]

    def walk(self) -> "list[StorePath]":
        """Return all visible files in the folder, at any depth."""
        return [StorePath(self.store, key) for key in self.store.walk(self.key)]

    def find(self) -> dict[str, Stat]:
        """Return all objects below it, by their keys relative to it."""
        return self.store.find(self.key)

    def resolve(self) -> "StorePath":
        """Return the path with its links resolved."""
        return StorePath(self.store, self.store.resolve(self.key))

    def copy_to(self, target: Path) -> None:
        """Copy or hard-link the object to a file on this machine's disk."""
        self.store.copy_to(self.key, target)

    def replace_folder(self, build: Callable[[Path], None], last: str) -> None:
        """Replace the folder; see `Store.replace_folder`."""
        self.store.replace_folder(self.key, build, last)

    def lock(self) -> AbstractContextManager[RunLock]:
        """Keep other processes from opening the run in the folder; see `Store.lock`."""
        return self.store.lock(self.key)

    def _at(self, key: PurePosixPath) -> "StorePath":
        return StorePath(self.store, str(key))
