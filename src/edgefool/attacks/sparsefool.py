"""SparseFool (Modas, Moosavi-Dezfooli and Frossard, CVPR 2019).

https://arxiv.org/abs/1811.02248; the authors' code: https://github.com/LTS4/SparseFool
"""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import Count, IterativeAttack, NotNegative
from edgefool.attacks.deepfool import DeepFool, DeepFoolState
from edgefool.attacks.functional import image_gradient, l2_norm, margin, per_image
from edgefool.attacks.state import State

_BEYOND = 1e-3  # how far past the plane, as in the authors' code


@plain_dataclass(kw_only=True)
class SparseFoolState(State):
    """Images, and DeepFool's way from the iterates x_i, which are its images, to the border."""

    border: DeepFoolState


@dataclass(frozen=True)
class SparseFool(IterativeAttack[SparseFoolState]):
    """Change few values: DeepFool finds the plane of the border, and one value after the other is moved to reach it.

    Repeat (Alg. 2 of the paper): x_B = x_i + λ r with DeepFool's r; w the normal of the border there; x_{i+1} the
    solution of the linearised problem (`solve_plane`, Alg. 1); until the class of I + (1 + ε)(x_i - I) changes.
    Distances are those of images in [0, 1].

    Parameters
    ----------
    lam : float
        λ, how far beyond the border x_B lies.
    epsilon : float
        ε, the overshoot of the final image.
    max_iterations : int
        Most planes: 20 by default in the authors' function, 50 in their example.
    candidates, overshoot, border_iterations
        Of DeepFool; see there.
    released_solver : bool
        As released, where x_i lies past the plane already, every value is moved on, nearly all to their bounds. By
        default nothing is moved then.

    Examples
    --------
    >>> SparseFool().lam
    3.0
    """

    name: ClassVar[str] = "sparsefool"
    bytes_per_pixel: ClassVar[int] = 500
    typical_steps: ClassVar[int] = 25

    lam: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3.0
    epsilon: NotNegative = 0.02
    max_iterations: Count = 20
    candidates: Annotated[int, Field(ge=2)] = 10
    overshoot: NotNegative = 0.02
    border_iterations: Count = 50
    released_solver: bool = False

    @property
    def _deepfool(self) -> DeepFool:
        return DeepFool(self.candidates, self.overshoot, self.border_iterations, clip=False)

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> SparseFoolState:
        """Start DeepFool from the images; nothing is random."""
        border = self._deepfool.begin(classifier, images.clone(), seeds)  # its rows are overwritten
        state = SparseFoolState.start(images, border.original_class.clone(), border=border)
        state.forward_passes -= 1  # counted by the border; its passes are added when it is reached
        return state

    def step(self, classifier: nn.Module, state: SparseFoolState) -> None:
        """Take a step of DeepFool with each image; where it has reached the border, go to the border's plane."""
        self._deepfool.step(classifier, state.border)
        arrived = state.border.finished
        if arrived.any():
            with state.subset(arrived) as rows:
                self._go_to_plane(classifier, rows)

    def _go_to_plane(self, classifier: nn.Module, state: SparseFoolState) -> None:
        border, x = state.border, state.border.images
        # On the border itself, before DeepFool's overshoot, as in the authors' code.
        there = (x + border.total).requires_grad_()
        gradient = image_gradient(-margin(classifier(there), border.original_class), there)
        state.note(gradient)
        normals = gradient.values / per_image(l2_norm(gradient.values).clamp_min(1e-12))
        x = solve_plane(x, normals, x + self.lam * border.total, released=self.released_solver)
        state.adversarial = (state.images + (1 + self.epsilon) * (x - state.images)).clamp(0, 1)

        with torch.no_grad():
            logits, next_logits = classifier(torch.cat([state.adversarial, x])).chunk(2)
        state.converged = logits.argmax(1) != state.original_class
        broken = ~next_logits.isfinite().all(1)
        state.forward_passes += border.forward_passes + 3  # the normal, the judgement, the next start
        state.backward_passes += border.backward_passes
        state.lost_gradient |= border.lost_gradient | broken
        state.iterations += 1
        state.border = self._deepfool.start(x, next_logits)
        state.border.forward_passes -= 1  # counted here
        stop = state.converged | state.stuck | broken | (state.iterations == self.max_iterations)
        state.finished = stop.cpu()


def solve_plane(images: Tensor, normals: Tensor, points: Tensor, *, released: bool = False) -> Tensor:
    """Move images to a plane by changing as few values as possible: those along which the normal is largest.

    Alg. 1 of the paper (LinearSolver) moves one value after the other, the one with the largest |w_d| first, until
    wᵀ(x - x_B) changes its sign; each goes as far as needed or to its bound, 0 or 1. So all but the last go to their
    bounds, and a sort and a cumulative sum show which is the last.

    Parameters
    ----------
    images, normals, points : Tensor
        x, w and x_B, each (N, 3, H, W); the normals have length 1 (or 0), and x lies on the side where
        wᵀ(x - x_B) < 0.
    released : bool
        What becomes of an image on the other side; see `SparseFool`.

    Returns
    -------
    Tensor
        (N, 3, H, W), in [0, 1].
    """
    x, w = images.flatten(1), normals.flatten(1)
    missing = -(w * (x - points.flatten(1))).sum(1, keepdim=True, dtype=torch.float64)  # to the plane
    room = torch.where(w > 0, 1 - x, x)
    slopes, order = w.abs().sort(dim=1, descending=True, stable=True)
    rooms = room.gather(1, order)
    gains = (slopes * rooms).double()
    missing_then = missing - (gains.cumsum(1) - gains)  # when a value's turn comes
    lengths = torch.minimum(((missing_then + _BEYOND) / slopes).to(rooms.dtype), rooms)
    lengths = torch.where(missing_then > 0, lengths, 0)
    if released:
        for i in (missing[:, 0] < 0).nonzero()[:, 0].tolist():
            lengths[i] = _run_away(slopes[i], rooms[i], -float(missing[i]))
    moves = lengths * w.gather(1, order).sign()
    return x.scatter_add(1, order, moves).clamp(0, 1).view_as(images)


def _run_away(slopes: Tensor, rooms: Tensor, excess: float) -> Tensor:
    """Return how far values go where the plane lies behind: each step leads further away, so that none is the last."""
    lengths, gains = rooms.clone(), slopes * rooms
    largest_to_come = gains.flip(0).cummax(0).values.flip(0).tolist()
    for j, largest in enumerate(largest_to_come):
        if excess + _BEYOND >= largest:
            break  # from here on all go to their bounds
        lengths[j] = min((excess + _BEYOND) / float(slopes[j]), float(rooms[j]))
        excess += float(slopes[j] * lengths[j])
    return lengths
