"""The one form in which attacks and measures see a classifier."""

import hashlib
import json
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefool.errors import UsageError


class Classifier(nn.Module):
    """A frozen network together with its resizing, its normalisation and the names of its classes.

    It is in eval mode for good, and its parameters ask for no gradient. Gradients do flow to the images.

    Parameters
    ----------
    net : nn.Module
        Normalised images (N, 3, input_size, input_size) to logits (N, D). It is frozen in place.
    name : str
        Short name for people, tables and folders.
    classes : sequence of str
        Names of the D classes, in the order of the logits.
    architecture : str
        What computes the logits; part of the fingerprint.
    input_size : int or None
        Height and width, in pixels, that images are resized to. None: images go in as they are.
    interpolation : {"bilinear", "bicubic"}
        How images are resized.
    mean, std : sequence of three floats
        Of R, G and B: the network sees (image - mean) / std.
    channels_last : bool
        Lay out images and weights channels last. On a CPU, a convolutional network's forward pass and input gradient
        then take 0.67 to 0.94 of the time; a network that calls ``view`` on its feature maps may refuse it.

    Attributes
    ----------
    num_classes : int
        D.
    fingerprint : str
        SHA-256 over architecture, preprocessing and weights: two classifiers with equal fingerprints give the same
        answers.

    >>> net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    >>> classifier = Classifier(net, name="tiny", classes=["cat", "dog"], architecture="linear", input_size=8)
    >>> classifier(torch.rand(5, 3, 20, 30)).shape
    torch.Size([5, 2])
    """

    _mean: Tensor
    _std: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        name: str,
        classes: Sequence[str],
        architecture: str,
        input_size: int | None = 224,
        interpolation: str = "bilinear",
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        channels_last: bool = False,
    ):
        super().__init__()
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net.eval().requires_grad_(False).to(memory_format=self._memory_format)  # type: ignore[call-overload]
        self.name = name
        self.classes = tuple(classes)
        self.num_classes = len(self.classes)
        self.architecture = architecture
        self.input_size = input_size
        self.interpolation = interpolation
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.register_buffer("_mean", torch.tensor(self.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(self.std).view(1, 3, 1, 1), persistent=False)
        self.fingerprint = self._fingerprint()
        super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images.

        Parameters
        ----------
        images : Tensor
            (N, 3, H, W) float, RGB in [0, 1], any H and W (with ``input_size=None``: any that the network takes).

        Returns
        -------
        Tensor
            (N, D) logits, differentiable with respect to the images.

        Raises
        ------
        UsageError
            If the images are not (N, 3, H, W) floats.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise UsageError(f"images must be (N, 3, H, W) floats, not {images.dtype} of shape {tuple(images.shape)}")
        logits: Tensor = self.net(self._preprocess(images))
        return logits

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever is asked for: a frozen classifier has no other."""
        return super().train(False)

    def _preprocess(self, images: Tensor) -> Tensor:
        size = self.input_size
        if size is not None and images.shape[2:] != (size, size):
            # Antialiasing only acts where an axis shrinks.
            images = F.interpolate(images, (size, size), mode=self.interpolation, antialias=True)
        return ((images - self._mean) / self._std).contiguous(memory_format=self._memory_format)

    def _fingerprint(self) -> str:
        preprocessing = [self.input_size, self.interpolation, self.mean, self.std]
        digest = hashlib.sha256(json.dumps([self.architecture, preprocessing]).encode())
        tensors = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()
