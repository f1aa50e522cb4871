"""TIFF files: pixels written by Pillow, and a directory behind them that adds the metadata.

EXIF data are rewritten: a TIFF is one structure, in which they cannot keep their place. Maker notes would break.

https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

import io
import struct
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from edgefool.images.tiff import select_photo
from edgefool.images.write import encode
from edgefool.protection.exif import strip_prefix
from edgefool.protection.metadata import Metadata, Note

JPEG_QUALITY = 90
"""Of TIFFs whose pixels are compressed with losses."""

_LOSSLESS = frozenset(("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"))
_PREDICTED = frozenset(("tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"))
_LOSSY = frozenset(("jpeg", "tiff_jpeg", "webp"))

_Tag = ExifTags.Base
_DESCRIPTIVE = frozenset(
    (
        *(_Tag.ImageDescription, _Tag.Make, _Tag.Model, _Tag.Orientation, _Tag.Software, _Tag.DateTime),
        *(_Tag.XResolution, _Tag.YResolution, _Tag.ResolutionUnit, _Tag.Artist, _Tag.HostComputer, _Tag.Copyright),
        *(_Tag.Rating, _Tag.RatingPercent, *range(_Tag.XPTitle, _Tag.XPSubject + 1)),
    )
)
_PARTS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_XMP, _IPTC, _PHOTOSHOP, _PROFILE, _PREDICTOR = 700, 33723, 34377, 34675, 317
_HORIZONTAL = 2


@dataclass(frozen=True)
class TiffWriter:
    """How to write a TIFF: with options of Pillow's encoder."""

    name: ClassVar[str] = "TIFF"
    modes: ClassVar[tuple[str, ...]] = ("L", "LA", "RGB", "RGBA")

    options: dict[str, Any]

    def write(self, image: Image.Image, metadata: Metadata) -> bytes:
        """Return the file."""
        return _with_tags(encode(image, "TIFF", **self.options), _make_tags(metadata))


def read_tiff(data: bytes, image: Image.Image, note: Note) -> tuple[TiffWriter, Metadata]:
    """Return how to write a TIFF like this one, and its metadata."""
    data, inherited = select_photo(data)
    with TiffImageFile(io.BytesIO(data)) as file:
        tags, exif = file.tag_v2, file.getexif()
        if file.n_frames > 1:
            note("the other pictures in the file are left out")
        if any(bits > 8 for bits in tags.get(_Tag.BitsPerSample, (1,))):
            note("its 16 bits are written as 8")
        chosen = Image.Exif()
        try:
            for tag in _DESCRIPTIVE & set(exif):
                chosen[tag] = exif[tag]
            if inherited:
                chosen.setdefault(_Tag.Orientation, inherited)
            for part in _PARTS:
                values = dict(exif.get_ifd(part))
                if values.pop(_Tag.MakerNote, None):
                    note("its maker notes are left out: they cannot be moved within a TIFF")
                if values:
                    chosen[part] = values
            blob = strip_prefix(chosen.tobytes())
        except Exception:  # Pillow raises almost any error for damaged values
            note("its EXIF data are damaged and left out")
            blob = b""
        metadata = Metadata(
            exif=blob if len(chosen) else b"",
            xmp=_bytes(tags, _XMP),
            photoshop=_bytes(tags, _PHOTOSHOP),
            iptc=_bytes(tags, _IPTC),
            profile=_bytes(tags, _PROFILE),
        )
        return TiffWriter(_options(image.info.get("compression", "raw"), note)), metadata


def stored_orientation(data: bytes) -> int:
    """Return the orientation of the photo in a TIFF, by which Pillow turns it when it decodes."""
    with TiffImageFile(io.BytesIO(select_photo(data)[0])) as file:
        return int(file.tag_v2.get(_Tag.Orientation, 1))


def _options(compression: str, note: Note) -> dict[str, Any]:
    if compression in _LOSSY:
        note(f"its pixels are compressed again as JPEG of quality {JPEG_QUALITY}")
        return {"compression": "jpeg", "quality": JPEG_QUALITY}
    compression = compression if compression in _LOSSLESS else "tiff_adobe_deflate"  # the others are for two colours
    predictor = {"tiffinfo": {_PREDICTOR: _HORIZONTAL}} if compression in _PREDICTED else {}
    return {"compression": compression, **predictor}


def _bytes(tags: ImageFileDirectory_v2, tag: int) -> bytes:
    value = tags.get(tag, b"")
    value = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    return value if isinstance(value, bytes) else b""


def _make_tags(metadata: Metadata) -> ImageFileDirectory_v2:
    tags = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    exif = Image.Exif()
    exif.load(metadata.exif)
    for tag in exif:
        tags[tag] = exif.get_ifd(tag) if tag in _PARTS else exif[tag]
    for tag, value in (
        (_XMP, metadata.xmp),
        (_IPTC, metadata.iptc),
        (_PHOTOSHOP, metadata.photoshop),
        (_PROFILE, metadata.profile),
    ):
        if value:
            tags[tag] = value
    return tags


def _with_tags(data: bytes, tags: ImageFileDirectory_v2) -> bytes:
    """Return a little-endian TIFF with more tags: their values and a new first directory lie behind it."""
    data += bytes(len(data) % 2)
    values = tags.tobytes(len(data))
    first = int.from_bytes(data[4:8], "little")
    entries = sorted(_entries(data, first) + _entries(values, 0), key=lambda entry: entry[:2][::-1])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    values += bytes(len(values) % 2)
    return b"".join((data[:4], struct.pack("<I", len(data) + len(values)), data[8:], values, directory))


def _entries(data: bytes, directory: int) -> list[bytes]:
    count = int.from_bytes(data[directory : directory + 2], "little")
    start = directory + 2
    return [data[entry : entry + 12] for entry in range(start, start + 12 * count, 12)]
