"""L0 gradient minimisation: the smoothing filter whose output is the target I_g of EdgeFool."""

import math

import torch
from torch import Tensor

from edgefool.errors import UsageError
from edgefool.filters.fourier import irfft2, rfft2

LAMBDA, KAPPA, BETA_MAX = 0.02, 2.0, 1e5  # the authors'

# The authors divide 8-bit values by 256; the threshold lambda / beta is absolute, so the scale matters.
_SCALE = 255 / 256


@torch.no_grad()
def l0_smooth(images: Tensor, lam: float = LAMBDA, kappa: float = KAPPA, beta_max: float = BETA_MAX) -> Tensor:
    r"""Smooth images by L0 gradient minimisation (Xu et al., 2011), solved by FFT with half-quadratic splitting.

    .. math::
        \min_S \sum_p (S_p - I_p)^2 + \lambda \cdot \#\{p : |\partial_x S_p| + |\partial_y S_p| \ne 0\}

    with circular borders. An edge is a pixel whose squared gradient, summed over the channels, is at least
    :math:`\lambda / \beta`; :math:`\beta` grows from :math:`2 \lambda` to ``beta_max`` by the factor ``kappa``.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), floating point, values in [0, 1].
    lam : float
        Smoothing weight λ > 0; larger is smoother.
    kappa : float
        Growth factor κ > 1 of β; smaller is slower and sharper.
    beta_max : float
        Upper bound of β.

    Returns
    -------
    Tensor
        (N, C, H, W), of the dtype and on the device of ``images``; not clipped (the overshoot is below 0.05).

    Raises
    ------
    UsageError
        If the shape or a constant is out of range.

    Examples
    --------
    >>> images = torch.full((1, 3, 16, 16), 0.2)
    >>> images[..., 8:] = 0.8
    >>> torch.allclose(l0_smooth(images), images, atol=1e-4)  # edges stay
    True
    """
    if images.dim() != 4 or not images.is_floating_point():
        raise UsageError(
            f"l0_smooth takes floating-point images (N, C, H, W), not {images.dtype} {tuple(images.shape)}"
        )
    if not (lam > 0 and kappa > 1 and beta_max > 0):
        raise UsageError(f"l0_smooth needs lam > 0, kappa > 1 and beta_max > 0, not {lam}, {kappa} and {beta_max}")

    height, width = images.shape[-2:]
    smooth = images * _SCALE
    spectrum = rfft2(smooth)
    laplacian = _laplacian_spectrum(height, width, images)
    beta = 2 * lam
    while beta < beta_max:
        smooth = _quadratic_step(_edges(smooth, lam / beta), spectrum, laplacian, beta, (height, width))
        beta *= kappa
    return smooth / _SCALE


def _edges(smooth: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return the forward differences along x and y, zero where their squared norm is below ``threshold``."""
    horizontal = smooth.roll(-1, -1).sub_(smooth)
    vertical = smooth.roll(-1, -2).sub_(smooth)
    squared = (horizontal.square() + vertical.square()).sum(1, keepdim=True)
    edge = (squared >= threshold).to(smooth.dtype)
    return horizontal.mul_(edge), vertical.mul_(edge)


def _quadratic_step(
    edges: tuple[Tensor, Tensor], spectrum: Tensor, laplacian: Tensor, beta: float, size: tuple[int, int]
) -> Tensor:
    """Return the S that minimises |S - I|² + β |∂S - edges|²."""
    horizontal, vertical = edges
    divergence = horizontal.roll(1, -1).sub_(horizontal).add_(vertical.roll(1, -2)).sub_(vertical)
    solution = rfft2(divergence).mul_(beta).add_(spectrum).div_(laplacian * beta + 1)
    return irfft2(solution, size)


def _laplacian_spectrum(height: int, width: int, like: Tensor) -> Tensor:
    """Return |F(∂x)|² + |F(∂y)|² on the half plane of ``rfft2``, shape (H, W // 2 + 1)."""
    rows = torch.arange(height, device=like.device, dtype=torch.float64)
    columns = torch.arange(width // 2 + 1, device=like.device, dtype=torch.float64)
    vertical = 2 - 2 * torch.cos(2 * math.pi * rows / height)
    horizontal = 2 - 2 * torch.cos(2 * math.pi * columns / width)
    return (vertical[:, None] + horizontal[None, :]).to(like.dtype)
