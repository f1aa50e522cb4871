"""The networks of a batch in training: where their weights start and how they learn."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgefool.attacks.optimisers import Moments, adam, orthogonalise
from edgefool.filters.fcnn import MAPS, identity_parameters, is_kernel, split_parameters
from edgefool.filters.smoother import smoother_parameters


@dataclass
class Weights:
    """The weights of one image's network, (P,), and the optimiser's memory of their gradients."""

    parameters: Tensor
    moments: Moments


@dataclass(frozen=True)
class Learner(ABC):
    """Where networks start and the rule by which they follow their gradients, each on its own."""

    default_rate: ClassVar[float]
    rate: float

    @abstractmethod
    def start(self, image: Tensor, seed: int) -> Weights:
        """Return the weights for one image."""

    @abstractmethod
    def step(self, gradients: Tensor, moments: Sequence[Moments]) -> Tensor:
        """Return what to subtract from the weights, for gradients (N, P)."""

    def learn(self, weights: Sequence[Weights], gradients: Tensor) -> None:
        """Take one step down the gradients, shape (N, P), a row for each network."""
        rows = torch.stack([w.parameters for w in weights]) - self.step(gradients, [w.moments for w in weights])
        for w, row in zip(weights, rows, strict=True):
            w.parameters = row


@dataclass(frozen=True)
class FromIdentity(Learner):
    """The paper's: identity kernels and a random last layer; Adam on gradients cut to a length (authors' code)."""

    default_rate = 1e-3
    max_gradient_norm: float

    def start(self, image: Tensor, seed: int) -> Weights:
        """Draw the last layer from the seed."""
        parameters = identity_parameters(seed, image.device).to(image.dtype)
        return Weights(parameters, Moments.like(parameters))

    def step(self, gradients: Tensor, moments: Sequence[Moments]) -> Tensor:
        """Return steps of Adam."""
        norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
        return self.rate * adam(gradients * (self.max_gradient_norm / (norms + 1e-6)).clamp(max=1), moments)


@dataclass(frozen=True)
class FromSmoother(Learner):
    """From a trained L0 filter: Muon for the 3x3 kernels and Adam at a quarter of its rate for the rest.

    The gradients are scaled to length 1: that of L_adv is a hundred times that of L_s, and once the classifier is
    misled the optimisers' memory of it would lead L_s astray for as long as it lasts.
    """

    default_rate = 2e-3
    momentum: ClassVar[float] = 0.5

    def start(self, image: Tensor, seed: int) -> Weights:
        """Take the shipped filter; nothing is random."""
        parameters = smoother_parameters(image.device).to(image.dtype)
        return Weights(parameters, Moments.like(parameters))

    def step(self, gradients: Tensor, moments: Sequence[Moments]) -> Tensor:
        """Return steps of Muon (with Nesterov's momentum) and of Adam."""
        gradients = gradients / torch.linalg.vector_norm(gradients, dim=1, keepdim=True).clamp_min(1e-12)
        by_adam = self.rate / 4 * adam(gradients, moments, betas=(self.momentum, 0.9))
        ahead = gradients.lerp(torch.stack([m.mean for m in moments]), self.momentum)
        steps = [
            self.rate * orthogonalise(way.view(len(way), MAPS, -1)).flatten(1) if is_kernel(way) else step
            for way, step in zip(split_parameters(ahead), split_parameters(by_adam), strict=True)
        ]
        return torch.cat(steps, 1)
