"""The state of images under attack."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from edgefool.attacks.criteria import Criterion
from edgefool.attacks.functional import Gradient
from edgefool.attacks.goal import Goal
from edgefool.attacks.tensor_struct import TensorStruct


@dataclass(kw_only=True)
class State(TensorStruct):
    """The N images of a batch; attacks add fields of their own.

    Attributes
    ----------
    images : Tensor
        (N, 3, H, W), the originals.
    original_class : Tensor
        (N,), int64: the classifier's decision on them; (N, M) for an ensemble of M.
    goal : Goal
        What the attack is to do: leave ``original_class``, unless `aim` says otherwise.
    adversarial : Tensor
        (N, 3, H, W), the current result, before rounding to 8 bits; at first the images themselves.
    finished : Tensor
        (N,), bool, always on the CPU, so that the loop can read it without waiting for the device.
    converged, lost_gradient : Tensor
        (N,), bool; see `AttackResult`.
    stuck : Tensor
        (N,), bool: a gradient was not finite, so that the attack cannot continue.
    iterations, forward_passes, backward_passes : Tensor
        (N,), int64.
    seconds : Tensor
        (N,), float64, on the CPU.
    """

    images: Tensor
    original_class: Tensor
    goal: Goal
    adversarial: Tensor
    finished: Tensor
    converged: Tensor
    lost_gradient: Tensor
    stuck: Tensor
    iterations: Tensor
    forward_passes: Tensor
    backward_passes: Tensor
    seconds: Tensor

    @classmethod
    def start(cls, images: Tensor, original_class: Tensor, **own: Any) -> Self:
        """Return the state before the first step, after one forward pass of the originals.

        ``original_class`` is (N,), or (N, M) for an ensemble.
        """
        goal = Goal.leave(original_class)
        no, zero = torch.zeros_like(goal.targeted), torch.zeros_like(goal.classes[:, 0])
        return cls(
            images=images,
            original_class=original_class,
            goal=goal,
            adversarial=images.clone(),
            finished=torch.zeros(len(images), dtype=torch.bool),
            converged=no,
            lost_gradient=no.clone(),
            stuck=no.clone(),
            iterations=zero,
            forward_passes=zero + 1,
            backward_passes=zero.clone(),
            seconds=torch.zeros(len(images), dtype=torch.float64),
            **own,
        )

    def __len__(self) -> int:
        return len(self.images)

    def aim(self, criteria: Sequence[Criterion], num_classes: Sequence[int]) -> None:
        """Set the goal before the first step; see `Goal.of`, which raises."""
        self.goal = Goal.of(criteria, self.original_class, num_classes)

    def note(self, gradient: Gradient, active: Tensor | bool = True) -> None:
        """Count a backward pass of the active images, and note whose gradient was zero or not finite."""
        self.backward_passes = self.backward_passes + active
        self.lost_gradient = self.lost_gradient | active & (gradient.is_zero | ~gradient.is_finite)
        self.stuck = self.stuck | active & ~gradient.is_finite
