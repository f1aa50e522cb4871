"""Optimisers of independent problems, one per row, each with its own step count; torch's share one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from edgefool.attacks.tensor_struct import TensorStruct


@dataclass
class Moments(TensorStruct):
    """The moments (N, ...) of each row's gradients, and the number of steps taken, (N,)."""

    mean: Tensor
    square: Tensor
    steps: Tensor

    @classmethod
    def like(cls, rows: Tensor) -> "Moments":
        """Return the moments before the first step."""
        steps = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        return cls(torch.zeros_like(rows), torch.zeros_like(rows), steps)


def adam(
    gradients: Tensor, moments: Moments, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
) -> Tensor:
    """Return Adam's steps at a learning rate of 1 (Kingma and Ba, 2015, Alg. 1), to be subtracted.

    Parameters
    ----------
    gradients : Tensor
        (N, ...), a row per problem.
    moments : Moments
        Updated in place.
    betas, epsilon
        The paper's β1, β2 and ε.
    """
    mean = moments.mean.lerp_(gradients, 1 - betas[0])
    square = moments.square.lerp_(gradients.square(), 1 - betas[1])
    moments.steps += 1
    steps = moments.steps.to(gradients.dtype).view(-1, *[1] * (gradients.dim() - 1))
    step: Tensor = mean / (1 - betas[0] ** steps) / ((square / (1 - betas[1] ** steps)).sqrt() + epsilon)
    return step


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (..., A, B), A <= B, close to 1: about U Vᵀ for each M = U S Vᵀ.

    Five steps of the Newton-Schulz iteration with the coefficients of Muon (Jordan et al., 2024). `torch.optim.Muon`
    computes them in bfloat16, one matrix at a time.
    """
    a, b, c = 3.4445, -4.775, 2.0315
    x: Tensor = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp_min(1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
