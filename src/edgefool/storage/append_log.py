"""A file that only grows, on a disk or in an object store, where nothing can be appended to an object.

There, what is added is a part, an object of its own: ``NAME.d/NUMBER-WRITER.jsonl``. All that is written are the bytes
of the file and then those of its parts by their numbers. A part called ``NUMBER-WRITER-whole.jsonl`` takes the place of
everything before it, so that writing all anew happens at one moment too. Parts are read on a disk as well: a run may
have been copied from a store.
"""

import os
import re
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from edgefool.storage.files import STORE_THREADS, is_folder, is_remote, list_folder, sync_folder, write_atomically

MOST_PARTS = 100
"""A file in an object store with more of them is due for `GrowingFile.replace`."""

_PART = re.compile(r"[0-9]{12}-[0-9a-f]{16}(-whole)?\.jsonl")
_WHOLE = "-whole.jsonl"
_TRIES = 5

R = TypeVar("R")


class GrowingFile:
    """One such file, which need not exist yet. One process writes at a time."""

    def __init__(self, path: Path):
        self.path = path
        self._folder = path.with_name(f"{path.name}.d")
        self._writer = secrets.token_hex(8)
        self._last: int | None = None  # number of a part

    def read(self) -> list[bytes]:
        """Return the pieces in which it was written, in their order; a disk has only one."""
        for _ in range(_TRIES):
            try:
                return self._read()
            except FileNotFoundError:  # written anew since its parts were listed
                continue
        return self._read()

    def append(self, data: bytes, *, durable: bool = True) -> None:
        """Write behind the rest; durable when this returns, or else on a disk soon."""
        if is_remote(self.path):
            write_atomically(self._part(".jsonl"), data)
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            if durable and not size:
                sync_folder(self.path.parent)  # the name is new
        except BaseException:
            with suppress(OSError):
                os.truncate(self.path, size)  # or the next line, should there be room for it, would join half of this
            raise

    def replace(self, data: bytes) -> None:
        """Write all anew; whatever happens, it reads as before or as asked."""
        if not (parts := self._list()):
            write_atomically(self.path, data)
            return
        whole = self._part(_WHOLE)
        write_atomically(whole, data)  # from now on the others count no more
        write_atomically(self.path, data)
        _each(lambda part: part.unlink(missing_ok=True), parts)
        whole.unlink()
        if not is_remote(self._folder):
            with suppress(OSError):  # something else is in it
                self._folder.rmdir()

    @property
    def is_due(self) -> bool:
        """Whether it has so many parts that it should be written anew."""
        return len(self._list()) > (MOST_PARTS if is_remote(self.path) else 0)

    def _read(self) -> list[bytes]:
        parts = self._list()
        wholes = [k for k, part in enumerate(parts) if part.name.endswith(_WHOLE)]
        if wholes:
            return _each(lambda part: part.read_bytes(), parts[wholes[-1] :])
        try:
            base = [self.path.read_bytes()]
        except FileNotFoundError:
            base = []
        return base + _each(lambda part: part.read_bytes(), parts)

    def _list(self) -> list[Path]:
        """Return the parts in their order."""
        if not is_remote(self._folder) and not is_folder(self._folder):
            return []
        return sorted(part for part in list_folder(self._folder)[0] if _PART.fullmatch(part.name))

    def _part(self, ending: str) -> Path:
        """Return a path for another part."""
        if self._last is None:
            self._last = max((int(part.name.partition("-")[0]) for part in self._list()), default=0)
        self._last += 1
        return self._folder / f"{self._last:012}-{self._writer}{ending}"


def _each(function: Callable[[Path], R], parts: Sequence[Path]) -> list[R]:
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        return list(pool.map(function, parts))
