"""WebP files: lossless where their source is, else with a quality estimated from its quantiser.

https://www.rfc-editor.org/rfc/rfc9649, https://www.rfc-editor.org/rfc/rfc6386
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from edgefool.errors import ImageError
from edgefool.images.write import encode
from edgefool.protection.exif import strip_prefix
from edgefool.protection.metadata import Metadata, Note
from edgefool.protection.vp8 import estimate_quality


@dataclass(frozen=True)
class WebpWriter:
    """How to write a WebP: with options of Pillow's encoder."""

    name: ClassVar[str] = "WEBP"
    modes: ClassVar[tuple[str, ...]] = ("RGB", "RGBA")

    options: dict[str, Any]

    def write(self, image: Image.Image, metadata: Metadata) -> bytes:
        """Return the file."""
        blobs = {"icc_profile": metadata.profile, "exif": metadata.exif, "xmp": metadata.xmp}
        return encode(image, "WEBP", **blobs, **self.options)


def read_webp(data: bytes, image: Image.Image, note: Note) -> tuple[WebpWriter, Metadata]:
    """Return how to write a WebP like this one, and its metadata.

    Raises
    ------
    ImageError
        If it is an animation.
    """
    chunks = dict(_chunks(data))
    if b"ANIM" in chunks:
        raise ImageError("is an animation; only still photos can be protected")
    if b"C2PA" in chunks:
        note("its content credentials (C2PA) are left out: they do not hold for changed pixels")
    options = {"quality": estimate_quality(chunks[b"VP8 "])} if b"VP8 " in chunks else {"lossless": True, "exact": True}
    metadata = Metadata(
        exif=strip_prefix(image.info.get("exif") or b""),
        xmp=image.info.get("xmp") or b"",
        profile=image.info.get("icc_profile") or b"",
    )
    return WebpWriter(options), metadata


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
