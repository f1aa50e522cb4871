"""What Pillow does not do for PNG files: it refuses sound ones, and ignores some transparency and colour spaces.

https://www.w3.org/TR/png-3/
"""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from edgefool.errors import ImageError
from edgefool.images.icc import (
    BT709_CURVE,
    BT2020_PRIMARIES,
    DISPLAY_P3_PRIMARIES,
    SRGB_CURVE,
    SRGB_PRIMARIES,
    make_profile,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_UNPACKED = 64 * 2**20
_GREY, _RGB, _PALETTE, _GREY_ALPHA = 0, 2, 3, 4

# Code points of cICP, ITU-T H.273. Those of HDR, PQ and HLG, need more than a curve.
_PRIMARIES = {1: SRGB_PRIMARIES, 9: BT2020_PRIMARIES, 12: DISPLAY_P3_PRIMARIES}
_CURVES = {1: BT709_CURVE, 4: (2.2,), 5: (2.8,), 6: BT709_CURVE, 8: (1.0,), 13: SRGB_CURVE} | dict.fromkeys(
    (14, 15), BT709_CURVE
)


class PngFile:
    """The chunks of a PNG file.

    Parameters
    ----------
    data
        The file.
    warn
        Called with a line for each part of the file that is damaged or cannot be used, and is left out.

    Attributes
    ----------
    pixels : bytes
        The file without what is not needed to decode it.

    Raises
    ------
    ImageError
        If a chunk that is needed is damaged, or texts and profiles are decompression bombs.
    """

    def __init__(self, data: bytes, warn: Callable[[str], None]):
        self._warn, self._chunks, self._left = warn, dict[bytes, bytes](), _MAX_UNPACKED
        self._info: dict[str, Any] = {}
        needed = [SIGNATURE]
        position, name = len(SIGNATURE), b""
        while name != b"IEND":
            length, name = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
            end = position + 12 + length
            chunk = data[position:end]
            if end > len(data) or not name.isalpha():
                warn("the end of the file is missing")
                needed += [chunk] if name == b"IDAT" else []
                break
            body, is_critical = chunk[8:-4], name[:1].isupper()
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
                if is_critical:
                    raise ImageError(f"damaged: its chunk {name.decode()} has a wrong checksum")
                warn(f"its chunk {name.decode()} has a wrong checksum and is left out")
            elif is_critical or (name == b"tRNS" and self._colour_type == _PALETTE):
                needed.append(chunk)
                self._chunks.setdefault(name, body if name != b"IDAT" else b"")
            else:
                self._read_extra(name, body)
            position = end
        self.pixels = b"".join(needed)

    @property
    def _depth(self) -> int:
        return self._chunks[b"IHDR"][8]

    @property
    def _colour_type(self) -> int:
        return self._chunks.get(b"IHDR", bytes(10))[9]

    def _read_extra(self, name: bytes, body: bytes) -> None:
        keyword, _, content = body.partition(b"\0")
        match name:
            case b"eXIf":
                self._info["exif"] = b"Exif\0\0" + body
            case b"iCCP":
                self._info["icc_profile"] = self._unpack(content[1:])
            case b"tEXt":
                self._read_text(keyword, content)
            case b"zTXt":
                self._read_text(keyword, self._unpack(content[1:]))
            case b"iTXt":
                text = content[2:].split(b"\0", 2)[-1]
                self._read_text(keyword, self._unpack(text) if content[:1] == b"\1" else text)
            case b"tRNS" | b"sRGB":
                self._chunks.setdefault(name, body)
            case b"cICP" | b"gAMA" | b"cHRM" if len(body) == (32 if name == b"cHRM" else 4):
                self._chunks.setdefault(name, body)

    def _read_text(self, keyword: bytes, text: bytes) -> None:
        """Keep a text in which Pillow looks for the orientation."""
        if keyword == b"XML:com.adobe.xmp":
            self._info["xmp"] = text
        elif keyword == b"Raw profile type exif":
            self._info[keyword.decode()] = text.decode("latin-1")

    def _unpack(self, packed: bytes) -> bytes:
        """Return what a chunk unpacks to, nothing if it is damaged."""
        try:
            text = zlib.decompressobj().decompress(packed, self._left + 1)
        except zlib.error:
            return b""
        self._left -= len(text)
        if self._left < 0:
            raise ImageError(f"a decompression bomb: its texts unpack to more than {_MAX_UNPACKED / 2**20:.0f} MiB")
        return text

    def complete(self, image: Image.Image) -> Image.Image:
        """Return the image of `pixels`, once loaded, with its transparency, EXIF data and colour profile."""
        info = image.info | self._info
        if profile := self._profile():
            info["icc_profile"] = profile
        if (key := self._chunks.get(b"tRNS")) and self._colour_type in (_GREY, _RGB):
            mask = 2**self._depth - 1
            samples = [sample & mask for (sample,) in struct.iter_unpack(">H", key[: len(key) // 2 * 2])]
            if len(samples) != (1 if self._colour_type == _GREY else 3):
                self._warn("its chunk tRNS has a wrong length and is left out")
            elif image.mode == "RGB" and self._depth == 16:
                image = image.copy()
                image.putalpha(self._opaque(image, samples))
            elif self._depth < 16:
                levels = [sample * 255 // mask for sample in samples]
                info["transparency"] = levels[0] if len(levels) == 1 else tuple(levels)
            else:
                info["transparency"] = samples[0]
        if self._colour_type == _GREY_ALPHA and image.mode == "RGBA":  # 16 bits
            image = Image.merge("LA", (image.getchannel("R"), image.getchannel("A")))
        image.info = info
        return image

    def _opaque(self, high: Image.Image, samples: list[int]) -> Image.Image:
        """Return the mask of 16-bit pixels of another colour; Pillow decodes the high bytes or the low ones."""
        low = PngImageFile(io.BytesIO(self.pixels))
        low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]
        values = np.asarray(high).astype(np.uint16) << 8 | np.asarray(low)
        return Image.fromarray(np.where((values == samples).all(-1), 0, 255).astype(np.uint8))

    def _profile(self) -> bytes | None:
        """Return the colour profile that stands for cICP, or for gAMA and cHRM, if they count and are not sRGB."""
        is_grey = self._colour_type in (_GREY, _GREY_ALPHA)
        if code_points := self._chunks.get(b"cICP"):
            primaries, curve = _PRIMARIES.get(code_points[0]), _CURVES.get(code_points[1])
            if primaries and curve:
                return make_profile(curve, None if is_grey else primaries)
            if "icc_profile" not in self._info:
                self._warn(f"its colour space (cICP {', '.join(map(str, code_points))}) is not known; treated as sRGB")
            return None
        if "icc_profile" in self._info or b"sRGB" in self._chunks:
            return None
        gamma = int.from_bytes(self._chunks.get(b"gAMA", b"")) / 100_000
        curve = (1 / gamma,) if gamma and abs(gamma * 2.2 - 1) > 0.05 else SRGB_CURVE  # libpng's threshold
        primaries = SRGB_PRIMARIES
        if chromaticities := self._chunks.get(b"cHRM"):
            given = tuple(value / 100_000 for value in struct.unpack(">8I", chromaticities))
            primaries = primaries if np.allclose(given, primaries, atol=0.005) else given
        if curve == SRGB_CURVE and (is_grey or primaries == SRGB_PRIMARIES):
            return None
        try:
            return make_profile(curve, None if is_grey else primaries)
        except ValueError:
            self._warn("its chunks gAMA and cHRM describe no colours; treated as sRGB")
            return None
