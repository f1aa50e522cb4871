"""The segments of a JPEG stream, and where its picture ends.

ITU-T T.81, B.1 (https://www.w3.org/Graphics/JPEG/itu-t81.pdf).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

START = b"\xff\xd8"
APP, COMMENT = 0xE0, 0xFE
_SCAN, _END = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
_IN_SCANS = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)  # zeros and restarts belong to the scan
_MAX_BODY = 65533


class Segment(NamedTuple):
    """A marker, such as 0xE1 for APP1, and the bytes after its length."""

    marker: int
    body: bytes


def read_segments(data: bytes, start: int = 0, *, strict: bool = False) -> tuple[list[Segment], int]:
    """Return the segments of a JPEG stream before its first scan, and where the marker of that scan stands.

    Parameters
    ----------
    data
        Bytes with a stream in them.
    start
        Where the stream begins.
    strict
        Refuse bytes between segments, which decoders ignore.

    Raises
    ------
    ValueError
        If there is no scan, or a segment has an impossible length.
    """
    segments, position = list[Segment](), start + len(START)
    while True:
        found = data.find(b"\xff", position)
        if found < 0 or found + 1 >= len(data) or (strict and found > position):
            raise ValueError("a JPEG stream without a picture")
        marker, position = data[found + 1], found + 2
        if marker == _SCAN:
            return segments, found
        if marker == _END:
            raise ValueError("a JPEG stream without a picture")
        if marker == 0xFF:  # fill byte
            position = found + 1
        elif marker in _WITHOUT_LENGTH:
            if strict:
                raise ValueError("a JPEG stream without a picture")
        else:
            length = int.from_bytes(data[position : position + 2])
            if length < 2 or position + length > len(data):
                raise ValueError("a segment of a JPEG stream has an impossible length")
            segments.append(Segment(marker, data[position + 2 : position + length]))
            position += length


def end_of_picture(data: bytes, scan: int) -> int:
    """Return where the picture ends whose first scan begins at ``scan``: behind its end marker, or with the data."""
    position = scan
    while found := _IN_SCANS.search(data, position):
        marker, position = found[1][0], found.end()
        if marker == _END:
            return position
        if marker == START[1]:  # of another picture; the end marker is missing
            return found.start()
        if marker not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2])
    return len(data)


def make_segments(marker: int, body: bytes, prefix: bytes = b"") -> bytes:
    """Return a body as one segment, or as several where it is too long for one, each behind the prefix."""
    size = _MAX_BODY - len(prefix)
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    return b"".join(bytes([0xFF, marker]) + (2 + len(prefix) + len(part)).to_bytes(2) + prefix + part for part in parts)


def embedded_pictures(data: bytes) -> Iterator[slice]:
    """Yield where JPEG streams lie in other data; the first byte of their start may be wrong, as Minolta wrote it."""
    position = 0
    while (found := data.find(b"\xd8\xff", position)) >= 0:
        position = found + 1
        try:
            _, scan = read_segments(data, found - 1, strict=True)
        except ValueError:
            continue
        position = end_of_picture(data, scan)
        yield slice(max(found - 1, 0), position)
