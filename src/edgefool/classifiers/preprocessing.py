"""The preprocessing of images for a network, as one value.

Importing this module does not import torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """Resizing and normalisation before a network, similar to timm's ``PretrainedCfg``.

    `Classifier` applies it, differentiably. The default changes nothing.

    Attributes
    ----------
    input_size : int or None
        Height and width in pixels to which images are resized. None: no resizing.
    interpolation : {"bilinear", "bicubic"}
        Interpolation of resizing, with antialiasing where images shrink.
    mean, std : tuple of three floats
        Of R, G and B: the network sees (image - mean) / std.
    """

    input_size: int | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def resize(self, images: "Tensor") -> "Tensor":
        """Resize images (N, 3, H, W) to (N, 3, input_size, input_size); they are not normalised yet."""
        from torch.nn import functional as F

        if self.input_size is None or images.shape[2:] == (self.input_size, self.input_size):
            return images
        # Antialiasing only acts on axes that shrink.
        return F.interpolate(images, (self.input_size, self.input_size), mode=self.interpolation, antialias=True)


IMAGENET = Preprocessing(224, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The usual preprocessing of networks trained on ImageNet."""
