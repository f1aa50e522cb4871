"""EXIF data, cleaned in place.

What stays keeps its place, because maker notes hold offsets from the start of the data. What goes leaves its directory,
and every byte that no entry leads to any more becomes zero.

CIPA DC-008-2023 (https://www.cipa.jp/std/documents/download_e.html?DC-008-Translation-2023-E), TIFF 6.0.
"""

import struct
from collections.abc import Set

import numpy as np
from PIL import ExifTags, Image

from edgefool.protection.jpeg_segments import embedded_pictures

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}  # of types
_ENTRY = 12  # bytes
_MAKER_NOTE = 0x927C
_DIRECTORIES = frozenset((0x8769, 0x8825, 0xA005))  # Exif, GPS, interoperability
_MAX_DEPTH, _MAX_SIZE = 3, 2**18

# What shows the photo before it was changed: pictures, and metadata of other kinds, which may hold pictures.
_ORIGINAL = frozenset(
    (
        *(0x0111, 0x0117, 0x0144, 0x0145, 0x014A, 0x0201, 0x0202),  # strips, tiles, sub-images, thumbnail
        0x501B,  # ThumbnailData of GDI+
        *(0x02BC, 0x83BB, 0x8649),  # XMP, IPTC, Photoshop
    )
)

PRIVATE_TAGS = frozenset(
    (
        0x8825,  # GPSInfo
        _MAKER_NOTE,
        0x013C,  # HostComputer: the name that people give to theirs
        0x9211,  # ImageNumber
        0xA420,  # ImageUniqueID
        0xA430,  # CameraOwnerName
        0xA431,  # BodySerialNumber
        0xA435,  # LensSerialNumber
        *(0xFDE8, 0xFDE9),  # OwnerName and SerialNumber of Camera Raw
        *(0xC62F, 0xC634, 0xC65D, 0xC68B),  # of DNG: serial number, maker note, ID and name of the raw file
    )
)
"""Tags of position, serial numbers, maker notes and owner. Artist and Copyright stay: they are to be read."""


def clean_exif(data: bytes, *, private: bool) -> bytes:
    """Return EXIF data without thumbnails and previews, and without private tags if asked.

    A directory that cannot be read is left out with its contents.

    Parameters
    ----------
    data
        A TIFF structure, without the prefix "Exif" and two zero bytes that it has in a JPEG.
    private
        Leave out `PRIVATE_TAGS`.

    Raises
    ------
    ValueError
        If the header or the first directory is damaged.
    """
    return _Cleaner(data, _ORIGINAL | PRIVATE_TAGS if private else _ORIGINAL).cleaned()


def make_exif(orientation: int) -> bytes:
    """Return EXIF data that hold nothing but the orientation, 1 to 8."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return strip_prefix(exif.tobytes())


def strip_prefix(data: bytes) -> bytes:
    """Return EXIF data without the prefix that JPEG demands and some writers put into other files."""
    while data.startswith(b"Exif\0\0"):
        data = data[6:]
    return data


class _Cleaner:
    def __init__(self, data: bytes, unwanted: Set[int]):
        if data[:4] not in (b"II*\0", b"MM\0*"):
            raise ValueError("EXIF data without a header")
        if len(data) > _MAX_SIZE:
            raise ValueError("EXIF data of unusual size")
        self._order = "<" if data.startswith(b"I") else ">"
        self._data, self._unwanted = data, unwanted
        self._result = bytearray(data)
        self._stays = bytearray(len(data))  # 1 for bytes that an entry leads to
        self._maker_notes = list[slice]()
        self._mark(0, 8)
        (first,) = self._unpack("I", 4)
        self._visit(first, depth=1)

    def cleaned(self) -> bytes:
        for place in self._maker_notes:
            for picture in embedded_pictures(self._data[place]):
                length = len(range(*picture.indices(place.stop - place.start)))
                begin = place.start + picture.start
                self._stays[begin : begin + length] = bytes(length)
        end = self._stays.rfind(b"\1") + 1
        return (np.frombuffer(self._result, np.uint8) * np.frombuffer(self._stays, np.uint8))[:end].tobytes()

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + layout, self._data, offset)
        except struct.error as error:
            raise ValueError("EXIF data that end too early") from error

    def _mark(self, start: int, end: int) -> None:
        end = min(end, len(self._data))
        self._stays[start:end] = b"\1" * max(end - start, 0)

    def _visit(self, offset: int, depth: int) -> None:
        """Rewrite a directory in place, with the entries that stay and no successor: that of thumbnails."""
        (count,) = self._unpack("H", offset)
        start, end = offset + 2, offset + 2 + count * _ENTRY
        if depth > _MAX_DEPTH or end > len(self._data) or any(self._stays[offset:end]):
            raise ValueError("EXIF directories that overlap, or end too early")
        self._mark(offset, end + 4)
        kept = [
            self._data[entry : entry + _ENTRY] for entry in range(start, end, _ENTRY) if self._stays_with(entry, depth)
        ]
        size = min(end + 4, len(self._data)) - offset
        table = struct.pack(self._order + "H", len(kept)) + b"".join(kept)
        self._result[offset : offset + size] = table.ljust(size, b"\0")
        self._stays[offset + len(table) + 4 : offset + size] = bytes(max(size - len(table) - 4, 0))

    def _stays_with(self, entry: int, depth: int) -> bool:
        """Return whether an entry stays, and mark what it leads to."""
        tag, kind, count, value = self._unpack("HHII", entry)
        if tag in self._unwanted:
            return False
        if tag in _DIRECTORIES:
            try:
                self._visit(value, depth + 1)
            except ValueError:
                return False
        elif (size := _SIZES.get(kind, 1) * count) > 4:
            self._mark(value, value + size)
            if tag == _MAKER_NOTE:
                self._maker_notes.append(slice(value, min(value + size, len(self._data))))
        return True
