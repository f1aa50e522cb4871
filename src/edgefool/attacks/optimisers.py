"""Optimisers whose every row is a problem of its own, with its own number of steps: torch's share one count."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Moments:
    """What an optimiser remembers of one row's gradients."""

    mean: Tensor
    square: Tensor
    steps: int = 0

    @classmethod
    def like(cls, row: Tensor) -> "Moments":
        """Return the memory before the first step."""
        return cls(torch.zeros_like(row), torch.zeros_like(row))


def adam(
    gradients: Tensor,
    moments: Sequence[Moments],
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> Tensor:
    """Return Adam's steps at a learning rate of 1 (Kingma and Ba, 2015, Alg. 1), to be subtracted.

    Parameters
    ----------
    gradients : Tensor
        (N, ...), a row per problem.
    moments : sequence of Moments
        N, updated in place.
    betas, epsilon
        The paper's β1, β2 and ε.
    """
    mean = torch.stack([m.mean for m in moments]).lerp_(gradients, 1 - betas[0])
    square = torch.stack([m.square for m in moments]).lerp_(gradients.square(), 1 - betas[1])
    for row, m in enumerate(moments):
        m.mean, m.square, m.steps = mean[row], square[row], m.steps + 1
    steps = gradients.new_tensor([m.steps for m in moments]).view(-1, *[1] * (gradients.dim() - 1))
    step: Tensor = mean / (1 - betas[0] ** steps) / ((square / (1 - betas[1] ** steps)).sqrt() + epsilon)
    return step


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (..., A, B), A <= B, near 1: U Vᵀ roughly, of each M = U S Vᵀ.

    Five steps of the Newton-Schulz iteration with the coefficients of Muon (Jordan et al., 2024). `torch.optim.Muon`
    takes them in bfloat16 and one matrix at a time.
    """
    a, b, c = 3.4445, -4.775, 2.0315
    x: Tensor = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp_min(1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
