"""How far an adversarial image is from the original, by kornia."""

import kornia.metrics
import torch
from torch import Tensor


def psnr(images: Tensor, originals: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in decibels, (N, 3, H, W) in [0, 1] to (N,).

    >>> psnr(torch.full((1, 3, 16, 16), 0.1), torch.zeros(1, 3, 16, 16))
    tensor([20.])
    """
    pairs = zip(images, originals, strict=True)
    return torch.stack([kornia.metrics.psnr(image, original, max_val=1.0) for image, original in pairs])


def ssim(images: Tensor, originals: Tensor) -> Tensor:
    """Return the structural similarity of each image, (N, 3, H, W) in [0, 1] to (N,): 11 x 11 Gaussian window, σ = 1.5.

    >>> images = torch.rand(1, 3, 16, 16)
    >>> ssim(images, images).round(decimals=4)
    tensor([1.])
    """
    similarity: Tensor = kornia.metrics.ssim(images, originals, window_size=11, max_val=1.0)
    return similarity.mean((1, 2, 3))
