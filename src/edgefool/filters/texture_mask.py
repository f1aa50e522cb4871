"""Where a photo hides changes of its details: in textures, and not at silhouettes or on smooth surfaces."""

import torch
from kornia.color import rgb_to_lab
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Tensor
from torch.nn import functional as F

_DETAIL, _TEXTURE = 0.02, 0.02  # of L / 100: above them a change is hidden fully
_LEAST = 0.05


def texture_mask(images: Tensor, structure: Tensor, edges: float = 0.4) -> Tensor:
    r"""Return how well each pixel hides a change, by the details of the lightness around it.

    .. math::
        M = G_1 * \max\left(0.05, \min(\sigma_7(L_d) / 0.02, 1) \cdot
            (e + (1 - e) \min(\sqrt{\mu_2} / 0.02, 1))\right)

    :math:`\sigma_7` is the standard deviation of the details over 7 x 7 pixels, the least of those around the pixel
    (5 x 5), so that the details of an object do not count in the sky beside it. :math:`\mu_2` is the smaller eigenvalue
    of the structure tensor of L / 100 (σ = 2): large where gradients have many directions, as in a texture, and small
    along a single edge.

    Parameters
    ----------
    images, structure : Tensor
        I and I_g, (N, 3, H, W), RGB in [0, 1].
    edges : float
        e: how much of a change a single edge hides, from 0 to 1, the share of a texture.

    Returns
    -------
    Tensor
        (N, 1, H, W), in (0, 1].

    Examples
    --------
    >>> flat = torch.full((1, 3, 32, 32), 0.5)
    >>> texture_mask(flat, flat).unique().round(decimals=4)
    tensor([0.0500])
    """
    lightness, smooth = (rgb_to_lab(values.clamp(0, 1))[:, :1] / 100 for values in (images, structure))
    detail = (_least_around(local_deviation(lightness - smooth)) / _DETAIL).clamp(max=1)
    texture = (_smaller_eigenvalue(lightness).sqrt() / _TEXTURE).clamp(max=1)
    mask = (detail * (edges + (1 - edges) * texture)).clamp_min(_LEAST)
    blurred: Tensor = gaussian_blur2d(mask, (7, 7), (1.0, 1.0))
    return blurred


def local_deviation(values: Tensor) -> Tensor:
    """Return the standard deviation of values (N, C, H, W) over 7 x 7 pixels, cropped at the border."""
    mean, squares = (F.avg_pool2d(x, 7, 1, 3, count_include_pad=False) for x in (values, values.square()))
    return (squares - mean.square()).clamp_min(0).sqrt()


def _least_around(values: Tensor) -> Tensor:
    """Return the least of values (N, C, H, W) over 5 x 5 pixels, cropped at the border."""
    return -F.max_pool2d(-values, 5, 1, 2)


def _smaller_eigenvalue(values: Tensor) -> Tensor:
    """Return the smaller eigenvalue of the structure tensor of values (N, 1, H, W)."""
    x, y = spatial_gradient(values)[:, 0].unbind(1)  # Sobel / 8
    products = torch.stack([x * x, x * y, y * y], 1)
    xx, xy, yy = gaussian_blur2d(products, (13, 13), (2.0, 2.0)).unbind(1)
    smaller: Tensor = (xx + yy) / 2 - ((xx - yy).square() / 4 + xy.square()).sqrt()
    return smaller.clamp_min(0)[:, None]
