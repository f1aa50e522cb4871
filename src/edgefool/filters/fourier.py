"""The Fourier transform of images, by torch or by SciPy, whichever is faster at a width."""

import scipy.fft
import torch
from torch import Tensor

# On CPUs SciPy takes 0.25 to 0.7 of torch's time at odd widths whose largest prime factor is one of these, and up to
# three times as long at others (all widths from 200 to 619, one thread).
_BEST_FOR_SCIPY = range(17, 48)


def rfft2(images: Tensor) -> Tensor:
    """Return `torch.fft.rfft2` of images (..., H, W).

    >>> bool(rfft2(torch.ones(3, 17)).abs().sum() == 51)
    True
    """
    if _scipy_is_faster(images, images.shape[-1]):
        return torch.from_numpy(scipy.fft.rfft2(images.numpy(), workers=torch.get_num_threads()))
    spectrum: Tensor = torch.fft.rfft2(images)
    return spectrum


def irfft2(spectrum: Tensor, size: tuple[int, int]) -> Tensor:
    """Return `torch.fft.irfft2` of the spectrum of images of a size (H, W)."""
    if _scipy_is_faster(spectrum, size[1]):
        return torch.from_numpy(scipy.fft.irfft2(spectrum.numpy(), s=size, workers=torch.get_num_threads()))
    images: Tensor = torch.fft.irfft2(spectrum, s=size)
    return images


def _scipy_is_faster(values: Tensor, width: int) -> bool:
    return values.device.type == "cpu" and width % 2 == 1 and _largest_prime_factor(width) in _BEST_FOR_SCIPY


def _largest_prime_factor(number: int) -> int:
    """Return 1 for 1.

    >>> [_largest_prime_factor(number) for number in (1, 451, 500, 601)]
    [1, 41, 5, 601]
    """
    largest, factor = 1, 2
    while number > 1:
        while number % factor == 0:
            number //= factor
            largest = factor
        factor += 1
    return largest
