"""Conversion of any colours of a file to 8-bit sRGB."""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from edgefool.errors import ImageError

Warn = Callable[[str], None]


def to_srgb(image: Image.Image, warn: Warn) -> Image.Image:
    """Convert an image to mode RGB: profiles to sRGB, transparency onto white, grey of up to 16 bits to 8 bits.

    ``warn`` is called with a line if the image has a profile that cannot be used.

    Raises
    ------
    ImageError
        If the pixel value of white is not defined.
    """
    if image.mode == "F":
        raise ImageError("has floating-point pixels, in which white is not defined")
    alpha, colours = alpha_channel(image), _without_alpha(image)
    is_grey = colours.mode == "L" or colours.mode.startswith("I")
    rgb = _grey_to_srgb(colours, image, warn) if is_grey else _convert(colours, image, warn)
    if alpha is None:
        return rgb
    rgb.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")


def alpha_channel(image: Image.Image) -> Image.Image | None:
    """Return the transparency of an image in mode L, of whatever kind it is, or None."""
    if not image.has_transparency_data:
        return None
    if image.mode.startswith("I"):
        opaque = np.asarray(image) != image.info["transparency"]
        return Image.fromarray(np.where(opaque, 255, 0).astype(np.uint8))
    return (image.convert("LA") if image.mode == "La" else image.convert("RGBA")).getchannel("A")


def _without_alpha(image: Image.Image) -> Image.Image:
    """Return the colours of an image in a mode in which profiles are written: L, I, RGB, CMYK or LAB."""
    if image.mode in ("L", "CMYK", "LAB") or image.mode.startswith("I"):
        return image
    if image.mode == "La":  # premultiplied
        image = image.convert("LA")
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def _grey_to_srgb(grey: Image.Image, image: Image.Image, warn: Warn) -> Image.Image:
    values, levels = _grey_levels(grey, image)
    # LittleCMS is up to 10 levels off for dark grey, unless told not to optimise.
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    colours = np.asarray(_convert(ramp, image, warn, ImageCms.Flags.NOOPTIMIZE))[0]
    table = np.stack([np.interp(levels, np.arange(256), channel) for channel in colours.T], 1)
    return Image.fromarray(np.rint(table).astype(np.uint8)[values])


def grey_to_8_bits(image: Image.Image) -> Image.Image:
    """Scale grey of up to 16 bits to 8, without its transparency.

    Raises
    ------
    ImageError
        If the pixel value of white is not defined.
    """
    values, levels = _grey_levels(image, image)
    return Image.fromarray(np.rint(levels).astype(np.uint8)[values])


def _grey_levels(grey: Image.Image, image: Image.Image) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the pixels, and the level of each value; Pillow clips more than 8 bits, and leaves some TIFFs inverted."""
    values, bits, white_is_zero = np.asarray(grey), 8 if grey.mode == "L" else 16, False
    if bits == 16 and isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, (16,))[0]
        white_is_zero = image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0
    if bits > 16 or values.min() < 0:
        raise ImageError("has pixels of more than 16 bits or below zero, in which white is not defined")
    return values, np.linspace(255, 0, 2**bits) if white_is_zero else np.linspace(0, 255, 2**bits)


def _convert(
    colours: Image.Image, image: Image.Image, warn: Warn, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> Image.Image:
    """Convert colours of an image to sRGB by the profile that the image has."""
    if "icc_profile" in image.info:
        try:
            transform = _transform_to_srgb(image.info["icc_profile"] or b"", colours.mode, flags)
            return transform.apply(colours)
        except (OSError, ValueError, ImageCms.PyCMSError):
            warn("its colour profile is damaged or does not match its pixels; treated as sRGB")
    return colours if colours.mode == "RGB" else colours.convert("RGB")  # which would copy it


@lru_cache(maxsize=8)  # making one takes longer than reading a small photo, and photos of one camera share theirs
def _transform_to_srgb(profile: bytes, mode: str, flags: ImageCms.Flags) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGB", flags=flags)
