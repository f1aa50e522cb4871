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

from edgefool.attacks.attack import (
    Count,
    IterativeAttack,
    NotNegative,
    State,
    clean_logits,
    image_gradients,
    l2_distance,
)
from edgefool.classifiers import Classifier
from edgefool.errors import UsageError

_EXTRA = 1e-4  # added to each step's length, as in the authors' code


@plain_dataclass(kw_only=True)
class DeepFoolState(State):
    """An image, the likeliest classes of it (its own first), and the steps r so far."""

    candidates: Tensor
    total: Tensor


@dataclass(frozen=True)
class DeepFool(IterativeAttack[DeepFoolState]):
    """Step to the nearest border between the class and its likeliest rivals, as if the borders were planes.

    With w_k = ∇z_k - ∇z_y and f_k = z_k - z_y for each rival k, take the nearest, l = argmin |f_k| / ||w_k||_2, and
    step r_i = |f_l| / ||w_l||_2² w_l, until the class of I + (1 + overshoot) Σ r_i changes (Alg. 2 of the paper).

    Parameters
    ----------
    candidates : int
        Number of classes considered, the original one included; the paper's 10.
    overshoot : float
        How far past the border.
    max_iterations : int
        Most steps.
    clip : bool
        Clip each iterate to [0, 1], as Foolbox does. The authors' code clips only where the image is saved.
    space : "pixels" or "normalised"
        Where lengths are measured. ``"pixels"``, the default: of images in [0, 1], in which results of different
        methods are compared. ``"normalised"``, the authors' code: of what the network sees, (image - mean) / std.

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

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> list[DeepFoolState]:
        """Choose the candidates; nothing is random."""
        return self.start(images, clean_logits(classifier, images))

    def start(self, images: Tensor, logits: Tensor) -> list[DeepFoolState]:
        """Prepare images whose logits are known."""
        candidates = logits.topk(min(self.candidates, logits.shape[1]), 1).indices
        return [
            DeepFoolState(image=image, original_class=row[0], candidates=row, total=torch.zeros_like(image))
            for image, row in zip(images, candidates, strict=True)
        ]

    def step(self, classifier: nn.Module, active: list[DeepFoolState]) -> None:
        """Judge the images, then take a step with those that are not finished."""
        images, logits = _look(classifier, active)
        classes = torch.stack([state.original_class for state in active])
        for state, misled in zip(active, (logits.argmax(1) != classes).tolist(), strict=True):
            state.forward_passes += 1
            state.converged = misled
            state.finished = misled or state.iterations == self.max_iterations
        unfinished = [state for state in active if not state.finished]
        if not unfinished:
            return
        if len(unfinished) < len(active):
            # Nine backward passes cost more than this forward pass, which counts for no image: it depends on company.
            images, logits = _look(classifier, unfinished)

        steps = self._nearest(images, logits, unfinished, self._scale(classifier, images))
        for state, step in zip(unfinished, steps, strict=True):
            state.total = state.total + step
            image = state.image + (1 + self.overshoot) * state.total
            state.adversarial = image.clamp(0, 1) if self.clip else image
            state.iterations += 1

    def _nearest(self, images: Tensor, logits: Tensor, states: list[DeepFoolState], scale: Tensor) -> Tensor:
        """Return the step of each image to the nearest of the planes."""
        own = logits.gather(1, torch.stack([state.original_class for state in states])[:, None])
        differences = logits.gather(1, torch.stack([state.candidates for state in states])[:, 1:]) - own
        nearest = torch.full_like(own[:, 0], torch.inf)
        steps = torch.zeros_like(images)
        last = differences.shape[1] - 1
        for k in range(last + 1):
            # In coordinates u = image / scale: gradients grow by the scale, steps shrink by it.
            w = scale * image_gradients(differences[:, k], images, states, retain_graph=k < last)
            length = torch.linalg.vector_norm(w, dim=(1, 2, 3))
            distance = torch.where(length > 0, differences[:, k].detach().abs() / length, torch.inf)
            closer = (distance < nearest)[:, None, None, None]
            direction = w / length.clamp_min(torch.finfo(w.dtype).tiny)[:, None, None, None]
            steps = torch.where(closer, scale * (distance + _EXTRA)[:, None, None, None] * direction, steps)
            nearest = torch.minimum(nearest, distance)
        return steps

    def _scale(self, classifier: nn.Module, images: Tensor) -> Tensor:
        if self.space == "pixels":
            return images.new_ones(1, 3, 1, 1)
        if not isinstance(classifier, Classifier):
            raise UsageError("deepfool: space=normalised needs an edgefool.Classifier, which knows its std")
        return images.new_tensor(classifier.preprocessing.std).view(1, 3, 1, 1)

    def details(self, state: DeepFoolState) -> dict[str, Tensor]:
        """Return the L2 distance before rounding."""
        return {"l2": l2_distance(state)}


def _look(classifier: nn.Module, states: list[DeepFoolState]) -> tuple[Tensor, Tensor]:
    images = torch.stack([state.adversarial for state in states]).detach().requires_grad_()
    return images, classifier(images)
