"""Robustness: what happens to an image on its way through the world, with real encoders.

An adversarial image x' survives a transformation T if the classifier still tells it from the original x, that is if
C(T(x')) ≠ C(T(x)). Both are transformed, as T alone changes classes too: C(T(x)) ≠ C(x) is the classifier's own
instability.
"""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from edgefool.errors import UsageError, check_known
from edgefool.images.tensors import from_levels

Pixels = NDArray[np.uint8]
"""An 8-bit image (H, W, 3), RGB."""

_SOCIAL_SIDE = 1080  # pixels


def encode_and_decode(image: Pixels, encoder: str, quality: int) -> Pixels:
    """Return an image as it is read from a lossy file.

    Parameters
    ----------
    image : array
        (H, W, 3), uint8, RGB.
    encoder : {"JPEG", "WEBP"}
        Pillow's encoder, with its defaults; that of JPEG halves the resolution of the colours (4:2:0).
    quality : int
        0 to 100.
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, encoder, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def shrink(image: Pixels, factor: float) -> Pixels:
    """Return an image with its sides multiplied by a factor up to 1 and rounded, by Pillow's bicubic filter.

    Pillow widens the filter in proportion when it shrinks an image, so there is no aliasing.
    """
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def blur(image: Pixels, sigma: float) -> Pixels:
    """Return an image convolved with a Gaussian of standard deviation ``sigma`` in pixels; its borders are mirrored."""
    return _to_8_bits(gaussian_filter(image.astype(np.float32), (sigma, sigma, 0)))


def crop_centre(image: Pixels, share: float) -> Pixels:
    """Return the middle of an image: the share of each side, rounded to pixels."""
    height, width = (max(1, round(side * share)) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def denoise(image: Pixels) -> Pixels:
    """Return an image after non-local means: each pixel is the mean of those around it whose surroundings look alike.

    By scikit-image, in its fast mode, for values in [0, 1]: patches of 5 x 5 pixels, compared up to 6 pixels away, and
    cut-off distance h = 0.05 (13 grey levels), for all channels together. It takes 0.2 to 0.35 s for 224 x 224 pixels
    on one core of a CPU; the other transformations take up to 25 ms.
    """
    from skimage.restoration import denoise_nl_means  # slow to import

    denoised = denoise_nl_means(
        image.astype(np.float32) / 255, patch_size=5, patch_distance=6, h=0.05, fast_mode=True, channel_axis=-1
    )
    return _to_8_bits(255 * denoised)


def post(image: Pixels) -> Pixels:
    """Return an image as a social network shows it: the longer side at most 1,080 pixels, JPEG 80 with 4:2:0."""
    return encode_and_decode(shrink(image, min(1, _SOCIAL_SIDE / max(image.shape))), "JPEG", 80)


def _to_8_bits(levels: NDArray[np.floating]) -> Pixels:
    return levels.round().clip(0, 255).astype(np.uint8)


TRANSFORMATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    **{f"jpeg{quality}": partial(encode_and_decode, encoder="JPEG", quality=quality) for quality in (90, 75, 50)},
    "half": partial(shrink, factor=0.5),
    "blur1": partial(blur, sigma=1),
    "crop90": partial(crop_centre, share=0.9),
    "webp80": partial(encode_and_decode, encoder="WEBP", quality=80),
    "denoise": denoise,
    "social": post,
}
"""Transformations by name: an 8-bit image (H, W, 3) to another, perhaps of another size."""


def check_transformation(name: str) -> str:
    """Return the name of a transformation; raise `UsageError` if it is not one of `TRANSFORMATIONS`."""
    return check_known("transformation", name, TRANSFORMATIONS)


def transform(image: Tensor, name: str) -> Tensor:
    """Return a transformed image.

    Parameters
    ----------
    image : Tensor
        (3, H, W), RGB, values in [0, 1]; it is rounded to 8 bits.
    name : str
        One of `TRANSFORMATIONS`.

    Returns
    -------
    Tensor
        (3, H', W') on the CPU, every value one of k/255, in the dtype of the image.

    Raises
    ------
    UsageError
        If the shape or dtype of the image is invalid, or the transformation is unknown.

    Examples
    --------
    >>> transform(torch.rand(3, 40, 60), "half").shape, transform(torch.rand(3, 40, 60), "jpeg75").shape
    (torch.Size([3, 20, 30]), torch.Size([3, 40, 60]))
    """
    if image.ndim != 3 or len(image) != 3 or not image.is_floating_point():
        raise UsageError(f"image must be (3, H, W) floats, not {image.dtype} of shape {tuple(image.shape)}")
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    transformed = TRANSFORMATIONS[check_transformation(name)](pixels)
    return from_levels(torch.tensor(transformed).permute(2, 0, 1)).to(image.dtype)
