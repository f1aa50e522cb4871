"""The classifier that attacks and metrics work with."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Self

import torch
from torch import Tensor, nn

from edgefool.classifiers.dtypes import at_least_float32, match_dtype
from edgefool.classifiers.precision import full_float32
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.classifiers.semantic_groups import SemanticGroups
from edgefool.errors import UsageError


class Classifier(nn.Module):
    """A frozen network with its preprocessing and the names of its classes.

    Always in eval mode, without gradients for the parameters; differentiable with respect to the images. On a GPU
    forward passes are in full float32, whatever torch is set to.

    Parameters
    ----------
    net : nn.Module
        Preprocessed images (N, 3, H, W) to logits (N, D). It is frozen in place.
    name : str
        Short name for people, tables and folders.
    classes : sequence of str
        Names of the D classes, in the order of the logits.
    architecture : str
        Identifies the computation of the logits; part of the fingerprint.
    preprocessing : Preprocessing
        Resizing, cropping and normalisation; `Preprocessing()` if the network does all of it itself.
    channels_last : bool
        Store images and weights in channels-last order. On a CPU this reduces the time of a convolutional network's
        forward pass and input gradient to 0.67–0.94; networks that call ``view`` on feature maps may reject it.
    tag : str or None
        Which published weights these are, by the name that their library gives them.
    licence : str or None
        Terms of the weights, if known.
    groups : SemanticGroups or None
        Groups of the classes, if they are not those that `groups_of` finds. They do not change the logits.

    Attributes
    ----------
    num_classes : int
        D.
    fingerprint : str
        SHA-256 over architecture, preprocessing and weights: classifiers with equal fingerprints return equal
        logits.

    >>> net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    >>> classifier = Classifier(
    ...     net, name="tiny", classes=["cat", "dog"], architecture="linear", preprocessing=Preprocessing(input_size=8)
    ... )
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
        preprocessing: Preprocessing,
        channels_last: bool = False,
        tag: str | None = None,
        licence: str | None = None,
        groups: SemanticGroups | None = None,
    ):
        super().__init__()
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net.eval().requires_grad_(False).to(memory_format=self._memory_format)  # type: ignore[call-overload]
        self._parameters_of_net = tuple(self.net.parameters())  # listing them takes as long as a small network
        self.name = name
        self.classes = tuple(classes)
        self.num_classes = len(self.classes)
        self.architecture = architecture
        self.preprocessing = preprocessing
        self.tag, self.licence = tag, licence
        self.groups = groups
        self.register_buffer("_mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)
        self.fingerprint = self._fingerprint()
        super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images.

        Parameters
        ----------
        images : Tensor
            (N, 3, H, W) float, RGB in [0, 1]; any H and W (without resizing: any that the network takes).

        Returns
        -------
        Tensor
            (N, D) logits in float32 or better, differentiable with respect to the images.

        Raises
        ------
        UsageError
            If the images are not (N, 3, H, W) floats.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise UsageError(f"images must be (N, 3, H, W) floats, not {images.dtype} of shape {tuple(images.shape)}")
        return self.classify_resized(self.preprocessing.resize(images))

    def classify_resized(self, images: Tensor) -> Tensor:
        """Return the logits (N, D) of images that `Preprocessing.resize` made."""
        normalised = (images - self._mean) / self._std
        normalised = normalised.contiguous(memory_format=self._memory_format)
        with full_float32() if images.is_cuda else nullcontext():
            logits = self.net(match_dtype(normalised, self._parameters_of_net))
        return at_least_float32(logits)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode; ``mode`` is ignored."""
        return super().train(False)

    def _fingerprint(self) -> str:
        # Runs store fingerprints: a new field of `Preprocessing` must not change those of other classifiers.
        before = self.preprocessing
        facts: list[object] = [self.architecture, [before.input_size, before.interpolation, before.mean, before.std]]
        if before.resize_size is not None or before.crop_mode != "squash":
            facts.append([before.resize_size, before.crop_mode])
        digest = hashlib.sha256(json.dumps(facts).encode())
        tensors = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()
