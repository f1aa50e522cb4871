"""N-FGSM: the basic iterative method (Kurakin, Goodfellow and Bengio, ICLR workshops 2017).

https://arxiv.org/abs/1607.02533
"""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import Count, IterativeAttack, Level
from edgefool.attacks.functional import decide, image_gradient, per_image, project
from edgefool.attacks.state import State
from edgefool.classifiers import member_logits


@dataclass(frozen=True)
class NFGSM(IterativeAttack[State]):
    """Step away from the class by the sign of the gradient, within ε of the image.

    x_0 = I, x_{n+1} = clip(x_n + α sign(∇ CE(x_n, y))) to [I - ε, I + ε] and to [0, 1] (Sec. 2.2 of the paper).
    Towards a target t: -CE(x_n, t) instead of CE(x_n, y). On an ensemble: the mean over its members.

    Parameters
    ----------
    epsilon : float
        ε, the maximum L∞ distance, for images in [0, 1].
    alpha : float
        α, the length of a step.
    max_iterations : int
        N; by default the paper's min(ε + 4, 1.25 ε) with ε in levels of 1/255, rounded down.
    early_stop : bool
        Stop as soon as the criterion is met. The paper takes all N steps.

    Examples
    --------
    >>> NFGSM().max_iterations, NFGSM(epsilon=16 / 255).max_iterations
    (10, 20)
    """

    name: ClassVar[str] = "nfgsm"
    bytes_per_pixel: ClassVar[int] = 150
    takes_ensembles: ClassVar[bool] = True
    takes_targets: ClassVar[bool] = True
    typical_steps: ClassVar[int] = 10

    epsilon: Level = 8 / 255
    alpha: Level = 1 / 255
    max_iterations: Count = Field(default=None, validate_default=True)
    early_stop: bool = False

    @field_validator("max_iterations", mode="before")
    @classmethod
    def _choose_max_iterations(cls, value: object, info: ValidationInfo) -> object:
        levels = 255 * info.data.get("epsilon", 0)  # missing if invalid
        # 1e-6, as rounding can leave products such as 1.25 * 8.0 just below an integer.
        return max(1, int(min(levels + 4, 1.25 * levels) + 1e-6)) if value is None else value

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> State:
        """Start from the images themselves; nothing is random."""
        return State.start(images, decide(classifier, images))

    def step(self, classifier: nn.Module, state: State) -> None:
        """Take one step with each image; with ``early_stop`` only with those that do not meet the criterion yet."""
        x = state.adversarial.detach().requires_grad_()
        logits = member_logits(classifier, x)
        state.forward_passes += 1
        stop = state.stuck
        if self.early_stop:
            state.converged = state.goal.is_met(logits)
            stop = stop | state.converged | (state.iterations == self.max_iterations)
            state.finished = stop.cpu()
            if state.finished.all():
                return

        gradient = image_gradient(state.goal.cross_entropies(logits).mean(1), x)
        direction = per_image(~stop) * gradient.values.sign()
        state.adversarial = project(x.detach() + self.alpha * direction, state.images, self.epsilon)
        state.note(gradient, ~stop)
        state.iterations += ~stop & ~state.stuck
        if not self.early_stop:
            state.converged = state.iterations == self.max_iterations
            state.finished = (state.converged | state.stuck).cpu()
