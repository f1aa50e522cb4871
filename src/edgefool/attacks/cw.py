"""CW: the L2 attack of Carlini and Wagner (IEEE Symposium on Security and Privacy, 2017).

https://arxiv.org/abs/1608.04644; constants and stopping as in Foolbox 1.8 and 2, which the EdgeFool paper ran.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import (
    Count,
    IterativeAttack,
    NotNegative,
    Positive,
    State,
    clean_logits,
    image_gradients,
    l2_distance,
    margin,
)
from edgefool.attacks.optimisers import Moments, adam

_INSIDE = 0.999999  # images are shrunk by it in [-1, 1], so that their atanh is finite
_PROGRESS = 0.9999  # of the loss, that must be undercut within a tenth of the iterations


@plain_dataclass(kw_only=True)
class CWState(State):
    """An image, its w, and where the binary search for its c stands."""

    origin: Tensor  # atanh I
    start: Tensor  # I after the round trip, x at w = 0
    w: Tensor
    moments: Moments
    c: float
    lower: float = 0.0
    upper: float = math.inf
    searches: int = 0
    step: int = 0
    found: bool = False
    last_loss: float = math.inf
    best: float = math.inf

    def end_search(self) -> None:
        """Choose the next c and begin again from w = 0."""
        if self.found:
            self.upper = self.c
        else:
            self.lower = self.c
        self.c = self.lower * 10 if math.isinf(self.upper) else (self.lower + self.upper) / 2
        self.searches += 1
        self.w, self.moments = torch.zeros_like(self.w), Moments.like(self.w)
        self.step, self.found, self.last_loss = 0, False, math.inf


@dataclass(frozen=True)
class CW(IterativeAttack[CWState]):
    """Minimise ||x - I||_2² + c f(x) over w, where x = (tanh(atanh I + w) + 1) / 2, and search for the least c.

    f(x) = max(z_y - max over i ≠ y of z_i, -κ), f_6 of the paper; the x of smallest distance that misleads is kept.
    After each search c is multiplied by 10 until one misleads, then bisected (Sec. VI-A of the paper). Each image has
    its own c, its own optimiser and stops on its own.

    Parameters
    ----------
    binary_search_steps : int
        Number of searches.
    max_iterations : int
        Most iterations of a search.
    confidence : float
        κ, in logits.
    learning_rate : float
        Of Adam.
    initial_const : float
        The first c.
    abort_early : bool
        End a search when the loss did not fall below 0.9999 times its value of a tenth of the iterations before.
    adam_epsilon : float
        Adam's ε; 1e-7 in the versions of Foolbox that could be had when the EdgeFool paper was written, 1e-8 since.

    Examples
    --------
    >>> CW().max_iterations
    1000
    """

    name: ClassVar[str] = "cw"
    bytes_per_pixel: ClassVar[int] = 300
    typical_steps: ClassVar[int] = 1250

    binary_search_steps: Count = 5
    max_iterations: Count = 1000
    confidence: NotNegative = 0.0
    learning_rate: Positive = 5e-3
    initial_const: Positive = 1e-2
    abort_early: bool = True
    adam_epsilon: Positive = 1e-7

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> list[CWState]:
        """Start each w from 0; nothing is random."""
        classes = clean_logits(classifier, images).argmax(1)
        origins = ((2 * images - 1) * _INSIDE).atanh()
        starts = to_image(origins)
        return [
            CWState(
                image=image,
                original_class=classes[i],
                origin=origins[i],
                start=starts[i],
                w=torch.zeros_like(image),
                moments=Moments.like(image),
                c=self.initial_const,
            )
            for i, image in enumerate(images)
        ]

    def step(self, classifier: nn.Module, active: list[CWState]) -> None:
        """Take one step of Adam with each image; end searches and begin new ones where it is time."""
        w = torch.stack([state.w for state in active]).requires_grad_()
        classes = torch.stack([state.original_class for state in active])
        images = to_image(torch.stack([state.origin for state in active]) + w)
        distances = (images - torch.stack([state.start for state in active])).square().sum((1, 2, 3))
        margins = margin(classifier(images), classes)
        c = w.new_tensor([state.c for state in active])
        losses = distances + c * (margins + self.confidence).clamp_min(0)

        gradients = image_gradients(losses, w, active)
        steps = self.learning_rate * adam(gradients, [state.moments for state in active], epsilon=self.adam_epsilon)
        rows = torch.stack([losses, distances, margins]).detach().double().T.tolist()
        for i, (state, (loss, distance, to_border)) in enumerate(zip(active, rows, strict=True)):
            state.forward_passes += 1
            state.iterations += 1
            misled = to_border < 0 and to_border <= -self.confidence
            state.found = state.found or misled
            if misled and distance < state.best:
                state.best, state.converged = distance, True
                state.adversarial = images[i].detach().clone()
            state.w = state.w - steps[i]
            if self._is_over(state, loss):
                state.end_search()
            state.finished = state.finished or state.searches == self.binary_search_steps

    def _is_over(self, state: CWState, loss: float) -> bool:
        """Count a step of a search and tell whether it was the last."""
        check = self.abort_early and state.step % math.ceil(self.max_iterations / 10) == 0
        state.step += 1
        if check and not loss <= _PROGRESS * state.last_loss:
            return True
        if check:
            state.last_loss = loss
        return state.step == self.max_iterations

    def details(self, state: CWState) -> dict[str, Tensor]:
        """Return the L2 distance before rounding."""
        return {"l2": l2_distance(state)}


def to_image(w: Tensor) -> Tensor:
    """Return (tanh w + 1) / 2, in [0, 1]."""
    return (w.tanh() + 1) / 2
