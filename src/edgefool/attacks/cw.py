"""CW: the L2 attack of Carlini and Wagner (IEEE Symposium on Security and Privacy, 2017).

https://arxiv.org/abs/1608.04644; constants and stopping as in Foolbox 1.8 and 2, which the EdgeFool paper used,
except for `CW.cut_late_searches`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.aim import Aim, aimed_margins
from edgefool.attacks.attack import AbsentValue, Count, IterativeAttack, NotNegative, Positive
from edgefool.attacks.functional import decide, image_gradient, l2_norm, per_image
from edgefool.attacks.optimisers import Moments, adam
from edgefool.attacks.state import State
from edgefool.classifiers import member_logits

_INSIDE = 0.999999  # scales images in [-1, 1], so that their atanh is finite
_PROGRESS = 0.9999  # the loss must fall below this share of itself within a tenth of the iterations
_LATE_CHECK = 25  # a late search is first checked after 1/25 of its iterations


@plain_dataclass(kw_only=True)
class CWState(State):
    """Images, their w, and the state of the binary search for the c of each."""

    origin: Tensor  # atanh I
    reference: Tensor  # I after the round trip, x at w = 0
    w: Tensor
    moments: Moments
    c: Tensor  # float64, like the other numbers of the search
    lower: Tensor
    upper: Tensor
    searches: Tensor  # completed
    taken: Tensor  # steps of the current search
    found: Tensor  # whether the current search has succeeded
    last_loss: Tensor
    best: Tensor
    is_new: Tensor  # before the first step; on the CPU
    first_gradient: Tensor  # ∂f/∂w, f and success at w = 0, where every search begins
    first_f: Tensor
    first_found: Tensor

    def choose_c(self, over: Tensor) -> None:
        """Choose the next c of the images whose search is over, a mask (N,)."""
        self.upper = torch.where(over & self.found, self.c, self.upper)
        self.lower = torch.where(over & ~self.found, self.c, self.lower)
        next_c = torch.where(self.upper.isinf(), self.lower * 10, (self.lower + self.upper) / 2)
        self.c = torch.where(over, next_c, self.c)
        self.searches += over

    def remember_first(self, gradients: Tensor, f: Tensor, found: Tensor) -> None:
        """Keep what the first step of new images found."""
        if self.is_new.any():
            new = self.is_new.to(gradients.device)
            self.first_gradient = torch.where(
                per_image(new), gradients / per_image(self.c.to(f.dtype)), self.first_gradient
            )
            self.first_f = torch.where(new, f.double(), self.first_f)
            self.first_found = torch.where(new, found, self.first_found)
            self.is_new = torch.zeros_like(self.is_new)


@dataclass(frozen=True)
class CW(IterativeAttack[CWState]):
    """Minimise ||x - I||_2² + c f(x) over w, where x = (tanh(atanh I + w) + 1) / 2, and search for the smallest c.

    f(x) = max(z_y - max over i ≠ y of z_i, -κ), f_6 of the paper; the adversarial x closest to I is kept. Towards a
    target t, the margin is max over i ≠ t of z_i - z_t. On an ensemble f is the mean over its members, and x is
    adversarial where each margin is at most -κ.
    After each search c is multiplied by 10 until one succeeds, then bisected (Sec. VI-A of the paper)::

        for each of the binary_search_steps searches:
            w, found = 0, False
            for each of at most max_iterations steps:
                x = (tanh(atanh I + w) + 1) / 2
                if f(x) is at its minimum, -κ: found = True; keep x if it is the closest to I so far
                w = w - Adam's step on ||x - I||_2² + c f(x)
                stop if the loss fell by less than a ten-thousandth within a tenth of max_iterations
                stop after max_iterations / 25 in the second half of the searches, if the loss is above c f(I)
                    and 4 c f(I) is below the smallest ||x - I||_2² so far
            if found: upper = c, else: lower = c
            c = (lower + upper) / 2 if there is an upper, else 10 lower

    `CW.step` is the body of the inner loop for all images of a batch. Each image has its own c, optimiser and stopping,
    so that images may be in different searches. The first step of a search takes no pass: at w = 0 the gradient is c
    times that of the first search.

    Parameters
    ----------
    binary_search_steps : int
        Number of searches.
    max_iterations : int
        Maximum number of iterations per search.
    confidence : float
        κ, in logits.
    learning_rate : float
        Of Adam.
    initial_const : float
        The first c.
    abort_early : bool
        End a search when the loss is not below 0.9999 times its value a tenth of ``max_iterations`` earlier.
    cut_late_searches : bool
        End a search of the second half after 1/25 of its iterations if its loss is above that of the original, and
        can fall below it only at less than half the distance of the closest x so far. Needs ``abort_early``.
    adam_epsilon : float
        Adam's ε; 1e-7 in the versions of Foolbox available when the EdgeFool paper was written, 1e-8 since.
    aim : "class" or "group"
        What the image is to leave: its class, or the semantic group of its class where the classes have groups.

    Examples
    --------
    >>> CW().max_iterations
    1000
    """

    name: ClassVar[str] = "cw"
    bytes_per_pixel: ClassVar[int] = 300
    takes_ensembles: ClassVar[bool] = True
    takes_targets: ClassVar[bool] = True
    typical_steps: ClassVar[int] = 1250

    binary_search_steps: Count = 5
    max_iterations: Count = 1000
    confidence: NotNegative = 0.0
    learning_rate: Positive = 5e-3
    initial_const: Positive = 1e-2
    abort_early: bool = True
    cut_late_searches: Annotated[bool, AbsentValue(False)] = True
    adam_epsilon: Positive = 1e-7
    aim: Annotated[Aim, AbsentValue("class")] = "class"

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> CWState:
        """Start each w from 0; nothing is random."""
        origin = ((2 * images - 1) * _INSIDE).atanh()
        counts = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        zeros = counts.double()
        return CWState.start(
            images,
            decide(classifier, images),
            origin=origin,
            reference=to_image(origin),
            w=torch.zeros_like(images),
            moments=Moments.like(images),
            c=zeros + self.initial_const,
            lower=zeros,
            upper=zeros + torch.inf,
            searches=counts,
            taken=counts.clone(),
            found=counts.bool(),
            last_loss=zeros + torch.inf,
            best=zeros + torch.inf,
            is_new=torch.ones(len(images), dtype=torch.bool),
            first_gradient=torch.zeros_like(images),
            first_f=zeros,
            first_found=counts.bool(),
        )

    def step(self, classifier: nn.Module, state: CWState) -> None:
        """Take one step of Adam with each image; end the searches that are over and begin new ones."""
        w = state.w.detach().requires_grad_()
        images = to_image(state.origin + w)
        distances = (images - state.reference).square().sum((1, 2, 3))
        margins = aimed_margins(self.aim, classifier, member_logits(classifier, images), state.goal)
        f = (margins + self.confidence).clamp_min(0).mean(1)
        losses = distances + state.c.to(w.dtype) * f
        gradient = image_gradient(losses, w)
        state.w = w.detach() - self.learning_rate * adam(gradient.values, state.moments, epsilon=self.adam_epsilon)
        state.note(gradient)
        state.forward_passes += 1
        state.iterations += 1

        fools = ((margins < 0) & (margins <= -self.confidence)).all(1)
        state.remember_first(gradient.values, f.detach(), fools)
        better = fools & (distances < state.best)
        state.best = torch.where(better, distances.detach().double(), state.best)
        state.adversarial = torch.where(per_image(better), images.detach(), state.adversarial)
        state.converged |= better
        state.found |= fools
        over = self._is_over(state, losses.detach().double())
        state.choose_c(over)
        finished = state.stuck | (state.searches == self.binary_search_steps)
        state.finished, again = torch.stack([finished, over & ~finished]).cpu()  # the only wait for the device
        if again.any():
            self._begin_search(state, again)

    def _begin_search(self, state: CWState, rows: Tensor) -> None:
        """Restart these rows from w = 0, and take their first step, whose gradient is known."""
        c, moments = state.c[rows], Moments.like(state.w[rows])
        state.w[rows], state.taken[rows], state.last_loss[rows] = 0.0, 0, torch.inf
        state.found[rows] = state.first_found[rows]
        if self.max_iterations > 1:
            gradients = per_image(c.to(state.w.dtype)) * state.first_gradient[rows]
            state.w[rows] = -self.learning_rate * adam(gradients, moments, epsilon=self.adam_epsilon)
            state.taken[rows] = 1
            state.iterations[rows] += 1
            if self.abort_early:
                state.last_loss[rows] = c * state.first_f[rows]
        state.moments.assign(rows, moments)

    def _is_over(self, state: CWState, losses: Tensor) -> Tensor:
        """Count a step of each search and return which searches are over."""
        check = (state.taken % math.ceil(self.max_iterations / 10) == 0) & self.abort_early
        stalled = check & ~(losses <= _PROGRESS * state.last_loss)
        state.last_loss = torch.where(check, losses, state.last_loss)
        over = stalled | self._is_hopeless(state, losses)
        state.taken += 1
        return over | (state.taken == self.max_iterations)

    def _is_hopeless(self, state: CWState, losses: Tensor) -> Tensor:
        """Return which late searches end before their first check for progress."""
        late = (2 * state.searches > self.binary_search_steps) & self.abort_early & self.cut_late_searches
        now = state.taken == math.ceil(self.max_iterations / _LATE_CHECK)
        at_original = state.c * state.first_f
        return late & now & (losses > at_original) & (state.best > 4 * at_original)

    def details(self, state: CWState) -> dict[str, Tensor]:
        """Return the L2 distance before rounding."""
        return {"l2": l2_norm(state.adversarial - state.images)}


def to_image(w: Tensor) -> Tensor:
    """Return (tanh w + 1) / 2, in [0, 1]."""
    return (w.tanh() + 1) / 2
