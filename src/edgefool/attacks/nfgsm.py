"""N-FGSM: the basic iterative method (Kurakin, Goodfellow and Bengio, ICLR workshops 2017).

https://arxiv.org/abs/1607.02533
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from edgefool.attacks.attack import Count, IterativeAttack, Level, State, clean_logits, image_gradients, project


@dataclass(frozen=True)
class NFGSM(IterativeAttack[State]):
    """Step away from the class by the sign of the gradient, within ε of the image.

    x_0 = I, x_{n+1} = clip(x_n + α sign(∇ CE(x_n, y))) to [I - ε, I + ε] and to [0, 1] (Sec. 2.2 of the paper).

    Parameters
    ----------
    epsilon : float
        ε, the L∞ distance allowed, of images in [0, 1].
    alpha : float
        α, the length of a step.
    max_iterations : int
        N; by default what the paper gives, min(ε + 4, 1.25 ε) with ε in levels of 1/255, rounded down.
    early_stop : bool
        Stop as soon as the classifier is misled. The paper takes all N steps.

    Examples
    --------
    >>> NFGSM().max_iterations, NFGSM(epsilon=16 / 255).max_iterations
    (10, 20)
    """

    name: ClassVar[str] = "nfgsm"
    bytes_per_pixel: ClassVar[int] = 150
    typical_steps: ClassVar[int] = 10

    epsilon: Level = 8 / 255
    alpha: Level = 1 / 255
    max_iterations: Count = Field(default=None, validate_default=True)
    early_stop: bool = False

    @field_validator("max_iterations", mode="before")
    @classmethod
    def _choose_max_iterations(cls, value: object, info: ValidationInfo) -> object:
        levels = 255 * info.data.get("epsilon", 0)  # none where it was refused
        # The small number is for products such as 1.25 * 8.0 that fall short of a whole one by rounding.
        return max(1, int(min(levels + 4, 1.25 * levels) + 1e-6)) if value is None else value

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> list[State]:
        """Start from the images themselves; nothing is random."""
        classes = clean_logits(classifier, images).argmax(1)
        return [State(image=image, original_class=y) for image, y in zip(images, classes, strict=True)]

    def step(self, classifier: nn.Module, active: list[State]) -> None:
        """Take one step with each image; with ``early_stop`` only with those that do not mislead yet."""
        images = torch.stack([state.adversarial for state in active]).requires_grad_()
        classes = torch.stack([state.original_class for state in active])
        logits = classifier(images)
        for state, misled in zip(active, (logits.argmax(1) != classes).tolist(), strict=True):
            state.forward_passes += 1
            state.converged = self.early_stop and misled
            state.finished = state.converged or state.iterations == self.max_iterations
        if all(state.finished for state in active):
            return

        losses = F.cross_entropy(logits, classes, reduction="none")
        gradients = image_gradients(losses, images, active)
        originals = torch.stack([state.image for state in active])
        moved = project(images.detach() + self.alpha * gradients.sign(), originals, self.epsilon)
        for state, image in zip(active, moved, strict=True):
            if not state.finished:
                state.adversarial = image
                state.iterations += 1
                state.finished = state.converged = not self.early_stop and state.iterations == self.max_iterations
