"""Distances between adversarial images and their originals, by kornia, scikit-image and torchmetrics."""

import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Self

import kornia.metrics
import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor, nn

from edgefool.classifiers.precision import full_float32
from edgefool.errors import UsageError, check_known
from edgefool.filters.texture_mask import local_deviation

LPIPS_BACKBONES = {"alex": "alexnet", "squeeze": "squeezenet1_1", "vgg": "vgg16"}
"""The networks whose weights `Lpips` takes: torchvision's names by the authors' names."""

SMOOTH_BELOW = 2.0
"""An original is smooth where the standard deviation of its lightness L*, 0 to 100, over 7 x 7 pixels is below this."""


def psnr(images: Tensor, originals: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in decibels; (N, 3, H, W) in [0, 1] to (N,).

    >>> psnr(torch.full((1, 3, 16, 16), 0.1), torch.zeros(1, 3, 16, 16))
    tensor([20.])
    """
    pairs = zip(images, originals, strict=True)
    return torch.stack([kornia.metrics.psnr(image, original, max_val=1.0) for image, original in pairs])


def ssim(images: Tensor, originals: Tensor) -> Tensor:
    """Return the structural similarity of each image; (N, 3, H, W) in [0, 1] to (N,).

    With an 11 x 11 Gaussian window, σ = 1.5 (Wang et al., 2004).

    >>> images = torch.rand(1, 3, 16, 16)
    >>> ssim(images, images).round(decimals=4)
    tensor([1.])
    """
    similarity: Tensor = kornia.metrics.ssim(images, originals, window_size=11, max_val=1.0)
    return similarity.mean((1, 2, 3))


def ciede2000(images: Tensor, originals: Tensor) -> Tensor:
    """Return the mean CIEDE2000 colour difference over the pixels of each image, computed in double precision.

    Parameters
    ----------
    images, originals : Tensor
        (N, 3, H, W), floating point, sRGB in [0, 1].

    Returns
    -------
    Tensor
        (N,), at least 0; a just noticeable difference is about 1. Same dtype and device as ``images``.

    Raises
    ------
    UsageError
        If the images are not (N, 3, H, W) or the two shapes differ.

    Examples
    --------
    >>> white, black = torch.ones(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    >>> ciede2000(torch.cat([black, white]), torch.cat([white, white])).round(decimals=2)
    tensor([100.,   0.])
    """
    _check_pair(images, originals)
    return _mean_ciede2000(_lab(images), _lab(originals)).to(images)


def smooth_delta_e(images: Tensor, originals: Tensor) -> Tensor:
    r"""Return the mean colour difference over the pixels where each original is smooth, and a change is seen at once.

    .. math::
        \Delta E^*_{ab} = \sqrt{(\Delta L^*)^2 + (\Delta a^*)^2 + (\Delta b^*)^2}

    (CIE 1976), of pixels where the standard deviation of the original's L* over 7 x 7 pixels, cropped at the border, is
    below `SMOOTH_BELOW`. Computed in double precision.

    Parameters
    ----------
    images, originals : Tensor
        (N, 3, H, W), floating point, sRGB in [0, 1].

    Returns
    -------
    Tensor
        (N,), at least 0; NaN for an original without smooth pixels. Same dtype and device as ``images``.

    Raises
    ------
    UsageError
        If the images are not (N, 3, H, W) or the two shapes differ.

    Examples
    --------
    >>> white, noise = torch.ones(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    >>> smooth_delta_e(torch.cat([0 * white, white]), torch.cat([white, noise])).round(decimals=2)
    tensor([100.,  nan])
    """
    _check_pair(images, originals)
    return _mean_smooth_delta_e(_lab(images), _lab(originals)).to(images)


def linf(images: Tensor, originals: Tensor) -> Tensor:
    """Return the largest absolute difference between each image and its original, in units of [0, 1].

    Parameters
    ----------
    images, originals : Tensor
        (N, 3, H, W), floating point, values in [0, 1].

    Returns
    -------
    Tensor
        (N,) in [0, 1].

    Raises
    ------
    UsageError
        If the images are not (N, 3, H, W) or the two shapes differ.

    Examples
    --------
    >>> linf(torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.75))
    tensor([0.2500])
    """
    _check_pair(images, originals)
    return (images - originals).abs().amax((1, 2, 3))


def changed_pixels(images: Tensor, originals: Tensor) -> Tensor:
    """Return the share of pixels of each image that differ by at least half an 8-bit level in some channel.

    Parameters
    ----------
    images, originals : Tensor
        (N, 3, H, W), floating point, values in [0, 1].

    Returns
    -------
    Tensor
        (N,) in [0, 1].

    Raises
    ------
    UsageError
        If the images are not (N, 3, H, W) or the two shapes differ.

    Examples
    --------
    >>> images = torch.zeros(1, 3, 16, 16)
    >>> images[0, 1, 2, :4] = 1 / 255
    >>> changed_pixels(images, torch.zeros(1, 3, 16, 16))
    tensor([0.0156])
    """
    _check_pair(images, originals)
    changed = ((images - originals).abs() >= 0.5 / 255).any(1)
    return changed.to(images.dtype).mean((1, 2))


def distances(images: Tensor, originals: Tensor) -> dict[str, Tensor]:
    """Return all distances between images and their originals except LPIPS, by name, (N, 3, H, W) to (N,)."""
    _check_pair(images, originals)
    colours = _lab(images), _lab(originals)  # once for both, as it takes the most time
    return {metric.__name__: metric(images, originals) for metric in (psnr, ssim, linf, changed_pixels)} | {
        "ciede2000": _mean_ciede2000(*colours).to(images),
        "smooth_delta_e": _mean_smooth_delta_e(*colours).to(images),
    }


def _lab(images: Tensor) -> Tensor:
    lab = rgb2lab(images.detach().double().cpu().numpy(), channel_axis=1)
    return torch.from_numpy(lab).contiguous()


def _mean_ciede2000(images: Tensor, originals: Tensor) -> Tensor:
    """Return the mean distance of colours in CIELAB, (N, 3, H, W) to (N,)."""
    apart = deltaE_ciede2000(images.numpy(), originals.numpy(), channel_axis=1)  # type: ignore[no-untyped-call]
    return torch.from_numpy(apart.mean((1, 2)))


def _mean_smooth_delta_e(images: Tensor, originals: Tensor) -> Tensor:
    """Return the mean distance of colours in CIELAB where the originals are smooth, (N, 3, H, W) to (N,)."""
    smooth = local_deviation(originals[:, :1])[:, 0] < SMOOTH_BELOW
    apart = (images - originals).square().sum(1).sqrt()
    return torch.where(smooth, apart, 0).sum((1, 2)) / smooth.sum((1, 2))


class Lpips(nn.Module):
    """Learned perceptual image patch similarity (Zhang et al., 2018), version 0.1, by torchmetrics.

    The linear layers come with torchmetrics; the caller passes the weights of the backbone, so nothing is downloaded.
    Frozen in eval mode; differentiable with respect to the images.

    Parameters
    ----------
    backbone : {"alex", "squeeze", "vgg"}
        A key of `LPIPS_BACKBONES`.
    state : mapping of str to Tensor
        ImageNet weights of the backbone by torchvision's names (``features.0.weight``); only the features are used.

    Raises
    ------
    UsageError
        If the backbone is unknown, or a tensor is missing or has another shape.

    Examples
    --------
    >>> from edgefool.classifiers.vision import torchvision
    >>> lpips = Lpips("squeeze", torchvision.models.squeezenet1_1(weights=None).state_dict())
    >>> images = torch.rand(2, 3, 32, 32)
    >>> lpips(images, images)
    tensor([0., 0.])
    """

    def __init__(self, backbone: str, state: Mapping[str, Tensor]):
        super().__init__()
        check_known("LPIPS backbone", backbone, LPIPS_BACKBONES)
        # Imported here, as it takes over a second; the first two make torchvision and matplotlib importable for it.
        import edgefool.classifiers.vision  # noqa: I001
        import edgefool.plotting  # noqa: F401
        from torchmetrics.functional.image.lpips import _LPIPS

        with torch.random.fork_rng(devices=[]):
            self.net = _LPIPS(net=backbone, pnet_rand=True)  # type: ignore[arg-type]
        own = self.net.net.state_dict()
        # torchmetrics splits the features into slices: slice1.0.weight, or slices.0.0.weight.
        sources = {name: re.sub(r"^slices?\.?\d+\.", "features.", name) for name in own}
        for name, source in sources.items():
            if source not in state:
                raise UsageError(f"the weights do not fit {LPIPS_BACKBONES[backbone]}: {source} is missing")
            found, expected = tuple(state[source].shape), tuple(own[name].shape)
            if found != expected:
                raise UsageError(
                    f"the weights do not fit {LPIPS_BACKBONES[backbone]}: {source} is {found} instead of {expected}"
                )
        self.net.net.load_state_dict({name: state[source] for name, source in sources.items()})
        self.requires_grad_(False)
        super().train(False)

    def forward(self, images: Tensor, originals: Tensor) -> Tensor:
        """Return the distance between each image and its original.

        Parameters
        ----------
        images, originals : Tensor
            (N, 3, H, W), floating point, values in [0, 1], at least 32 pixels a side.

        Returns
        -------
        Tensor
            (N,), at least 0.

        Raises
        ------
        UsageError
            If the shapes do not fit.
        """
        _check_pair(images, originals)
        if min(images.shape[2:]) < 32:
            raise UsageError(f"LPIPS needs images of at least 32 pixels a side, not {tuple(images.shape)}")
        with full_float32() if images.is_cuda else nullcontext():
            distances: Tensor = self.net(images, originals, normalize=True)
        return distances.flatten()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode; ``mode`` is ignored."""
        return super().train(False)


def _check_pair(images: Tensor, originals: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or images.shape != originals.shape:
        raise UsageError(
            f"images and originals must both be (N, 3, H, W), not {tuple(images.shape)} and {tuple(originals.shape)}"
        )
