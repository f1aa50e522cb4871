"""The interface of enhancement filters that have an adversarial version, and the paper's own filter, Eq. 7."""

from dataclasses import dataclass
from typing import Protocol

from kornia.color import rgb_to_lab
from torch import Tensor

from edgefool.filters.detail_enhancement import V1, V2, V3, enhance_lab
from edgefool.filters.l0_smoothing import BETA_MAX, KAPPA, LAMBDA, l0_smooth


class EnhancementFilter(Protocol):
    """Enhances images (N, 3, H, W) by their smooth structure I_s, which an attack may change."""

    def smooth(self, images: Tensor) -> Tensor:
        """Return the structure I_g without an attack, (N, 3, H, W), nominally in [0, 1]."""
        ...

    def prepare(self, images: Tensor) -> Tensor:
        """Return what `enhance` needs of the images, (N, C, H, W), computed once for all structures."""
        ...

    def enhance(self, prepared: Tensor, structure: Tensor) -> Tensor:
        """Return the enhanced images, RGB clipped to [0, 1]; differentiable by the structure (N, 3, H, W)."""
        ...


@dataclass(frozen=True)
class DetailEnhancement:
    """Detail enhancement about the structure of the L0 filter, Eqs. 4 and 7.

    Parameters
    ----------
    lam, kappa, beta_max : float
        Of `edgefool.filters.l0_smooth`.
    v1, v2, v3, literal
        Of `edgefool.filters.enhance_details`.

    Examples
    --------
    >>> import torch
    >>> images, details = torch.rand(1, 3, 8, 8), DetailEnhancement(v3=7)
    >>> details.enhance(details.prepare(images), details.smooth(images)).shape
    torch.Size([1, 3, 8, 8])
    """

    lam: float = LAMBDA
    kappa: float = KAPPA
    beta_max: float = BETA_MAX
    v1: float = V1
    v2: float = V2
    v3: float = V3
    literal: bool = False

    def smooth(self, images: Tensor) -> Tensor:
        """Return the image of the L0 filter, I_g; see `EnhancementFilter`."""
        return l0_smooth(images, self.lam, self.kappa, self.beta_max)

    def prepare(self, images: Tensor) -> Tensor:
        """Return the images in CIELAB; see `EnhancementFilter`."""
        lab: Tensor = rgb_to_lab(images)
        return lab

    def enhance(self, prepared: Tensor, structure: Tensor) -> Tensor:
        """Return Eq. 7 of images in CIELAB; see `EnhancementFilter`."""
        return enhance_lab(prepared, structure, self.v1, self.v2, self.v3, literal=self.literal)
