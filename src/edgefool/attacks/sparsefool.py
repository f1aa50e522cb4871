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

from edgefool.attacks.attack import AbsentValue, Count, IterativeAttack, NotNegative
from edgefool.attacks.criteria import Criterion
from edgefool.attacks.deepfool import DeepFool, DeepFoolState
from edgefool.attacks.functional import image_gradient, l2_norm, margin, per_image
from edgefool.attacks.state import State

_BEYOND = 1e-3  # how far past the plane, as in the authors' code
_PATIENCE = 10  # planes with the same λ


@plain_dataclass(kw_only=True)
class SparseFoolState(State):
    """Images, and the state of DeepFool, whose images are the iterates x_i."""

    border: DeepFoolState

    def aim(self, criteria: Sequence[Criterion], num_classes: Sequence[int]) -> None:
        """Set the goal, also that of the first search for the boundary."""
        super().aim(criteria, num_classes)
        self.border.aim(criteria, num_classes)


@dataclass(frozen=True)
class SparseFool(IterativeAttack[SparseFoolState]):
    """Change few values: DeepFool finds a plane of the decision boundary, and values move one by one to reach it.

    Repeat (Alg. 2 of the paper): x_B = x_i + λ r with DeepFool's r; w the normal of the boundary there; x_{i+1} the
    solution of the linearised problem (`solve_plane`, Alg. 1); until the class of I + (1 + ε)(x_i - I) changes.
    Distances are measured on images in [0, 1].

    Parameters
    ----------
    lam : float
        λ, how far beyond the boundary x_B lies.
    growth : float
        The share of itself by which λ grows with each plane after the tenth (ours; 0 in the paper). Close to the
        boundary, planes of a constant λ move too few values for the gradient to predict their effect.
    epsilon : float
        ε, the overshoot of the final image.
    max_iterations : int
        Maximum number of planes; 20 in the authors' function, 50 in their example.
    candidates, overshoot, border_iterations
        ``candidates``, ``overshoot`` and ``max_iterations`` of `DeepFool`.
    released_solver : bool
        Where x_i already lies past the plane, move every value further, nearly all to their bounds, as the released
        code does. By default nothing is moved then.

    Examples
    --------
    >>> SparseFool().lam
    3.0
    """

    name: ClassVar[str] = "sparsefool"
    bytes_per_pixel: ClassVar[int] = 500
    typical_steps: ClassVar[int] = 25

    lam: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3.0
    growth: Annotated[NotNegative, AbsentValue(0.0)] = 0.5
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
        state.forward_passes -= 1  # counted in ``border``, whose passes are added when it arrives
        return state

    def step(self, classifier: nn.Module, state: SparseFoolState) -> None:
        """Take a step of DeepFool with each image; move those that reach the boundary to its plane."""
        self._deepfool.step(classifier, state.border)
        arrived = state.border.finished
        if arrived.any():
            with state.subset(arrived) as rows:
                self._go_to_plane(classifier, rows)

    def _go_to_plane(self, classifier: nn.Module, state: SparseFoolState) -> None:
        border, x = state.border, state.border.images
        # On the boundary itself, without DeepFool's overshoot, as in the authors' code.
        there = (x + border.total).requires_grad_()
        gradient = image_gradient(-margin(classifier(there), border.original_class), there)
        state.note(gradient)
        normals = gradient.values / per_image(l2_norm(gradient.values).clamp_min(1e-12))
        lam = self.lam * (1 + self.growth * (state.iterations + 1 - _PATIENCE).clamp_min(0))
        x = solve_plane(x, normals, x + per_image(lam) * border.total, released=self.released_solver)
        state.adversarial = (state.images + (1 + self.epsilon) * (x - state.images)).clamp(0, 1)

        with torch.no_grad():
            logits, next_logits = classifier(torch.cat([state.adversarial, x])).chunk(2)
        state.converged = state.goal.is_met([logits])
        broken = ~next_logits.isfinite().all(1)
        state.forward_passes += border.forward_passes + 3  # the normal, the adversarial image, the next start
        state.backward_passes += border.backward_passes
        state.lost_gradient |= border.lost_gradient | broken
        state.iterations += 1
        state.border = self._deepfool.start(x, next_logits)
        state.border.forward_passes -= 1  # counted here
        stop = state.converged | state.stuck | broken | (state.iterations == self.max_iterations)
        state.finished = stop.cpu()


def solve_plane(images: Tensor, normals: Tensor, points: Tensor, *, released: bool = False) -> Tensor:
    """Move images to a plane by changing as few values as possible: those in which the normal is largest.

    Alg. 1 of the paper (LinearSolver) moves values one by one, in order of decreasing |w_d|, until wᵀ(x - x_B) changes
    sign; each moves as far as needed or to its bound, 0 or 1. So all but the last move to their bounds, and a sort and
    a cumulative sum find the last.

    Parameters
    ----------
    images, normals, points : Tensor
        x, w and x_B, each (N, 3, H, W); the normals have length 1 (or 0), and x lies on the side where
        wᵀ(x - x_B) < 0.
    released : bool
        How images on the other side are treated; see `SparseFool`.

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
    missing_then = missing - (gains.cumsum(1) - gains)  # before each value moves
    lengths = torch.minimum(((missing_then + _BEYOND) / slopes).to(rooms.dtype), rooms)
    lengths = torch.where(missing_then > 0, lengths, 0)
    if released:
        for i in (missing[:, 0] < 0).nonzero()[:, 0].tolist():
            lengths[i] = _run_away(slopes[i], rooms[i], -float(missing[i]))
    moves = lengths * w.gather(1, order).sign()
    return x.scatter_add(1, order, moves).clamp(0, 1).view_as(images)


def _run_away(slopes: Tensor, rooms: Tensor, excess: float) -> Tensor:
    """Return how far values move past the plane: each move leads further away, so that none is the last."""
    lengths, gains = rooms.clone(), slopes * rooms
    largest_to_come = gains.flip(0).cummax(0).values.flip(0).tolist()
    for j, largest in enumerate(largest_to_come):
        if excess + _BEYOND >= largest:
            break  # from here on all move to their bounds
        lengths[j] = min((excess + _BEYOND) / float(slopes[j]), float(rooms[j]))
        excess += float(slopes[j] * lengths[j])
    return lengths
