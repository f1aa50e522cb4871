"""The base class of stores whose objects are made when they are read: nothing is listed, nothing is written."""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, NoReturn

from edgefool.storage.store import Kind, RunLock, Stat, Store


class ReadOnlyStore(Store):
    """Objects that whoever knows their keys can read; a subclass has `url` and `read`."""

    can_append: ClassVar[bool] = False

    def kind(self, key: str) -> Kind | None:
        """Return "file": only those who know that there is an object have its key."""
        return "file"

    def stat(self, key: str) -> Stat | None:
        """Return the size; there are no versions."""
        return Stat(len(self.read(key)), "")

    def list_folder(self, key: str) -> tuple[list[str], list[str]]:
        """Return nothing."""
        return [], []

    def walk(self, key: str) -> list[str]:
        """Return nothing."""
        return []

    def glob(self, pattern: str) -> list[str]:
        """Return nothing."""
        return []

    def find(self, key: str) -> dict[str, Stat]:
        """Return nothing."""
        return {}

    def copy_to(self, key: str, target: Path) -> None:
        """Write the content to a file."""
        target.write_bytes(self.read(key))

    def write(self, key: str, data: bytes) -> None:
        """Refuse."""
        self._refuse(key)

    def append(self, key: str, data: bytes, *, durable: bool) -> None:
        """Refuse."""
        self._refuse(key)

    def delete(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def make_folder(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def replace_folder(self, key: str, build: Callable[[Path], None], last: str) -> None:
        """Refuse."""
        self._refuse(key)

    def remove_leftovers(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def lock(self, key: str) -> AbstractContextManager[RunLock]:
        """Refuse."""
        self._refuse(key)

    def _refuse(self, key: str) -> NoReturn:
        raise OSError(errno.EROFS, "cannot be written", self.url(key))
