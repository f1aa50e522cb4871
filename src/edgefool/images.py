"""The only place that knows the bytes of images."""

import contextlib
import io
import math
import textwrap
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from edgefool.errors import ImageError, UsageError
from edgefool.storage.files import is_remote, parse_path

MIN_SIDE = 16
"""Pixels; the L0 filter and detail enhancement have nothing to work on in a smaller image."""

MAX_PIXELS = 100_000_000
"""Larger images are taken for decompression bombs."""

MAX_SIDE = math.isqrt(MAX_PIXELS)
"""Pixels; of the largest square image."""

PNG_COMPRESSION = 1
"""8 % larger than zlib's default 6 and 2.5 times as fast (photos of 224² and of 500x375)."""

Image.init()
# Photos only: among the other files that Pillow reads is EPS, for which it starts Ghostscript.
IMAGE_FORMATS = tuple(
    sorted({"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP"} & Image.OPEN.keys())
)
"""The kinds of files, by Pillow's names, that `read_image` knows."""

IMAGE_SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in IMAGE_FORMATS)
"""How the names of image files end, in lower case and with the dot."""


def read_image(source: str | Path | bytes) -> Tensor:
    """Read a photo as people see it.

    The first frame counts, turned as EXIF says. Transparent parts are laid on white, an embedded colour profile is
    converted to sRGB (one that is broken or does not fit is ignored), grey of up to 16 bits is scaled to 8 bits.

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
        The file cannot be opened, is no image, damaged or truncated, has a side under `MIN_SIDE` or more than
        `MAX_PIXELS`. One line, without the file's name.
    UsageError
        Nothing installed can reach the address.
    """
    try:
        with warnings.catch_warnings(), _open(source) as file:
            warnings.simplefilter("ignore")
            return _from_levels(torch.from_numpy(_decode(file)).permute(2, 0, 1).contiguous())
    except (ImageError, UsageError):
        raise
    except UnidentifiedImageError:
        raise ImageError(f"not an image, or damaged at its start (known: {', '.join(IMAGE_FORMATS)})") from None
    except Image.DecompressionBombError:
        raise ImageError(f"has more than {MAX_PIXELS:,} pixels") from None
    # Damaged files make Pillow raise nearly anything, and one bad file must not stop the others.
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"cannot be read: {error.strerror}") from error
        reason = textwrap.shorten(str(error) or type(error).__name__, 200)
        raise ImageError(f"damaged, truncated or of an unknown kind: {reason}") from error


def _open(source: str | Path | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = parse_path(source)
    if is_remote(path):
        return path.open("rb")
    if path.is_dir():
        raise ImageError("a folder, not an image file")
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise ImageError("not a regular file")
    return path.open("rb")


def _decode(file: BinaryIO) -> NDArray[np.uint8]:
    if not file.read(1):
        raise ImageError("the file is empty")
    file.seek(0)
    with Image.open(file, formats=IMAGE_FORMATS) as image:
        _check_size(*image.size)
        image.load()
        with contextlib.suppress(Exception):  # EXIF data is often broken in photos that are otherwise fine
            ImageOps.exif_transpose(image, in_place=True)
        return np.array(_to_srgb(image))


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"has {width}x{height} pixels; both sides must have at least {MIN_SIDE}")
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width}x{height} pixels; more than {MAX_PIXELS:,} are not read")


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode == "F":
        raise ImageError("has floating-point pixels, whose white is not agreed")
    if image.mode.startswith("I"):
        image = _to_8_bit_grey(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode == "P":
        image = image.convert("RGB")
    if profile:
        with contextlib.suppress(OSError, ImageCms.PyCMSError):
            return _convert_profile(image, profile)
    return image.convert("RGB")


def _to_8_bit_grey(image: Image.Image) -> Image.Image:
    """Scale grey of up to 16 bits, which Pillow would clip or cut, and which it leaves negative in some TIFFs."""
    bits, white_is_zero = 16, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, (16,))[0]
        white_is_zero = image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0
    values = np.asarray(image)
    if bits > 16 or values.min() < 0:
        raise ImageError("has pixels of more than 16 bits or below zero, whose white is not agreed")
    levels = np.rint(values.astype(np.float32) * np.float32(255) / np.float32(2**bits - 1)).astype(np.uint8)
    return Image.fromarray(255 - levels if white_is_zero else levels)


def _convert_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # noqa: S101  (None is for conversion in place)
    return converted


def resize_image(image: Tensor, size: int | tuple[int, int] | None) -> Tensor:
    """Resize directly as the paper's code does: bilinear, no antialiasing, no crop, proportions not kept.

    Equals ``cv2.resize`` with ``INTER_LINEAR`` on 8-bit images to within one grey level.

    Parameters
    ----------
    image
        (3, H, W), values in [0, 1].
    size
        The side of a square or (height, width), in pixels; None leaves the image as it is.

    Returns
    -------
    Tensor
        (3, height, width), every value one of k/255.

    Raises
    ------
    UsageError
        A side is under `MIN_SIDE`, or there are more than `MAX_PIXELS`.
    """
    if size is None:
        return image
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < MIN_SIDE or height * width > MAX_PIXELS:
        raise UsageError(
            f"size {height}x{width}: sides must be at least {MIN_SIDE}, with {MAX_PIXELS:,} pixels at most"
        )
    return round_to_8_bits(F.interpolate(image[None], (height, width), mode="bilinear", align_corners=False)[0])


def round_to_8_bits(images: Tensor) -> Tensor:
    """Clip to [0, 1] and round to the nearest k/255: what is left of an image that is saved and read again.

    Parameters
    ----------
    images
        Any shape, floating-point.

    Returns
    -------
    Tensor
        Same shape, type and device; in float32 exactly the values that `read_image` gives.

    >>> round_to_8_bits(torch.tensor([-0.1, 0.5, 1.2])).mul(255).tolist()
    [0.0, 128.0, 255.0]
    """
    return _from_levels((images.clamp(0, 1) * 255).round())


def _from_levels(levels: Tensor) -> Tensor:
    # CUDA multiplies by 1/255 where the divisor is a Python number: off by one bit for half of the levels.
    levels = levels if levels.is_floating_point() else levels.float()
    return levels / levels.new_full((), 255)


def encode_png(image: Tensor) -> bytes:
    """Return the image as the bytes of an 8-bit RGB PNG; `read_image` gives `round_to_8_bits` of it back.

    Parameters
    ----------
    image
        (3, H, W), values in [0, 1].

    Raises
    ------
    UsageError
        The image is not of this shape and range.
    """
    check_images(image[None])
    levels = (image.detach() * 255).round().to("cpu", torch.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG", compress_level=PNG_COMPRESSION)
    return buffer.getvalue()


def check_images(images: Tensor) -> None:
    """Check what every attack is given.

    Parameters
    ----------
    images
        (N, 3, H, W), float32 or float64, RGB, values in [0, 1].

    Raises
    ------
    UsageError
        Anything else, with the offending value.
    """
    if not isinstance(images, Tensor):
        raise UsageError(f"images must be a tensor, not {type(images).__name__}")
    if images.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"images must be float32 or float64, not {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise UsageError(f"images must have the shape (N, 3, H, W), not {tuple(images.shape)}")
    low, high = (value.item() for value in images.detach().aminmax())
    if np.isnan(low):
        raise UsageError("images must lie in [0, 1]; found NaN")
    if low < 0 or high > 1:
        raise UsageError(f"images must lie in [0, 1]; found {low if low < 0 else high:g}")
