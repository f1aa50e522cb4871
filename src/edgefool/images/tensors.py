"""Images as tensors: checking, resizing, and rounding to 8 bits."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edgefool.errors import UsageError

MIN_SIDE = 16
"""Pixels; smaller images have no details to smooth or enhance."""

MAX_MEGAPIXELS = 100
"""Larger images are treated as decompression bombs, unless `read_image` is given another limit."""

MAX_PIXELS = MAX_MEGAPIXELS * 1_000_000
"""The same in pixels."""

MAX_SIDE = math.isqrt(MAX_PIXELS)
"""Side of the largest square image, in pixels."""


def resize_image(image: Tensor, size: int | tuple[int, int] | None) -> Tensor:
    """Resize as the paper's code does: bilinear, without antialiasing or cropping, not keeping the aspect ratio.

    Equals ``cv2.resize`` with ``INTER_LINEAR`` on 8-bit images to within one grey level.

    Parameters
    ----------
    image
        (3, H, W), values in [0, 1].
    size
        The side of a square or (height, width), in pixels; None returns the image unchanged.

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
    """Clip to [0, 1] and round to the nearest k/255, as saving and reading an image does.

    Parameters
    ----------
    images
        Any shape, floating-point.

    Returns
    -------
    Tensor
        Same shape, dtype and device; in float32 exactly the values that `read_image` returns.

    >>> round_to_8_bits(torch.tensor([-0.1, 0.5, 1.2])).mul(255).tolist()
    [0.0, 128.0, 255.0]
    """
    return from_levels((images.clamp(0, 1) * 255).round())


def from_levels(levels: Tensor) -> Tensor:
    """Return 8-bit levels, 0 to 255 of any dtype, as float values k/255."""
    # With a Python number as the divisor, CUDA multiplies by 1/255: off by one bit for half of the levels.
    if levels.is_floating_point():
        return levels / levels.new_full((), 255)
    floats = levels.float()
    return floats.div_(floats.new_full((), 255))  # in place, as fresh memory takes longer than the division


def check_images(images: Tensor) -> None:
    """Check the images that an attack is given.

    Parameters
    ----------
    images
        (N, 3, H, W), float32 or float64, RGB, values in [0, 1].

    Raises
    ------
    UsageError
        For anything else, with the offending value.
    """
    if not isinstance(images, Tensor):
        raise UsageError(f"images must be a tensor, not {type(images).__name__}")
    if images.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"images must be float32 or float64, not {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise UsageError(f"images must have the shape (N, 3, H, W), not {tuple(images.shape)}")
    low, high = (value.item() for value in images.detach().aminmax())
    if math.isnan(low):
        raise UsageError("images must lie in [0, 1]; found NaN")
    if low < 0 or high > 1:
        raise UsageError(f"images must lie in [0, 1]; found {low if low < 0 else high:g}")
