"""Files that only grow, a JSON object a line: what is on the disk survives whatever happens next.

The last field of a line, ``check``, is the CRC-32 of the object without it, so that an altered line is found out.
"""

import zlib
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from edgefool.errors import RunError
from edgefool.storage.append_log import GrowingFile


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
        self._file = GrowingFile(path)

    def read(self) -> list[L]:
        """Return the latest object of each key, in the order in which the keys came first.

        What stands behind the last newline is being written, or was when its process was killed: it is left out. Lines
        of parts are numbered as if they stood in the file.

        Raises
        ------
        RunError
            If a line is damaged.
        """
        latest: dict[Hashable, L] = {}
        for number, parsed in self._parse(self._file.read()):
            if parsed is None:
                raise RunError(
                    f"line {number} of {self.path} is damaged; the command that made the run mends it when repeated"
                )
            latest[parsed.key] = parsed
        return list(latest.values())

    def has_whole(self) -> bool:
        """Tell whether there is a line that is not damaged."""
        return any(parsed is not None for _, parsed in self._parse(self._file.read()))

    def append(self, objects: Iterable[L], *, durable: bool = True) -> None:
        """Write objects behind the others; they are durable when this returns, or else can be had again."""
        if data := b"".join(_encode(thing) for thing in objects):
            self._file.append(data, durable=durable)

    def replace(self, objects: Iterable[L]) -> None:
        """Write the file anew; whatever happens, it is as before or as asked."""
        self._file.replace(b"".join(_encode(thing) for thing in objects))

    def mend(self) -> list[int]:
        """Take out what is damaged and return the numbers of those lines; half a last line goes without saying.

        Many parts become one file.
        """
        pieces = self._file.read()
        parsed = list(self._parse(pieces))
        damaged = [number for number, thing in parsed if thing is None]
        if damaged or any(_is_torn(piece) for piece in pieces) or self._file.is_due:
            self.replace(thing for _, thing in parsed if thing is not None)
        return damaged

    def _parse(self, pieces: Iterable[bytes]) -> Iterator[tuple[int, L | None]]:
        for number, line in enumerate((line for piece in pieces for line in piece.split(b"\n")[:-1]), 1):
            body = line[: -len(_check(b""))] + b"}"
            try:
                yield number, self._model.model_validate_json(body) if line.endswith(_check(body)) else None
            except ValidationError:
                yield number, None


def _is_torn(piece: bytes) -> bool:
    return not piece.endswith(b"\n") and piece != b""


def _encode(thing: BaseModel) -> bytes:
    body = thing.model_dump_json().encode()
    return body[:-1] + _check(body) + b"\n"


def _check(body: bytes) -> bytes:
    return b',"check":"%08x"}' % zlib.crc32(body)
