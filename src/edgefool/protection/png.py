"""PNG files: pixels written by Pillow, colours and texts copied chunk by chunk.

https://www.w3.org/TR/png-3/
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image

from edgefool.errors import ImageError
from edgefool.images.png import SIGNATURE
from edgefool.images.write import encode
from edgefool.protection.exif import strip_prefix
from edgefool.protection.hidden_pictures import holds_picture
from edgefool.protection.metadata import Metadata, Note

_PIXELS = frozenset((b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI", b"pHYs"))
_COMMENTS = frozenset((b"tEXt", b"zTXt", b"iTXt", b"tIME"))
_XMP = b"XML:com.adobe.xmp\0"
_REWRITTEN = (_XMP, b"Raw profile type ", b"exif:")  # texts of ImageMagick, which repeat EXIF data, thumbnails included
_MAX_TEXT = 1 << 26  # bytes, so that a small file cannot fill the memory
_PALETTE = 3
_HEADER = struct.Struct(">4x4x8xBB")  # of the first chunk: depth and colour type


@dataclass(frozen=True)
class PngWriter:
    """How to write a PNG: with the chunks of its source that describe its colours and its resolution."""

    name: ClassVar[str] = "PNG"
    modes: ClassVar[tuple[str, ...]] = ("L", "LA", "RGB", "RGBA")

    about_pixels: tuple[bytes, ...]

    def write(self, image: Image.Image, metadata: Metadata) -> bytes:
        """Return the file."""
        data = encode(image, "PNG")
        first = len(SIGNATURE) + 25  # behind IHDR
        chunks = [*self.about_pixels, *metadata.comments]
        chunks += [_chunk(b"eXIf", metadata.exif)] if metadata.exif else []
        chunks += [_chunk(b"iTXt", _XMP + b"\0\0\0\0" + metadata.xmp)] if metadata.xmp else []
        return b"".join((data[:first], *chunks, data[first:]))


def read_png(data: bytes, image: Image.Image, note: Note) -> tuple[PngWriter, Metadata]:
    """Return how to write a PNG like this one, and its metadata.

    Raises
    ------
    ImageError
        If it is an animation.
    """
    chunks = list(_chunks(data))
    depth, colour_type = _HEADER.unpack_from(data, len(SIGNATURE))
    if any(name == b"acTL" for name, _ in chunks):
        raise ImageError("is an animation; only still photos can be protected")
    if any(name == b"caBX" for name, _ in chunks):
        note("its content credentials (C2PA) are left out: they do not hold for changed pixels")
    if depth == 16:
        note("its 16 bits are written as 8")
    if colour_type == _PALETTE:
        note("its palette is written as full colours")
    texts = [(name, body) for name, body in chunks if name in _COMMENTS and not body.startswith(_REWRITTEN)]
    comments = [chunk for chunk in texts if not holds_picture(_inflated(*chunk))]
    if len(comments) < len(texts):
        note("texts that hold a picture are left out, as it may show the original")
    metadata = Metadata(
        exif=_exif(image),
        xmp=image.info.get("xmp") or b"",
        comments=tuple(_chunk(*chunk) for chunk in comments),
    )
    return PngWriter(tuple(_chunk(*chunk) for chunk in chunks if chunk[0] in _PIXELS)), metadata


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and body of the chunks whose checksum holds."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        if zlib.crc32(data[position + 4 : end - 4]) == int.from_bytes(data[end - 4 : end]) and end <= len(data):
            yield data[position + 4 : position + 8], data[position + 8 : end - 4]
        position = end


def _inflated(name: bytes, body: bytes) -> bytes:
    """Return the body of a text with what is compressed in it in plain, as far as it is sound."""
    keyword, _, rest = body.partition(b"\0")
    if name == b"zTXt":
        rest = rest[1:]
    elif name == b"iTXt" and rest[:1] == b"\1":
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind the language and the translated keyword
    else:
        return body
    try:
        return keyword + b"\0" + zlib.decompressobj().decompress(rest, _MAX_TEXT)
    except zlib.error:
        return body


def _chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)


def _exif(image: Image.Image) -> bytes:
    """Return EXIF data of the chunk for them, or else of the text in which ImageMagick writes them in hexadecimal."""
    if exif := image.info.get("exif"):
        return strip_prefix(exif)
    *_, digits = image.info.get("Raw profile type exif", "").strip().split("\n", 2)
    try:
        return strip_prefix(bytes.fromhex(digits))
    except ValueError:
        return b""
