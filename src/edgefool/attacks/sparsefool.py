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

from edgefool.attacks.attack import Count, IterativeAttack, NotNegative, State, image_gradients, margin
from edgefool.attacks.deepfool import DeepFool, DeepFoolState

_BEYOND = 1e-3  # how far past the plane, as in the authors' code


@plain_dataclass(kw_only=True)
class SparseFoolState(State):
    """An image, the iterate x_i, and DeepFool's way from it to the border."""

    iterate: Tensor
    border: DeepFoolState


@dataclass(frozen=True)
class SparseFool(IterativeAttack[SparseFoolState]):
    """Change few values: DeepFool tells the plane of the border, one value after the other is moved to reach it.

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

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> list[SparseFoolState]:
        """Start DeepFool from the images; nothing is random."""
        return [
            SparseFoolState(
                image=border.image,
                original_class=border.original_class,
                iterate=border.image,
                border=border,
                forward_passes=0,  # those of the border's are added when it is reached
            )
            for border in self._deepfool.begin(classifier, images, seeds)
        ]

    def step(self, classifier: nn.Module, active: list[SparseFoolState]) -> None:
        """Take a step of DeepFool with each image; where it has reached the border, go to the border's plane."""
        self._deepfool.step(classifier, [state.border for state in active])
        if arrived := [state for state in active if state.border.finished]:
            self._go_to_planes(classifier, arrived)

    def _go_to_planes(self, classifier: nn.Module, states: list[SparseFoolState]) -> None:
        borders = [state.border for state in states]
        # On the border itself, before DeepFool's overshoot, as in the authors' code.
        there = torch.stack([state.iterate + state.border.total for state in states]).requires_grad_()
        classes = torch.stack([border.original_class for border in borders])
        for border in borders:
            border.finished = False  # its last gradient, that of z_other - z_own, is the normal
        normals = image_gradients(-margin(classifier(there), classes), there, borders)
        normals = normals / torch.linalg.vector_norm(normals, dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
        points = torch.stack([state.iterate + self.lam * state.border.total for state in states])
        iterates = torch.stack([state.iterate for state in states])
        iterates = solve_plane(iterates, normals, points, released=self.released_solver)
        originals = torch.stack([state.image for state in states])
        images = (originals + (1 + self.epsilon) * (iterates - originals)).clamp(0, 1)

        with torch.no_grad():
            logits, next_logits = classifier(torch.cat([images, iterates])).chunk(2)
        misled = (logits.argmax(1) != torch.stack([state.original_class for state in states])).tolist()
        valid = next_logits.isfinite().all(1).tolist()
        next_borders = self._deepfool.start(iterates, next_logits)
        for i, state in enumerate(states):
            state.forward_passes += state.border.forward_passes + 3  # the normal, the judgement, the next start
            state.backward_passes += state.border.backward_passes
            state.lost_gradient = state.lost_gradient or state.border.lost_gradient or not valid[i]
            state.iterations += 1
            state.adversarial, state.iterate = images[i], iterates[i]
            state.converged = misled[i]
            stuck = state.border.finished or not valid[i]  # a gradient or logits that are not finite
            state.finished = misled[i] or stuck or state.iterations == self.max_iterations
            state.border = next_borders[i]
            state.border.forward_passes = 0


def solve_plane(images: Tensor, normals: Tensor, points: Tensor, *, released: bool = False) -> Tensor:
    """Move images to a plane by changing as few values as possible: those along which the normal is largest.

    Alg. 1 of the paper (LinearSolver) moves one value after the other, the one with the largest |w_d| first, until
    wᵀ(x - x_B) changes its sign; each goes as far as needed or to its bound, 0 or 1. So all but the last go to their
    bounds, and a sort and a cumulative sum tell which is the last.

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
