"""Detail enhancement in CIELAB, Eq. 7 of the paper."""

import math

import torch
from kornia.color import lab_to_rgb, rgb_to_lab, rgb_to_linear_rgb, rgb_to_xyz
from torch import Tensor

from edgefool.errors import UsageError

V1, V2, V3 = 56.0, 1.0, 15.0  # Sec. 3


def enhance_details(
    images: Tensor, structure: Tensor, v1: float = V1, v2: float = V2, v3: float = V3, *, literal: bool = False
) -> Tensor:
    r"""Enhance the details I_d = I - I_s of the lightness and keep the colours (Eqs. 4 and 7).

    .. math::
        \dot I^L = f\left(\frac{I_s^L - v_1}{100}, v_2\right) \cdot 100 + v_1
                   + f\left(\frac{I_d^L}{100}, v_3\right) \cdot 100, \quad \dot I^a = I^a, \quad \dot I^b = I^b

    Parameters
    ----------
    images : Tensor
        The images I, (N, 3, H, W), RGB in [0, 1].
    structure : Tensor
        Their smooth structure I_s, same shape, RGB, nominally in [0, 1]; differentiable.
    v1 : float
        Midpoint of the lightness curve, 0 to 100.
    v2, v3 : float
        Slopes of the sigmoids of structure and details, positive.
    literal : bool
        Use f as printed, σ(ab) - ½. By default f is rescaled so that f(±½, b) = ±½, as in the authors' images;
        the printed form compresses the lightness to [42, 67].

    Returns
    -------
    Tensor
        The enhanced images, (N, 3, H, W), RGB clipped to [0, 1].

    Raises
    ------
    UsageError
        If the shapes differ or are not (N, 3, H, W).

    Examples
    --------
    >>> images = torch.rand(1, 3, 8, 8)
    >>> enhance_details(images, images.mean((2, 3), keepdim=True).expand_as(images)).shape
    torch.Size([1, 3, 8, 8])
    """
    if images.dim() != 4 or images.shape[1] != 3 or structure.shape != images.shape:
        raise UsageError(
            f"enhance_details takes two tensors (N, 3, H, W), not {tuple(images.shape)} and {tuple(structure.shape)}"
        )
    return enhance_lab(rgb_to_lab(images), structure, v1, v2, v3, literal=literal)


def enhance_lab(
    lab: Tensor, structure: Tensor, v1: float = V1, v2: float = V2, v3: float = V3, *, literal: bool = False
) -> Tensor:
    """Do what `enhance_details` does for images already in CIELAB, (N, 3, H, W), L in [0, 100]."""
    smooth = _lightness(structure)
    base = _sigmoid((smooth - v1) / 100, v2, literal) * 100 + v1
    details = _sigmoid((lab[:, :1] - smooth) / 100, v3, literal) * 100
    return lab_to_rgb(torch.cat([base + details, lab[:, 1:]], 1))


def _lightness(images: Tensor) -> Tensor:
    """Return only L of CIELAB, (N, 1, H, W), with a third of the cube roots of kornia's `rgb_to_lab`."""
    y = rgb_to_xyz(rgb_to_linear_rgb(images))[:, 1:2]
    return 116 * torch.where(y > 0.008856, y.clamp_min(0.008856) ** (1 / 3), 7.787 * y + 4 / 29) - 16


def _sigmoid(a: Tensor, b: float, literal: bool) -> Tensor:
    """Return f(a, b) of Eq. 7."""
    centred = torch.sigmoid(a * b) - 0.5
    return centred if literal else centred * (0.5 / (1 / (1 + math.exp(-b / 2)) - 0.5))
