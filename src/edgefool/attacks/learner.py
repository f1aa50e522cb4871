"""The networks of a batch in training: their weights, and the two rules by which these learn."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from edgefool.attacks.optimisers import Moments, adam, orthogonalise
from edgefool.attacks.tensor_struct import TensorStruct
from edgefool.filters.fcnn import MAPS, is_kernel, split_parameters

_MOMENTUM = 0.5  # of Muon, and Adam's β1 beside it


@dataclass
class Weights(TensorStruct):
    """The weights of each image's network, (N, P), and the moments of their gradients."""

    parameters: Tensor
    moments: Moments

    @classmethod
    def start(cls, parameters: Tensor) -> Self:
        """Return the weights (N, P) before the first step."""
        return cls(parameters, Moments.like(parameters))


def clipped_adam(weights: Weights, gradients: Tensor, rate: float, max_norm: float) -> None:
    """Take a step of Adam on gradients (N, P), each row first scaled down to an L2 norm (authors' code)."""
    norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    clipped = gradients * (max_norm / (norms + 1e-6)).clamp(max=1)
    weights.parameters = weights.parameters - rate * adam(clipped, weights.moments)


def muon_and_adam(weights: Weights, gradients: Tensor, rate: float) -> None:
    """Take a step of Muon (Nesterov momentum) on the 3x3 kernels and of Adam, at a quarter of the rate, on the rest.

    Each gradient, a row of (N, P), is first scaled to length 1: that of L_adv is a hundred times that of L_s, and
    once the class has changed, its traces in the moments would lead L_s astray.
    """
    gradients = gradients / torch.linalg.vector_norm(gradients, dim=1, keepdim=True).clamp_min(1e-12)
    by_adam = rate / 4 * adam(gradients, weights.moments, betas=(_MOMENTUM, 0.9))
    ahead = gradients.lerp(weights.moments.mean, _MOMENTUM)
    steps = [
        rate * orthogonalise(direction.view(len(direction), MAPS, -1)).flatten(1) if is_kernel(direction) else step
        for direction, step in zip(split_parameters(ahead), split_parameters(by_adam), strict=True)
    ]
    weights.parameters = weights.parameters - torch.cat(steps, 1)
