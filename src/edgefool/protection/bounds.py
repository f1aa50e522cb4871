"""How much a photo may differ from its original, for each strength."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from edgefool.images.tensors import from_levels
from edgefool.metrics.quality import distances

MEASURED_PIXELS = 500_000
"""Photos are compared at this size, about that of a screen at arm's length.

At full resolution SSIM compares 11 x 11 pixels, in which a photo of 12 million shows nothing that people see, so that a
limit would allow more there; and the three distances of 12 million pixels take half a minute.
"""


@dataclass(frozen=True)
class Quality:
    """Distances between a photo and its original.

    Attributes
    ----------
    ssim
        Structural similarity, up to 1.
    ciede2000
        Mean colour difference.
    smooth_delta_e
        Mean colour difference where the original is smooth; 0 if it is nowhere.
    """

    ssim: float
    ciede2000: float
    smooth_delta_e: float


@dataclass(frozen=True)
class Bounds:
    """The least SSIM, and the greatest of the other two distances of `Quality`."""

    min_ssim: float
    max_ciede2000: float
    max_smooth_delta_e: float

    def allowed_share(self, quality: Quality) -> float:
        """Return by what a change is to be multiplied to stay within the bounds, at least 1 if it does.

        Colour differences are about proportional to the change, and 1 - SSIM to its square.

        >>> Bounds(0.9, 3, 3).allowed_share(Quality(1, 6, 2))
        0.5
        """
        tiny = 1e-6
        return min(
            math.sqrt((1 - self.min_ssim) / max(1 - quality.ssim, tiny)),
            self.max_ciede2000 / max(quality.ciede2000, tiny),
            self.max_smooth_delta_e / max(quality.smooth_delta_e, tiny),
        )


BOUNDS = {
    "subtle": Bounds(0.94, 1.8, 2.0),
    "natural": Bounds(0.885, 3.0, 3.4),
    "vivid": Bounds(0.62, 7.5, 9.0),
}
"""By strength; docs/protect.md says how they were chosen, and how many photos they weaken."""


def shrink(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a photo (H, W, 3) at a size (height, width), by a bicubic filter without aliasing."""
    if size == pixels.shape[:2]:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC, reducing_gap=3))


def shrink_to_measure(pixels: NDArray[np.uint8]) -> Tensor:
    """Return a photo (H, W, 3) with at most `MEASURED_PIXELS` pixels as (1, 3, H', W') in [0, 1].

    >>> shrink_to_measure(np.zeros((2000, 1000, 3), np.uint8)).shape
    torch.Size([1, 3, 1000, 500])
    """
    height, width = pixels.shape[:2]
    scale = min(1, math.sqrt(MEASURED_PIXELS / (height * width)))
    # Filters of 11 x 11 pixels need half of them on each side.
    size = (max(round(height * scale), min(height, 16)), max(round(width * scale), min(width, 16)))
    return from_levels(torch.tensor(shrink(pixels, size)).permute(2, 0, 1)[None])


def measure(image: Tensor, original: Tensor) -> Quality:
    """Return the distances between a photo and its original, both (1, 3, H, W) in [0, 1]."""
    found = distances(image, original)
    values = (float(found[name]) for name in ("ssim", "ciede2000", "smooth_delta_e"))
    similarity, colours, smooth = (0.0 if math.isnan(value) else value for value in values)
    return Quality(similarity, colours, smooth)
