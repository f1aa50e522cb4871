"""Image files to tensors."""

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from edgefool.errors import ImageWarning
from edgefool.images.colour import to_srgb
from edgefool.images.decode import decode_image, image_errors
from edgefool.images.tensors import from_levels
from edgefool.storage import StorePath, parse_path

_STRIP = 2**20  # pixels


def read_image(
    source: str | Path | StorePath | bytes,
    *,
    max_megapixels: float | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Tensor:
    """Read a photo as people see it.

    The first frame is read and rotated as EXIF says; in a TIFF, the first full image. Transparent parts become
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
    with image_errors():
        data = source if isinstance(source, bytes) else parse_path(source).read()
        levels = upright_levels(data, max_megapixels, lines.append)
        image = from_levels(torch.from_numpy(levels).permute(2, 0, 1).contiguous())
    for line in lines:
        if on_warning:
            on_warning(line)
        else:
            warnings.warn(line if isinstance(source, bytes) else f"{source}: {line}", ImageWarning, stacklevel=2)
    return image


def upright_levels(data: bytes, max_megapixels: float | None, warn: Callable[[str], None]) -> NDArray[np.uint8]:
    """Return the photo of a file as `read_image` does, but in 8 bits, (H, W, 3); call it within `image_errors`."""
    image = decode_image(data, max_megapixels, warn)
    with contextlib.suppress(Exception):  # EXIF data is often broken in otherwise good photos
        ImageOps.exif_transpose(image, in_place=True)
    return to_array(to_srgb(image, warn))


def to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Return the 8-bit pixels of an image of Pillow, (H, W) or (H, W, C), strip by strip: Pillow copies them twice.

    >>> to_array(Image.new("RGB", (3, 2), "white")).shape
    (2, 3, 3)
    """
    width, height = image.size
    bands = len(image.getbands())
    pixels = np.empty((height, width, bands) if bands > 1 else (height, width), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels
