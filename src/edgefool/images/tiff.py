"""The photo among the images of a TIFF file: cameras put a thumbnail first, and others reduced images.

https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from PIL.TiffImagePlugin import PREFIXES

from edgefool.errors import ImageError
from edgefool.images.formats import describe_camera_raw

_MAX_DIRECTORIES = 64  # looked at
_SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}  # in bytes, of the types of whole numbers
_FIRST = {False: (4, 4), True: (8, 8)}  # place and size of the offset of the first directory, also of a BigTIFF

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _HEIGHT = 254, 255, 256, 257
_PHOTOMETRIC, _ORIENTATION, _SUB_IFDS = 262, 274, 330
_REDUCED_OR_MASK = 1 | 4  # bits of NewSubfileType
_SENSOR_DATA = (32803, 34892)  # colour filter array, linear raw

Tags = Mapping[int, int]


def is_tiff(data: bytes) -> bool:
    """Return whether a file begins like a TIFF."""
    return data.startswith(tuple(PREFIXES))


def select_photo(data: bytes) -> tuple[bytes, int | None]:
    """Find the full image in a TIFF file: the first that is no reduced image or mask, else the largest.

    Returns
    -------
    bytes
        The file with this image as its first.
    int or None
        Its orientation, if only the first image has one.

    Raises
    ------
    ImageError
        If the file holds raw sensor data.
    """
    images = [(offset, tags) for offset, tags in _directories(data) if _WIDTH in tags and _HEIGHT in tags]
    if any(tags.get(_PHOTOMETRIC) in _SENSOR_DATA for _, tags in images):
        raise ImageError(describe_camera_raw())
    full = [image for image in images if not _is_reduced(image[1])]
    largest = sorted(images, key=lambda image: -image[1][_WIDTH] * image[1][_HEIGHT])
    if not images or (photo := (full or largest)[0]) == images[0]:
        return data, None
    offset, tags = photo
    inherited = None if _ORIENTATION in tags else images[0][1].get(_ORIENTATION)
    start, width = _FIRST[_is_big(data)]
    return data[:start] + offset.to_bytes(width, _order(data)) + data[start + width :], inherited


def _directories(data: bytes) -> Iterator[tuple[int, Tags]]:
    """Yield directories with their offsets, each before those inside it and the next."""
    pending, seen = [_number(data, *_FIRST[_is_big(data)])], set[int]()
    while pending and len(seen) < _MAX_DIRECTORIES:
        offset = pending.pop(0)
        if offset in seen or not 0 < offset < len(data):
            continue
        seen.add(offset)
        tags, inside, following = _read_directory(data, offset)
        yield offset, tags
        pending = [*inside, following, *pending]


def _read_directory(data: bytes, offset: int) -> tuple[Tags, list[int], int]:
    """Return the first number of each tag, and the offsets of the directories inside this one and of the next."""
    width, count = (8, 8) if _is_big(data) else (4, 2)
    entries = range(offset + count, len(data), 4 + 2 * width)[: _number(data, offset, count)]
    tags: dict[int, int] = {}
    inside: list[int] = []
    for entry in entries:
        tag, kind, number = _number(data, entry, 2), _number(data, entry + 2, 2), _number(data, entry + 4, width)
        if not (size := _SIZES.get(kind)):
            continue
        value = entry + 4 + width
        start = value if size * number <= width else _number(data, value, width)
        tags[tag] = _number(data, start, size)
        if tag == _SUB_IFDS:
            inside = [_number(data, start + k * size, size) for k in range(min(number, _MAX_DIRECTORIES))]
    return tags, inside, _number(data, entries.stop, width)


def _number(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], _order(data))


def _is_reduced(tags: Tags) -> bool:
    return bool(tags.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK) or tags.get(_SUBFILE_TYPE) == 2


def _order(data: bytes) -> Literal["little", "big"]:
    return "little" if data.startswith(b"I") else "big"


def _is_big(data: bytes) -> bool:
    """Return whether it is a BigTIFF."""
    return 43 in data[2:4]
