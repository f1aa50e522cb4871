"""Small pictures of photos, for pages."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_preview(pixels: NDArray[np.uint8], side: int, quality: int = 82) -> bytes:
    """Return a photo (H, W, 3), RGB, as a JPEG whose longer side has at most ``side`` pixels.

    >>> data = encode_preview(np.zeros((200, 400, 3), np.uint8), 100)
    >>> Image.open(io.BytesIO(data)).size
    (100, 50)
    """
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=3)
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
