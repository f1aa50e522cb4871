"""The only place that turns bytes into images and back."""

from edgefool.images.formats import IMAGE_FORMATS, IMAGE_SUFFIXES, describe_unreadable
from edgefool.images.read import read_image
from edgefool.images.tensors import (
    MAX_MEGAPIXELS,
    MAX_PIXELS,
    MAX_SIDE,
    MIN_SIDE,
    check_images,
    resize_image,
    round_to_8_bits,
)
from edgefool.images.write import encode_png

__all__ = [
    "IMAGE_FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_MEGAPIXELS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "MIN_SIDE",
    "check_images",
    "describe_unreadable",
    "encode_png",
    "read_image",
    "resize_image",
    "round_to_8_bits",
]
