"""Tensors to image files."""

import io
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from edgefool.images.tensors import check_images

PNG_COMPRESSION = 1
"""2.5 times as fast as zlib's default of 6, files 8 % larger (photos of 224x224 and 500x375)."""


def encode_png(image: Tensor) -> bytes:
    """Return an image as an 8-bit PNG; `read_image` returns `round_to_8_bits` of the image from it, in RGB.

    Parameters
    ----------
    image
        (3, H, W), RGB, or (1, H, W), grey; values in [0, 1].

    Raises
    ------
    UsageError
        The image has another shape or range.
    """
    is_grey = image.ndim == 3 and len(image) == 1
    check_images((image.expand(3, -1, -1) if is_grey else image)[None])
    levels = (image.detach() * 255).round().to("cpu", torch.uint8)
    pixels = levels[0] if is_grey else levels.permute(1, 2, 0)
    return encode(Image.fromarray(pixels.contiguous().numpy()), "PNG", compress_level=PNG_COMPRESSION)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image of Pillow as a file, by Pillow's name of the format and options of its encoder."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
