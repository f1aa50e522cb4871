"""What an attack is to do to each image: leave a class, or reach one, for each classifier that it attacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from edgefool.attacks.criteria import Criterion, Misclassification, Targeted
from edgefool.attacks.functional import cross_entropies, margin
from edgefool.attacks.tensor_struct import TensorStruct


@dataclass
class Goal(TensorStruct):
    """The goals of N images for the M members of an ensemble; M = 1 for a single classifier.

    Logits are tuples of M tensors (N, D_m).

    Attributes
    ----------
    classes : Tensor
        (N, M), int64: the class to leave or to reach.
    targeted : Tensor
        (N,), bool: reach it.

    Examples
    --------
    >>> goal = Goal.leave(torch.tensor([[0, 1]]))
    >>> goal.is_met((torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 2.0, 3.0]])))
    tensor([True])
    """

    classes: Tensor
    targeted: Tensor

    @classmethod
    def leave(cls, classes: Tensor) -> Self:
        """Return the goal to leave classes, (N,) or (N, M)."""
        rows = classes.reshape(len(classes), -1)
        return cls(rows, torch.zeros_like(rows[:, 0], dtype=torch.bool))

    @classmethod
    def of(cls, criteria: Sequence[Criterion], own: Tensor, num_classes: Sequence[int]) -> Self:
        """Return the goals by the criterion of each image.

        Parameters
        ----------
        criteria
            N criteria, each for one image.
        own : Tensor
            (N,) or (N, M): the classifiers' decisions on the originals.
        num_classes
            The number of classes of each of the M classifiers.

        Raises
        ------
        UsageError
            If a class of a criterion does not exist, or there are more or fewer of them than classifiers.
        """
        given = {n: c.per_member(num_classes) for n, c in enumerate(criteria) if not isinstance(c, Misclassification)}
        targeted = torch.tensor([isinstance(c, Targeted) for c in criteria], device=own.device)
        goal = cls(own.reshape(len(own), -1).clone(), targeted)
        if given:
            goal.classes[list(given)] = own.new_tensor(list(given.values()))
        return goal

    def is_met(self, logits: Sequence[Tensor]) -> Tensor:
        """Return whether the goal is met for every member: (N,), bool; never by logits that are not finite."""
        pairs = zip(logits, self.classes.unbind(1), strict=True)
        met = [((z.argmax(1) == y) == self.targeted) & z.isfinite().all(1) for z, y in pairs]
        return torch.stack(met).all(0)

    def is_met_by(self, classes: Tensor) -> Tensor:
        """Return whether the goal is met by classes (N,) or (N, M): (N,), bool."""
        same = classes.reshape(self.classes.shape) == self.classes
        return (same == self.targeted[:, None]).all(1)

    def cross_entropies(self, logits: Sequence[Tensor]) -> Tensor:
        """Return CE(z, y) of each member, or its negative for a class y to reach: (N, M). It grows on the way there."""
        losses = cross_entropies(logits, self.classes)
        return torch.where(self.targeted[:, None], -losses, losses)

    def margins(self, logits: Sequence[Tensor], temperature: float = 0.0) -> Tensor:
        """Return z_y - max over i ≠ y of z_i (Eq. 8) of each member, or its negative for a class y to reach: (N, M).

        Negative once the goal is met. ``temperature`` as in `margin_of_sets`.
        """
        pairs = zip(logits, self.classes.unbind(1), strict=True)
        margins = torch.stack([margin(z, y, temperature) for z, y in pairs], 1)
        return torch.where(self.targeted[:, None], -margins, margins)
