"""Image files to tensors."""

import contextlib
import io
import textwrap
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from edgefool.errors import ImageError, UsageError
from edgefool.images.colour import to_srgb
from edgefool.images.tensors import MAX_PIXELS, MIN_SIDE, from_levels
from edgefool.storage import StorePath, parse_path

Image.init()
# Photos only: Pillow also reads EPS, for example, for which it starts Ghostscript.
IMAGE_FORMATS = tuple(
    sorted({"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"} & Image.OPEN.keys())
)
"""The file formats that `read_image` accepts, by Pillow's names."""

IMAGE_SUFFIXES = frozenset(
    suffix
    for suffix, kind in Image.registered_extensions().items()
    if kind in (*IMAGE_FORMATS, "MPO")  # a JPEG followed by more images; Pillow opens the first
)
"""Suffixes of image files, in lower case and with the dot."""


def read_image(source: str | Path | StorePath | bytes) -> Tensor:
    """Read a photo as people see it.

    The first frame is read and rotated as EXIF says. Transparent parts are laid on white, an embedded colour profile is
    converted to sRGB (ignored if broken or unsuitable), and grey of up to 16 bits is scaled to 8 bits.

    Parameters
    ----------
    source
        An image file (a path, or an address such as ``s3://bucket/cat.jpg``), or the bytes of one.

    Returns
    -------
    Tensor
        (3, H, W), float32, RGB, every value one of k/255.

    Raises
    ------
    ImageError
        The file cannot be opened, is not an image, is damaged or truncated, has a side under `MIN_SIDE` or more than
        `MAX_PIXELS`. The message is one line, without the file's name.
    UsageError
        No installed library can read the address.
    """
    try:
        data = source if isinstance(source, bytes) else parse_path(source).read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return from_levels(torch.from_numpy(_decode(data)).permute(2, 0, 1).contiguous())
    except (ImageError, UsageError):
        raise
    except UnidentifiedImageError:
        raise ImageError(f"not an image, or damaged at its start (known: {', '.join(IMAGE_FORMATS)})") from None
    except Image.DecompressionBombError:
        raise ImageError(f"has more than {MAX_PIXELS:,} pixels") from None
    # Pillow raises almost any error for damaged files, and one bad file must not stop the others.
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"cannot be read: {error.strerror}") from error
        reason = textwrap.shorten(str(error) or type(error).__name__, 200)
        raise ImageError(f"damaged, truncated or of an unknown kind: {reason}") from error


def _decode(data: bytes) -> NDArray[np.uint8]:
    if not data:
        raise ImageError("the file is empty")
    with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
        _check_size(*image.size)
        image.load()
        with contextlib.suppress(Exception):  # EXIF data is often broken in otherwise good photos
            ImageOps.exif_transpose(image, in_place=True)
        return np.array(to_srgb(image))


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"has {width}x{height} pixels; both sides must have at least {MIN_SIDE}")
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width}x{height} pixels; at most {MAX_PIXELS:,} are read")
