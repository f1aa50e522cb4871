"""The preprocessing of images for a network, as one value.

Importing this module does not import torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

CropMode = Literal["squash", "center", "border"]
"""How an image that is not square becomes square, in timm's words."""


@dataclass(frozen=True)
class Preprocessing:
    """Resizing, cropping and normalisation before a network, similar to timm's ``PretrainedCfg``.

    `Classifier` applies it, differentiably. The default changes nothing.

    Attributes
    ----------
    input_size : int or None
        Height and width in pixels of what the network sees. None: no resizing and no cropping.
    interpolation : {"bilinear", "bicubic"}
        Interpolation of resizing, with antialiasing where images shrink.
    mean, std : tuple of three floats
        Of R, G and B: the network sees (image - mean) / std.
    resize_size : int or None
        Side in pixels to which images are resized, before they are cropped or padded to ``input_size`` around their
        centre. None: ``input_size``.
    crop_mode : {"squash", "center", "border"}
        Which side becomes ``resize_size``: both, as in EdgeFool 0.1 (squash); the shorter one, with the longer one in
        proportion (center); the longer one (border). Padding is black, with border the colour ``mean``.
    """

    input_size: int | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resize_size: int | None = None
    crop_mode: CropMode = "squash"

    def resize(self, images: "Tensor") -> "Tensor":
        """Resize and crop images (N, 3, H, W) to (N, 3, input_size, input_size); they are not normalised yet.

        Values are not clipped: bicubic interpolation overshoots [0, 1] at sharp edges, as it does in torchvision on
        floating-point tensors. On 8-bit images the libraries clip and round.
        """
        from torch.nn import functional as F

        if self.input_size is None:
            return images
        size = self._resized_shape(*images.shape[2:])
        if images.shape[2:] != size:
            # Antialiasing only acts on axes that shrink.
            images = F.interpolate(images, size, mode=self.interpolation, antialias=True)
        if size == (self.input_size, self.input_size):
            return images
        margins = [margin for side in reversed(size) for margin in _margins(side, self.input_size)]
        if self.crop_mode != "border":
            return F.pad(images, margins)
        colour = images.new_tensor([round(255 * value) / 255 for value in self.mean]).view(3, 1, 1)
        return F.pad(images - colour, margins) + colour

    def resize_matrices(self, images: "Tensor") -> "tuple[Tensor, Tensor] | None":
        """Return what `resize` does to the rows and to the columns of images (N, 3, H, W), as R and C of R x Cᵀ.

        Returns
        -------
        tuple of two Tensors or None
            (input_size, H) and (input_size, W), of the dtype and the device of the images. None if it changes nothing,
            or pads with a colour.
        """
        import torch
        from torch.nn import functional as F

        if self.input_size is None or self.crop_mode == "border":
            return None
        matrices = []
        for length, side in zip(images.shape[2:], self._resized_shape(*images.shape[2:]), strict=True):
            identity = torch.eye(length, dtype=images.dtype, device=images.device)[None, None]
            matrix = F.interpolate(identity, (side, length), mode=self.interpolation, antialias=True)[0, 0]
            matrices.append(F.pad(matrix, (0, 0, *_margins(side, self.input_size))))
        return matrices[0], matrices[1]

    def resize_with_pillow(self, pixels: "NDArray[np.uint8]") -> "Tensor":
        """Resize and crop an image as `resize` does, but by Pillow, which clips and rounds to 8 bits.

        Parameters
        ----------
        pixels
            (H, W, 3), uint8.

        Returns
        -------
        Tensor
            (1, 3, input_size, input_size), float32 in [0, 1], not normalised yet.
        """
        import numpy as np
        import torch
        from PIL import Image

        if self.input_size is not None:
            height, width = self._resized_shape(*pixels.shape[:2])
            method = Image.Resampling[self.interpolation.upper()]
            pixels = np.array(Image.fromarray(pixels).resize((width, height), method))
        return self.resize(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)

    def _resized_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width after resizing, rounded as torchvision (center) and timm (border) do."""
        side = self.resize_size or self.input_size or 0
        if self.crop_mode == "center":
            shorter = min(height, width)
            return int(side * height / shorter), int(side * width / shorter)
        if self.crop_mode == "border":
            ratio = max(height / side, width / side)
            return round(height / ratio), round(width / ratio)
        return side, side


def _margins(side: int, wanted: int) -> tuple[int, int]:
    """Return the pixels to add before and after an axis, negative to crop, as torchvision's ``center_crop`` does."""
    before = (wanted - side) // 2 if side < wanted else -round((side - wanted) / 2)
    return before, wanted - side - before


IMAGENET = Preprocessing(224, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The usual preprocessing of networks trained on ImageNet, with direct resizing."""
