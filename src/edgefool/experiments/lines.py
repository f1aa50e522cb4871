"""Files that only grow, a JSON object a line: what is on the disk survives whatever happens next.

The last field of a line, ``check``, is the CRC-32 of the object without it, so that an altered line is found out.
"""

import contextlib
import os
import zlib
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from edgefool.errors import RunError
from edgefool.images import write_atomically


class Line(BaseModel):
    """One object of such a file; a later one with the same key takes the place of an earlier one."""

    @property
    def key(self) -> Hashable:
        """What the object is about."""
        raise NotImplementedError


L = TypeVar("L", bound=Line)


class Lines(Generic[L]):
    """The objects of one file, which need not exist yet. One process writes at a time."""

    def __init__(self, path: Path, model: type[L]):
        self.path, self._model = path, model

    def read(self) -> list[L]:
        """Return the latest object of each key, in the order in which the keys came first.

        What stands behind the last newline is being written, or was when its process was killed: it is left out.

        Raises
        ------
        RunError
            If a line is damaged.
        """
        latest: dict[Hashable, L] = {}
        for number, parsed in self._parse():
            if parsed is None:
                raise RunError(
                    f"line {number} of {self.path} is damaged; the command that made the run mends it when repeated"
                )
            latest[parsed.key] = parsed
        return list(latest.values())

    def has_whole(self) -> bool:
        """Tell whether there is a line that is not damaged."""
        return any(parsed is not None for _, parsed in self._parse())

    def append(self, objects: Iterable[L], *, durable: bool = True) -> None:
        """Write objects behind the others; they are durable when this returns, or else can be had again."""
        data = b"".join(_encode(thing) for thing in objects)
        if not data:
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)  # or the next line, should there be room for it, would join half of this
            raise

    def replace(self, objects: Iterable[L]) -> None:
        """Write the file anew; whatever happens, it is as before or as asked."""
        write_atomically(self.path, b"".join(_encode(thing) for thing in objects))

    def mend(self) -> list[int]:
        """Take out what is damaged and return the numbers of those lines; half a last line goes without saying."""
        if not self.path.exists():
            return []
        parsed = list(self._parse())
        if damaged := [number for number, thing in parsed if thing is None]:
            self.replace(thing for _, thing in parsed if thing is not None)
        else:
            whole = sum(len(line) + 1 for line in self._whole_lines())
            if whole < self.path.stat().st_size:
                os.truncate(self.path, whole)
        return damaged

    def _parse(self) -> Iterator[tuple[int, L | None]]:
        for number, line in enumerate(self._whole_lines(), 1):
            body = line[: -len(_check(b""))] + b"}"
            try:
                yield number, self._model.model_validate_json(body) if line.endswith(_check(body)) else None
            except ValidationError:
                yield number, None

    def _whole_lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        *lines, _half = self.path.read_bytes().split(b"\n")
        return lines


def _encode(thing: BaseModel) -> bytes:
    body = thing.model_dump_json().encode()
    return body[:-1] + _check(body) + b"\n"


def _check(body: bytes) -> bytes:
    return b',"check":"%08x"}' % zlib.crc32(body)
