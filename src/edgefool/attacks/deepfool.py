"""DeepFool (Moosavi-Dezfooli, Fawzi and Frossard, CVPR 2016).

https://arxiv.org/abs/1511.04599; the authors' code: https://github.com/LTS4/DeepFool
"""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import Count, IterativeAttack, NotNegative
from edgefool.attacks.functional import as_written, clean_logits, image_gradient, l2_norm, per_image
from edgefool.attacks.state import State
from edgefool.errors import UsageError

_EXTRA = 1e-4  # added to each step's length, as in the authors' code


@plain_dataclass(kw_only=True)
class DeepFoolState(State):
    """Images, their most likely classes (N, candidates), the original one first, and the sum of the steps so far."""

    candidates: Tensor
    total: Tensor


@dataclass(frozen=True)
class DeepFool(IterativeAttack[DeepFoolState]):
    """Step to the nearest decision boundary between the class and its most likely rivals, as if boundaries were planes.

    With w_k = ∇z_k - ∇z_y and f_k = z_k - z_y for each rival k, take the nearest, ``l = argmin |f_k| / ||w_k||_2``, and
    step ``r_i = |f_l| / ||w_l||_2² w_l``, until the class of I + (1 + overshoot) Σ r_i changes (Alg. 2 of the paper).

    Parameters
    ----------
    candidates : int
        Number of classes considered, including the original one; 10 in the paper.
    overshoot : float
        How far to step past the boundary.
    max_iterations : int
        Maximum number of steps.
    clip : bool
        Clip each iterate to [0, 1], as Foolbox does. The authors' code clips only the saved image.
    space : "pixels" or "normalised"
        Where distances are measured. ``"pixels"``: on images in [0, 1], where methods are compared. ``"normalised"``:
        on the input of the network, (image - mean) / std, as in the authors' code.

    Examples
    --------
    >>> DeepFool().overshoot
    0.02
    """

    name: ClassVar[str] = "deepfool"
    bytes_per_pixel: ClassVar[int] = 300
    typical_steps: ClassVar[int] = 3

    candidates: Annotated[int, Field(ge=2)] = 10
    overshoot: NotNegative = 0.02
    max_iterations: Count = 50
    clip: bool = True
    space: Literal["pixels", "normalised"] = "pixels"

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> DeepFoolState:
        """Choose the candidates; nothing is random."""
        return self.start(images, clean_logits(classifier, images))

    def start(self, images: Tensor, logits: Tensor) -> DeepFoolState:
        """Prepare images with known logits."""
        classes = logits.argmax(1)
        others = logits.scatter(1, classes[:, None], -torch.inf)
        rivals = others.topk(min(self.candidates, logits.shape[1]) - 1, 1).indices
        candidates = torch.cat([classes[:, None], rivals], 1)
        return DeepFoolState.start(images, classes, candidates=candidates, total=torch.zeros_like(images))

    @as_written()
    def step(self, classifier: nn.Module, state: DeepFoolState) -> None:
        """Classify the images, then take a step with the unfinished ones."""
        x = state.adversarial.detach().requires_grad_()
        logits = classifier(x)
        state.forward_passes += 1
        state.converged = state.goal.is_met([logits])
        stop = state.converged | state.stuck | (state.iterations == self.max_iterations)
        state.finished = stop.cpu()  # the only wait for the device
        if state.finished.all():
            return
        with state.subset(~state.finished) as rest:
            if rest is not state:
                # Cheaper than backward passes of all images; not counted, as it depends on the other images.
                x = rest.adversarial.detach().requires_grad_()
                logits = classifier(x)
            rest.total = rest.total + self._nearest(x, logits, rest, self._scale(classifier, x))
            moved = rest.images + (1 + self.overshoot) * rest.total
            rest.adversarial = moved.clamp(0, 1) if self.clip else moved
            rest.iterations += 1

    def _nearest(self, x: Tensor, logits: Tensor, state: DeepFoolState, scale: Tensor) -> Tensor:
        """Return the step of each image to the nearest plane."""
        differences = logits.gather(1, state.candidates[:, 1:]) - logits.gather(1, state.candidates[:, :1])
        differences = differences.to(x.dtype)
        nearest = torch.full_like(differences[:, 0], torch.inf)
        steps = torch.zeros_like(x)
        last = differences.shape[1] - 1
        for k in range(last + 1):
            gradient = image_gradient(differences[:, k], x, retain_graph=k < last)
            state.note(gradient)
            w = scale * gradient.values  # in u = x / scale, gradients are multiplied by the scale and steps divided
            length = l2_norm(w)
            distance = torch.where(length > 0, differences[:, k].detach().abs() / length, torch.inf)
            direction = w / per_image(length.clamp_min(torch.finfo(w.dtype).tiny))
            steps = torch.where(per_image(distance < nearest), scale * per_image(distance + _EXTRA) * direction, steps)
            nearest = torch.minimum(nearest, distance)
        return steps

    def _scale(self, classifier: nn.Module, images: Tensor) -> Tensor:
        if self.space == "pixels":
            return images.new_ones(1, 3, 1, 1)
        preprocessing = getattr(classifier, "preprocessing", None)
        if preprocessing is None:
            raise UsageError("deepfool: space=normalised needs an edgefool.Classifier, which knows its std")
        return images.new_tensor(preprocessing.std).view(1, 3, 1, 1)

    def details(self, state: DeepFoolState) -> dict[str, Tensor]:
        """Return the L2 distance before rounding."""
        return {"l2": l2_norm(state.adversarial - state.images)}
