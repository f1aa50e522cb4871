"""Tensors to bytes of image files."""

import io

import torch
from PIL import Image
from torch import Tensor

from edgefool.images.tensors import check_images

PNG_COMPRESSION = 1
"""8 % larger than zlib's default 6 and 2.5 times as fast (photos of 224² and of 500x375)."""


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
