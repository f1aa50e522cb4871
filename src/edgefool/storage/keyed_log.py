"""Logs of JSON objects, one per line, that any version of the program keeps intact.

The last field of a line, ``check``, is the CRC-32 of the object without it. A line with a valid checksum is never
altered or dropped; a later line invalidates what is no longer true.
"""

import zlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgefool.errors import RunError, UnreadableLineError
from edgefool.storage.append_log import AppendLog
from edgefool.storage.store import StorePath


class Line(BaseModel):
    """One object of a log; a later one with the same key replaces an earlier one."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    @property
    def key(self) -> Hashable:
        """What the object is about: a string, or a tuple of strings."""
        raise NotImplementedError


class _Invalidation(BaseModel):
    """A line that declares the earlier lines of a key invalid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    invalidates: str | tuple[str | None, ...]
    reason: str


L = TypeVar("L", bound=Line)


class KeyedLog(Generic[L]):
    """The objects of one log, which may not exist yet. One process writes at a time."""

    def __init__(self, path: StorePath, model: type[L]):
        self.path, self._model = path, model
        self._log = AppendLog(path)
        self._parse = model.__pydantic_validator__.validate_json  # .7 of the time of `model_validate_json`
        self._held: list[L] | None = None

    def read(self) -> list[L]:
        """Return the latest object of each key, in the order in which the keys first appeared.

        An unfinished last line is ignored: a process is writing it, or was killed while it did. Lines of segments are
        numbered as if they were in one file. What `hold` was given is returned once instead.

        Raises
        ------
        RunError
            If a line is damaged.
        UnreadableLineError
            If a line is intact, but this version does not know such lines.
        """
        held, self._held = self._held, None
        if held is not None:
            return held
        inspection = self.inspect()
        for line in inspection.damaged:
            if not line.is_torn:
                raise RunError(
                    f"line {line.number} of {self.path} is damaged; to repair it, repeat the command that made the run"
                )
        return inspection.items

    def hold(self, items: list[L]) -> None:
        """Keep what the log is known to hold for the next `read`, unless something is appended before."""
        self._held = items

    def inspect(self) -> "Inspection[L]":
        """Read the whole log, damaged lines too; raise `UnreadableLineError` as `read` does."""
        latest: dict[Hashable, L] = {}
        intact: list[bytes] = []
        damaged: list[RawLine] = []
        first, is_torn = 1, False
        for piece in self._log.read():
            *lines, end = piece.split(b"\n")
            torn = first + len(lines)
            if end:
                lines.append(end)
                is_torn = True
            for number, data in enumerate(lines, first):
                if (body := _body(data)) is None:
                    damaged.append(RawLine(number, data, number == torn))
                else:
                    self._apply(latest, number, body)
                    intact.append(data)
            first += len(lines)
        sound = None
        if damaged or is_torn or self._log.needs_merge:
            sound = b"".join(data + b"\n" for data in intact)
        return Inspection(self.path, list(latest.values()), damaged, sound, self._log)

    def append(self, objects: Iterable[L | _Invalidation], *, durable: bool = True) -> None:
        """Append objects, by default durable on return."""
        if data := b"".join(_encode(item) for item in objects):
            self._held = None
            self._log.append(data, durable=durable)

    def invalidate(self, reasons: Mapping[Any, str]) -> None:
        """Append a line for each key with the reason why its earlier lines are invalid; durable on return."""
        self.append(_Invalidation(invalidates=key, reason=reason) for key, reason in reasons.items())

    def _apply(self, latest: dict[Hashable, L], number: int, body: bytes) -> None:
        try:
            if body.startswith(b'{"invalidates":'):
                latest.pop(_Invalidation.model_validate_json(body).invalidates, None)
            else:
                item: L = self._parse(body)
                latest[item.key] = item
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise UnreadableLineError(
                f"line {number} of {self.path} is intact, but this version cannot read it ({reason})"
            ) from error


@dataclass(frozen=True)
class Inspection(Generic[L]):
    """A log as it was read.

    Attributes
    ----------
    path : StorePath
        The log.
    items : list
        The latest object of each key.
    damaged : list of RawLine
        The lines whose checksum is wrong.
    sound : bytes or None
        The other lines, if the log needs a repair.
    """

    path: StorePath
    items: list[L]
    damaged: "list[RawLine]"
    sound: bytes | None
    _log: AppendLog

    def repair(self, folder: StorePath) -> list[str]:
        """Remove damaged lines after copying their bytes into a folder, and merge segments; the rest stays as it is.

        Returns
        -------
        list of str
            A sentence for each damaged line, which names the copy.
        """
        reports = []
        if self.damaged:
            names = (f"{self.path.name}-{number}" for number in count(1))
            copy = next(path for name in names if not (path := folder / name).exists())
            copy.write(b"".join(line.data + b"\n" for line in self.damaged))
            reports = [f"{line.describe(self.path)}; its bytes are in {copy}" for line in self.damaged]
        if self.sound is not None:
            self._log.replace(self.sound)
        return reports


class RawLine(NamedTuple):
    """A line of a log as bytes, without its newline; torn if it has none."""

    number: int
    data: bytes
    is_torn: bool

    def describe(self, path: StorePath) -> str:
        """Say what is wrong with a line whose checksum is wrong."""
        return f"line {self.number} of {path.name} {'is incomplete' if self.is_torn else 'is damaged'}"


def _encode(item: BaseModel) -> bytes:
    body = item.model_dump_json().encode()
    return body[:-1] + _check(body) + b"\n"


def _body(line: bytes) -> bytes | None:
    """Return the object of a line without its checksum; None if the checksum is wrong."""
    body = line[: -len(_NO_CHECK)] + b"}"
    return body if line.endswith(_check(body)) else None


def _check(body: bytes) -> bytes:
    return b',"check":"%08x"}' % zlib.crc32(body)


_NO_CHECK = _check(b"")
