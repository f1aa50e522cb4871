"""Conversion of any colours of a file to 8-bit sRGB."""

import contextlib
import io

import numpy as np
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from edgefool.errors import ImageError


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert an image to mode RGB: profiles to sRGB, transparency onto white, grey of up to 16 bits to 8 bits.

    Raises
    ------
    ImageError
        If the pixel value of white is not defined.
    """
    profile = image.info.get("icc_profile")
    if image.mode == "F":
        raise ImageError("has floating-point pixels, in which white is not defined")
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
    """Scale grey of up to 16 bits, which Pillow would clip or truncate, and which it leaves inverted in some TIFFs."""
    bits, white_is_zero = 16, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, (16,))[0]
        white_is_zero = image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0
    values = np.asarray(image)
    if bits > 16 or values.min() < 0:
        raise ImageError("has pixels of more than 16 bits or below zero, in which white is not defined")
    levels = np.rint(values.astype(np.float32) * np.float32(255) / np.float32(2**bits - 1)).astype(np.uint8)
    return Image.fromarray(255 - levels if white_is_zero else levels)


def _convert_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # noqa: S101  (None is for conversion in place)
    return converted
