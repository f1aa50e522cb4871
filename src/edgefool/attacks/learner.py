"""The networks of a batch in training: where their weights start and how they learn."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgefool.attacks.optimisers import Moments, adam, orthogonalise
from edgefool.attacks.tensor_struct import TensorStruct
from edgefool.filters.fcnn import MAPS, identity_parameters, is_kernel, split_parameters
from edgefool.filters.smoother import smoother_parameters


@dataclass
class Weights(TensorStruct):
    """The weights of each image's network, (N, P), and the optimiser's memory of their gradients."""

    parameters: Tensor
    moments: Moments


@dataclass(frozen=True)
class Learner(ABC):
    """Where networks start and the rule by which they follow their gradients, each on its own."""

    default_rate: ClassVar[float]
    rate: float

    def start(self, images: Tensor, seeds: Sequence[int]) -> Weights:
        """Return the weights for images (N, 3, H, W)."""
        parameters = torch.stack([self.initial(int(seed)) for seed in seeds]).to(images)
        return Weights(parameters, Moments.like(parameters))

    def learn(self, weights: Weights, gradients: Tensor) -> None:
        """Take one step down the gradients, shape (N, P), a row for each network."""
        weights.parameters = weights.parameters - self.step(gradients, weights.moments)

    @abstractmethod
    def initial(self, seed: int) -> Tensor:
        """Return the weights of one network, (P,)."""

    @abstractmethod
    def step(self, gradients: Tensor, moments: Moments) -> Tensor:
        """Return what to subtract from the weights, for gradients (N, P)."""


@dataclass(frozen=True)
class FromIdentity(Learner):
    """The paper's: identity kernels and a random last layer; Adam on gradients cut to a length (authors' code)."""

    default_rate = 1e-3
    max_gradient_norm: float

    def initial(self, seed: int) -> Tensor:
        """Draw the last layer from the seed."""
        return identity_parameters(seed)

    def step(self, gradients: Tensor, moments: Moments) -> Tensor:
        """Return steps of Adam."""
        norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
        return self.rate * adam(gradients * (self.max_gradient_norm / (norms + 1e-6)).clamp(max=1), moments)


@dataclass(frozen=True)
class FromSmoother(Learner):
    """From a trained L0 filter: Muon for the 3x3 kernels and Adam at a quarter of its rate for the rest.

    The gradients are scaled to length 1: that of L_adv is a hundred times that of L_s, and once the class
    has changed the optimisers' memory of it would lead L_s astray for as long as it lasts.
    """

    default_rate = 2e-3
    momentum: ClassVar[float] = 0.5

    def initial(self, seed: int) -> Tensor:
        """Take the shipped filter; nothing is random."""
        return smoother_parameters()

    def step(self, gradients: Tensor, moments: Moments) -> Tensor:
        """Return steps of Muon (with Nesterov's momentum) and of Adam."""
        gradients = gradients / torch.linalg.vector_norm(gradients, dim=1, keepdim=True).clamp_min(1e-12)
        by_adam = self.rate / 4 * adam(gradients, moments, betas=(self.momentum, 0.9))
        ahead = gradients.lerp(moments.mean, self.momentum)
        steps = [
            self.rate * orthogonalise(way.view(len(way), MAPS, -1)).flatten(1) if is_kernel(way) else step
            for way, step in zip(split_parameters(ahead), split_parameters(by_adam), strict=True)
        ]
        return torch.cat(steps, 1)
