"""A file that only grows, on a disk or in an object store, where objects cannot grow.

In an object store each addition is a segment, an object of its own: ``NAME.d/NUMBER-WRITER.jsonl``. The log is the file
followed by its segments in numerical order. A segment called ``NUMBER-WRITER-whole.jsonl`` replaces everything before
it, which makes a merge atomic. A disk may hold segments too, in a run that was copied from a store.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from edgefool.storage.store import STORE_THREADS, StorePath

MAX_SEGMENTS = 100
"""A log in an object store that has more of them is merged."""

_SEGMENT = re.compile(r"[0-9]{12}-[0-9a-f]{16}(-whole)?\.jsonl")
_WHOLE = "-whole.jsonl"
_TRIES = 5

R = TypeVar("R")


class AppendLog:
    """One such file, which may not exist yet. One process writes at a time."""

    def __init__(self, path: StorePath):
        self.path = path
        self._folder = path.with_name(f"{path.name}.d")
        self._writer = secrets.token_hex(8)
        self._last: int | None = None  # number of a segment

    def read(self) -> list[bytes]:
        """Return the content of the file and of its segments, in order."""
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # the segments were merged after they were listed
                return self._read()
        return self._read()

    def append(self, data: bytes, *, durable: bool = True) -> None:
        """Append, by default durable on return, otherwise soon after."""
        if self.path.store.can_append:
            self.path.store.append(self.path.key, data, durable=durable)
        else:
            self._next_segment(".jsonl").write(data)

    def replace(self, data: bytes) -> None:
        """Write the whole log; whatever happens, it reads either as before or as the new data."""
        if not (segments := self._segments()):
            self.path.write(data)
            return
        whole = self._next_segment(_WHOLE)
        whole.write(data)  # from now on the other segments are ignored
        self.path.write(data)
        _each(StorePath.delete, segments)
        whole.delete()

    @property
    def needs_merge(self) -> bool:
        """Whether it has so many segments that it should be replaced by one file."""
        return len(self._segments()) > (0 if self.path.store.can_append else MAX_SEGMENTS)

    def _read(self) -> list[bytes]:
        segments = self._segments()
        wholes = [k for k, segment in enumerate(segments) if segment.name.endswith(_WHOLE)]
        if wholes:
            return _each(StorePath.read, segments[wholes[-1] :])
        try:
            first = [self.path.read()]
        except FileNotFoundError:
            first = []
        return first + _each(StorePath.read, segments)

    def _segments(self) -> list[StorePath]:
        """Return the segments in order."""
        try:
            files, _ = self._folder.list_folder()
        except FileNotFoundError:
            return []
        return sorted(file for file in files if _SEGMENT.fullmatch(file.name))

    def _next_segment(self, ending: str) -> StorePath:
        if self._last is None:
            self._last = max((int(segment.name.partition("-")[0]) for segment in self._segments()), default=0)
        self._last += 1
        return self._folder / f"{self._last:012}-{self._writer}{ending}"


def _each(function: Callable[[StorePath], R], paths: Sequence[StorePath]) -> list[R]:
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        return list(pool.map(function, paths))
