"""The guided filter that follows the network in the authors' code, but not in the paper."""

from torch import Tensor
from torch.nn import functional as F


def guided_filter(images: Tensor, guide: Tensor, radius: int = 1, eps: float = 1e-8) -> Tensor:
    """Replace each pixel by the local linear regression of ``images`` on ``guide``, channel by channel.

    As in Wu et al. (2018), reference [16] of the paper, at equal resolutions: the coefficients are not averaged, unlike
    those of the original guided filter (He et al., 2010).

    Parameters
    ----------
    images, guide : Tensor
        (N, C, H, W), floating point.
    radius : int
        The window is 2 · radius + 1 pixels wide and high, cropped at the border.
    eps : float
        Regularises the regression, in squared image units.

    Returns
    -------
    Tensor
        (N, C, H, W).

    Examples
    --------
    >>> import torch
    >>> guide = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    >>> torch.allclose(guided_filter(2 * guide + 1, guide), 2 * guide + 1, atol=1e-4)
    True
    """

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, 2 * radius + 1, 1, radius, count_include_pad=False)

    mean_guide, mean_images = mean(guide), mean(images)
    covariance = mean(guide * images) - mean_guide * mean_images
    slope = covariance / (mean(guide.square()) - mean_guide.square() + eps)
    return slope * (guide - mean_guide) + mean_images
