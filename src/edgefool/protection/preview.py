"""Small pictures of photos, for pages."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgefool.images.write import encode


def encode_preview(pixels: NDArray[np.uint8], side: int, quality: int = 82) -> bytes:
    """Return a photo (H, W, 3), RGB, as a JPEG whose longer side has at most ``side`` pixels.

    >>> import io
    >>> data = encode_preview(np.zeros((200, 400, 3), np.uint8), 100)
    >>> Image.open(io.BytesIO(data)).size
    (100, 50)
    """
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=3)
    return encode(image, "JPEG", quality=quality)
