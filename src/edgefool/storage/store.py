"""What a run and its photos need of a place that keeps bytes, in the manner of zarr's stores."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, NamedTuple, Protocol

STORE_THREADS = 32
"""Requests that wait for a store at the same time."""

Kind = Literal["file", "folder"]


class Stat(NamedTuple):
    """The size of an object in bytes, and a text that changes whenever the object is replaced; empty if unknown."""

    size: int
    version: str


class RunLock(Protocol):
    """The right to work in a folder."""

    def check(self) -> None:
        """Raise `RunError` if another process has taken the folder over, `OSError` if that cannot be found out."""


class Store(ABC):
    """Objects by key; a key is text with ``/`` between its parts. Stores of one kind are equal.

    Every failure is an `OSError` with ``errno``, ``strerror`` and the object's address as ``filename``.
    """

    can_append: ClassVar[bool]
    """Whether an object can grow. Where none can, `AppendLog` writes segments."""

    @abstractmethod
    def url(self, key: str) -> str:
        """Return the path or address of an object as people write it."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return what an object holds."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write a whole object, with the folders that lead to it; durable on return.

        Whatever happens, readers find the old object or the new one. Of several writers the last one wins.
        """

    @abstractmethod
    def append(self, key: str, data: bytes, *, durable: bool) -> None:
        """Append to an object, all or nothing; only if `can_append`."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object; a missing one is fine."""

    @abstractmethod
    def kind(self, key: str) -> Kind | None:
        """Return what a key leads to. A link that leads nowhere counts as a file, one that cannot be read."""

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
        """Return those keys that lead to no file."""
        wanted = list(keys)
        with ThreadPoolExecutor(STORE_THREADS) as pool:
            kinds = pool.map(self.kind, wanted)
            return [key for key, kind in zip(wanted, kinds, strict=True) if kind != "file"]

    def resolve(self, key: str) -> str:
        """Return the key with its links resolved."""
        return key

    @abstractmethod
    def make_folder(self, key: str) -> None:
        """Make a folder, with those that lead to it, where a store has folders; durable on return."""

    @abstractmethod
    def copy_to(self, key: str, target: Path) -> None:
        """Copy an object to a file on this machine's disk; a hard link where that is possible."""

    @abstractmethod
    def replace_folder(self, key: str, build: Callable[[Path], None], last: str) -> None:
        """Replace a folder by what ``build`` writes into an empty one.

        Where a folder cannot be replaced at one moment, the file ``last`` comes after those that it leads to. If
        ``build`` fails the old folder stays.
        """

    @abstractmethod
    def remove_leftovers(self, key: str) -> None:
        """Delete what killed writers left unfinished below a key."""

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
    """A key in a store. Operators and methods mean what they mean for the store's objects.

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

    def __truediv__(self, inside: str) -> "StorePath":
        return self._at(PurePosixPath(self.key) / inside)

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """What the last part ends with, from its last dot."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> "StorePath":
        """The folder that it is in."""
        return self._at(PurePosixPath(self.key).parent)

    def with_name(self, name: str) -> "StorePath":
        """Return the path of that name in the same folder."""
        return self._at(PurePosixPath(self.key).with_name(name))

    def with_suffix(self, suffix: str) -> "StorePath":
        """Return the path with another suffix."""
        return self._at(PurePosixPath(self.key).with_suffix(suffix))

    def is_inside(self, folder: "StorePath") -> bool:
        """Return whether the key says that it is a folder or in it."""
        return self.store == folder.store and PurePosixPath(self.key).is_relative_to(folder.key)

    def relative_to(self, folder: "StorePath") -> str:
        """Return the key relative to a folder that it is in."""
        return PurePosixPath(self.key).relative_to(folder.key).as_posix()

    def read(self) -> bytes:
        """Return what the object holds."""
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
        """Return whether there is anything."""
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
