"""One image's network in training: where its weights start and how they learn."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgefool.filters.fcnn import MAPS, identity_parameters, split_parameters
from edgefool.filters.smoother import smoother_parameters


class Learner(ABC):
    """The weights of one image's network, (P,), and the rule by which they follow their gradient."""

    default_rate: ClassVar[float]
    parameters: nn.Parameter

    @abstractmethod
    def learn(self, gradient: Tensor) -> None:
        """Take one step down the gradient, shape (P,)."""


class FromIdentity(Learner):
    """The paper's: identity kernels and a random last layer; Adam on gradients cut to a length (authors' code)."""

    default_rate = 1e-3

    def __init__(self, image: Tensor, seed: int, rate: float, max_gradient_norm: float):
        self.parameters = nn.Parameter(identity_parameters(seed, image.device).to(image.dtype))
        self._optimiser = torch.optim.Adam([self.parameters], lr=rate)
        self._max_gradient_norm = max_gradient_norm

    def learn(self, gradient: Tensor) -> None:
        """Take a step of Adam."""
        norm = torch.linalg.vector_norm(gradient)
        self.parameters.grad = gradient * (self._max_gradient_norm / (norm + 1e-6)).clamp(max=1)
        self._optimiser.step()


class FromSmoother(Learner):
    """From a trained L0 filter: Muon for the 3x3 kernels and Adam for the rest.

    The gradients are scaled to length 1: that of L_adv is a hundred times that of L_s, and once the classifier is
    misled the optimisers' memory of it would lead L_s astray for as long as it lasts.
    """

    default_rate = 2e-3

    def __init__(self, image: Tensor, rate: float):
        self.parameters = nn.Parameter(smoother_parameters(image.device).to(image.dtype))
        # Muon takes matrices: these share the memory of the parameters.
        pieces = split_parameters(self.parameters.detach()[None])
        self._pieces = [nn.Parameter(p.view(MAPS, -1) if p.shape[1] > MAPS * MAPS else p[0]) for p in pieces]
        kernels = [piece for piece in self._pieces if piece.dim() == 2]
        others = [piece for piece in self._pieces if piece.dim() == 1]
        self._muon = torch.optim.Muon(kernels, lr=rate, momentum=0.5, weight_decay=0)
        self._adam = torch.optim.Adam(others, lr=rate / 4, betas=(0.5, 0.9))

    def learn(self, gradient: Tensor) -> None:
        """Take a step of Muon and of Adam."""
        gradient = gradient / torch.linalg.vector_norm(gradient).clamp_min(1e-12)
        sizes = [piece.numel() for piece in self._pieces]
        for piece, part in zip(self._pieces, torch.split(gradient, sizes), strict=True):
            piece.grad = part.view_as(piece)
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adam.step()
