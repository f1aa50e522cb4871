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

from edgefool.attacks.attack import Count, IterativeAttack, Level
from edgefool.attacks.criteria import Criterion
from edgefool.attacks.functional import (
    classes_of,
    clean_member_logits,
    cross_entropies,
    image_gradient,
    per_image,
    project,
)
from edgefool.attacks.state import State
from edgefool.classifiers import member_logits

Probability = Annotated[float, Field(gt=0, lt=1)]


@plain_dataclass(kw_only=True)
class PFGSMState(State):
    """Images and the class that each member of the ensemble is to reach, (N, M)."""

    target: Tensor

    def aim(self, criteria: Sequence[Criterion], num_classes: Sequence[int]) -> None:
        """Set the goal; a given target replaces the drawn one."""
        super().aim(criteria, num_classes)
        # A label that was drawn for an image that is wrong from the start would make it right.
        own = self.original_class.reshape(self.target.shape)
        drawn = torch.where(self.target == self.goal.classes, own, self.target)
        self.target = torch.where(self.goal.targeted[:, None], self.goal.classes, drawn)


@dataclass(frozen=True)
class PFGSM(IterativeAttack[PFGSMState]):
    """Step by the sign of the gradient towards a random unlikely class, within ε of the image.

    The target is drawn from the classes that remain after the most likely ones, with a total probability of σ, are
    removed. Steps end when the target's probability exceeds ``target_probability``. On an ensemble each member has its
    own target; steps follow the members' mean loss and end when all reach theirs. A `Targeted` criterion gives the
    targets instead.

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
    takes_ensembles: ClassVar[bool] = True
    takes_targets: ClassVar[bool] = True
    typical_steps: ClassVar[int] = 5

    epsilon: Level = 8 / 255
    step_size: Level = 1 / 255
    sigma: Probability = 0.99
    target_probability: Probability = 0.99
    max_iterations: Count = 100
    released_set: bool = False

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> PFGSMState:
        """Draw the targets of each image from its own seed."""
        logits = clean_member_logits(classifier, images)
        member_seeds = torch.tensor([_member_seeds(int(seed), len(logits)) for seed in seeds])
        targets = []
        for member, own_seeds in zip(logits, member_seeds.T.tolist(), strict=True):
            rows = zip(member.softmax(1).cpu(), member.argmax(1).tolist(), own_seeds, strict=True)
            targets.append([self.draw_target(probabilities, own, seed) for probabilities, own, seed in rows])
        target = torch.tensor(targets, device=images.device).T
        return PFGSMState.start(images, classes_of(classifier, logits), target=target)

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
        losses = cross_entropies(member_logits(classifier, x), state.target)  # -log of the targets' probabilities
        state.forward_passes += 1
        state.converged = ((-losses.detach()).exp() > self.target_probability).all(1)
        stop = state.converged | state.stuck | (state.iterations == self.max_iterations)
        state.finished = stop.cpu()
        if state.finished.all():
            return

        gradient = image_gradient(losses.mean(1), x)
        direction = per_image(~stop) * gradient.values.sign()
        state.adversarial = project(x.detach() - self.step_size * direction, state.images, self.epsilon)
        state.note(gradient, ~stop)
        state.iterations += ~stop & ~state.stuck

    def details(self, state: PFGSMState) -> dict[str, Tensor]:
        """Return the targets, (N,), or (N, M) for an ensemble."""
        return {"target": state.target.reshape(state.original_class.shape)}


def _member_seeds(seed: int, members: int) -> list[int]:
    """Return a seed for each member: the image's own for the first, others drawn from it."""
    generator = torch.Generator().manual_seed(seed)
    return [seed, *torch.randint(2**62, (members - 1,), generator=generator).tolist()]
