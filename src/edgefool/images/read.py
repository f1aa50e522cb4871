"""Image files to tensors."""

import contextlib
import io
import math
import struct
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin
from torch import Tensor

from edgefool.errors import ImageError, ImageWarning, UsageError
from edgefool.images import png, tiff
from edgefool.images.colour import to_srgb
from edgefool.images.formats import IMAGE_FORMATS, describe_camera_raw, describe_unknown, is_camera_raw
from edgefool.images.tensors import MAX_MEGAPIXELS, MIN_SIDE, from_levels
from edgefool.storage import StorePath, parse_path

_WIDTH, _HEIGHT = ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"  # markers of JPEG


def read_image(
    source: str | Path | StorePath | bytes,
    *,
    max_megapixels: float | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Tensor:
    """Read a photo as people see it.

    The first frame is read and rotated as EXIF says; in a TIFF, the first full image. Transparent parts are laid on
    white, colours are converted to sRGB by the embedded profile or the colour space that a PNG names, and grey of up
    to 16 bits is scaled to 8 bits.

    Parameters
    ----------
    source
        An image file (a path, or an address such as ``s3://bucket/cat.jpg``), or the bytes of one.
    max_megapixels
        Images of more million pixels are refused as decompression bombs; by default `MAX_MEGAPIXELS`.
    on_warning
        Called with a line for each part of the file that is damaged or cannot be used, where the picture can still be
        read: a profile, a checksum, the end marker. By default a Python warning, `ImageWarning`.

    Returns
    -------
    Tensor
        (3, H, W), float32, RGB, every value one of k/255.

    Raises
    ------
    ImageError
        The file cannot be opened, is not an image, is damaged or truncated, holds raw sensor data, has a side under
        `MIN_SIDE` or more than ``max_megapixels``. The message is one line, without the file's name.
    UsageError
        No installed library can read the address.
    """
    lines: list[str] = []
    try:
        data = source if isinstance(source, bytes) else parse_path(source).read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            levels = _decode(data, MAX_MEGAPIXELS if max_megapixels is None else max_megapixels, lines.append)
        image = from_levels(torch.from_numpy(levels).permute(2, 0, 1).contiguous())
    except (ImageError, UsageError):
        raise
    except Image.DecompressionBombError:  # in WebP
        raise ImageError("is larger than Pillow reads in this format; convert to JPEG or PNG") from None
    # Pillow raises almost any error for damaged files, and one bad file must not stop the others.
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"cannot be read: {error.strerror}") from error
        reason = textwrap.shorten(str(error) or type(error).__name__, 200)
        raise ImageError(f"damaged, truncated or of an unknown kind: {reason}") from error
    for line in lines:
        if on_warning:
            on_warning(line)
        else:
            warnings.warn(line if isinstance(source, bytes) else f"{source}: {line}", ImageWarning, stacklevel=2)
    return image


def _decode(data: bytes, max_megapixels: float, warn: Callable[[str], None]) -> NDArray[np.uint8]:
    if not data:
        raise ImageError("the file is empty")
    if is_camera_raw(data):
        raise ImageError(describe_camera_raw())
    orientation = None
    if data.startswith(png.SIGNATURE):
        file = png.PngFile(data, warn)
        image = file.complete(_load(file.pixels, max_megapixels, warn))
    else:
        if tiff.is_tiff(data):
            data, orientation = tiff.select_photo(data)
        image = _load(data, max_megapixels, warn)
    with contextlib.suppress(Exception):  # EXIF data is often broken in otherwise good photos
        if orientation:
            image.getexif()[ExifTags.Base.Orientation] = orientation
        ImageOps.exif_transpose(image, in_place=True)
    return np.array(to_srgb(image, warn))


def _load(data: bytes, max_megapixels: float, warn: Callable[[str], None]) -> Image.Image:
    image = _open(data)
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"has {width}x{height} pixels; both sides must have at least {MIN_SIDE}")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"has {width}x{height} pixels; more than {max_megapixels * 1e6:,.0f} are read only with a larger "
            f"max_megapixels, here {math.ceil(width * height / 1e6)}"
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # else Pillow checks its own limit when it makes this
        image.im = Image.new(image.mode, (image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT])).im
    is_jpeg = image.format in ("JPEG", "MPO")
    try:
        image.load()
    except OSError:
        if not is_jpeg or (complete := _without_end_marker(data)) is None:
            raise
        image = complete
    if is_jpeg and data.rfind(_END_OF_IMAGE) < data.rfind(_START_OF_SCAN):
        warn("its end marker is missing")
    return image


def _open(data: bytes) -> Image.Image:
    """Open an image as `PIL.Image.open` does, whose own limit of pixels holds for the whole process."""
    for name in IMAGE_FORMATS:
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(data[:16])
        if accepted and not isinstance(accepted, str):  # a text says what is not installed
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(io.BytesIO(data), "")
    raise ImageError(describe_unknown(data))


def _without_end_marker(data: bytes) -> Image.Image | None:
    """Return the image of a JPEG that lacks nothing but its end marker, else None.

    A decoder ignores what follows the last pixel, and takes it for pixels if any are missing.
    """
    # Decoders wait for the next of the eight restart markers, and pass over some of the others.
    strays = [b"".join(b"\x55" * 64 + bytes([0xFF, 0xD0 + (first + k) % 8]) for k in range(8)) for first in (0, 4)]
    data = data.rstrip(b"\xff")  # half a marker
    image, *others = [_open(data + stray + _END_OF_IMAGE) for stray in (b"", *strays)]
    try:
        pixels = image.tobytes()
        is_complete = all(other.tobytes() == pixels for other in others)
    except OSError:
        return None
    return image if is_complete else None
