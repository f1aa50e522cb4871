"""What happens to images before a network sees them, as one value.

Importing this module does not import torch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preprocessing:
    """Resizing and normalisation in front of a network, in the manner of timm's ``PretrainedCfg``.

    `Classifier` applies it, differentiably. By default images stay as they are.

    Attributes
    ----------
    input_size : int or None
        Height and width, in pixels, that images are resized to. None: they keep their size.
    interpolation : {"bilinear", "bicubic"}
        How images are resized, with antialiasing where they shrink.
    mean, std : tuple of three floats
        Of R, G and B: the network sees (image - mean) / std.
    """

    input_size: int | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


IMAGENET = Preprocessing(224, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The usual one of networks trained on ImageNet."""
