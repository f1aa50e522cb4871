"""P-FGSM: the private fast gradient sign method (Li, Shamsabadi, Sanchez-Matilla, Mazzon and Cavallaro, ICASSP 2019).

"Scene privacy protection"; the authors' code: https://github.com/smartcameras/P-FGSM
"""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from edgefool.attacks.attack import Count, IterativeAttack, Level
from edgefool.attacks.functional import clean_logits, image_gradient, per_image, project
from edgefool.attacks.state import State

Probability = Annotated[float, Field(gt=0, lt=1)]


@plain_dataclass(kw_only=True)
class PFGSMState(State):
    """Images and their target classes, (N,)."""

    target: Tensor


@dataclass(frozen=True)
class PFGSM(IterativeAttack[PFGSMState]):
    """Step by the sign of the gradient towards a random unlikely class, within ε of the image.

    The target is drawn from the classes that remain after the most likely ones, with a total probability of σ, are
    removed. Steps end when the target's probability exceeds ``target_probability``.

    Parameters
    ----------
    epsilon : float
        ε, the maximum L∞ distance, for images in [0, 1].
    step_size : float
        δ, the length of a step.
    sigma : float
        σ, the cumulative probability beyond which classes may become the target.
    target_probability : float
        Probability of the target at which the steps end.
    max_iterations : int
        Maximum number of steps.
    released_set : bool
        Draw from all classes except the original one, as the released code does.

    Examples
    --------
    >>> PFGSM(sigma=0.9).max_iterations
    100
    """

    name: ClassVar[str] = "pfgsm"
    bytes_per_pixel: ClassVar[int] = 150
    typical_steps: ClassVar[int] = 5

    epsilon: Level = 8 / 255
    step_size: Level = 1 / 255
    sigma: Probability = 0.99
    target_probability: Probability = 0.99
    max_iterations: Count = 100
    released_set: bool = False

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> PFGSMState:
        """Draw each target from its image's own seed."""
        logits = clean_logits(classifier, images)
        classes = logits.argmax(1)
        rows = zip(logits.softmax(1).cpu(), classes.tolist(), seeds, strict=True)
        target = torch.tensor([self.draw_target(row, own, int(seed)) for row, own, seed in rows], device=images.device)
        return PFGSMState.start(images, classes, target=target)

    def draw_target(self, probabilities: Tensor, own: int, seed: int) -> int:
        """Return the target class, given the probabilities (D,) of the image and its own class."""
        order = probabilities.argsort(descending=True, stable=True)
        others = order != own  # the most likely class may exceed σ by itself, and by round-off be one of several
        past = others & (probabilities[order].cumsum(0) > self.sigma)
        if self.released_set or not past.any():
            past = others
        candidates = order[past]
        generator = torch.Generator().manual_seed(seed)
        return int(candidates[torch.randint(len(candidates), (1,), generator=generator)])

    def step(self, classifier: nn.Module, state: PFGSMState) -> None:
        """Classify the images, then take a step with the unfinished ones."""
        x = state.adversarial.detach().requires_grad_()
        losses = F.cross_entropy(classifier(x), state.target, reduction="none")  # -log of the target's probability
        state.forward_passes += 1
        state.converged = (-losses.detach()).exp() > self.target_probability
        stop = state.converged | state.stuck | (state.iterations == self.max_iterations)
        state.finished = stop.cpu()
        if state.finished.all():
            return

        gradient = image_gradient(losses, x)
        direction = per_image(~stop) * gradient.values.sign()
        state.adversarial = project(x.detach() - self.step_size * direction, state.images, self.epsilon)
        state.note(gradient, ~stop)
        state.iterations += ~stop & ~state.stuck

    def details(self, state: PFGSMState) -> dict[str, Tensor]:
        """Return the targets."""
        return {"target": state.target}
