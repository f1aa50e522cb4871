"""Criteria: when an attack on an image succeeds. They are values, and a call of an attack takes one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from edgefool.errors import UsageError

Rows: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Misclassification:
    """Success is another class than the classifier's own decision on the original (Eq. 1)."""

    def split(self, count: int) -> list[Self]:
        """Return the criterion of each of ``count`` images."""
        return [self] * count


@dataclass(frozen=True)
class GivenClasses:
    """A criterion with a class for each image.

    Parameters
    ----------
    classes : int, or integers (N,) or (N, M)
        One class for all images, one for each image, or one for each image and member of an ensemble.

    Raises
    ------
    UsageError
        If ``classes`` have another type or shape.
    """

    classes: int | Rows

    def __init__(self, classes: int | Sequence[int] | Sequence[Sequence[int]] | ArrayLike | Tensor):
        object.__setattr__(self, "classes", _plain(classes))

    def split(self, count: int) -> list[Self]:
        """Return the criterion of each of ``count`` images; raise `UsageError` if the classes are of another number."""
        if isinstance(self.classes, int):
            return [self] * count
        if len(self.classes) != count:
            raise UsageError(f"the criterion has classes of {len(self.classes)} images, not of {count}")
        return [type(self)([row]) for row in self.classes]

    def per_member(self, num_classes: Sequence[int]) -> tuple[int, ...]:
        """Return the class of one image for each member of an ensemble, or for a single classifier.

        Raises
        ------
        UsageError
            If the criterion is for another number of members, or a member lacks the class; ``num_classes`` has the
            number of classes of each.
        """
        (row,) = ((self.classes,),) if isinstance(self.classes, int) else self.classes
        row = row * len(num_classes) if len(row) == 1 else row
        if len(row) != len(num_classes):
            raise UsageError(f"the criterion has {len(row)} classes for each image, not one or {len(num_classes)}")
        for value, count in zip(row, num_classes, strict=True):
            if not 0 <= value < count:
                raise UsageError(f"the criterion's class {value} is not one of the classes 0 to {count - 1}")
        return row


class FromLabels(GivenClasses):
    """Success is another class than the image's label. An image that is wrong from the start succeeds at once.

    >>> FromLabels([3, 5]).split(2)
    [FromLabels(classes=((3,),)), FromLabels(classes=((5,),))]
    """


class Targeted(GivenClasses):
    """Success is the given class.

    >>> Targeted(7)
    Targeted(classes=7)
    """


Criterion: TypeAlias = Misclassification | FromLabels | Targeted


BY_DEFAULT = Misclassification()


def check_support(attack: object, *, ensemble: bool = False, targeted: bool = False) -> None:
    """Raise `UsageError` if an attack takes no ensembles, or no target."""
    name = getattr(attack, "name", type(attack).__name__)
    if ensemble and not getattr(attack, "takes_ensembles", False):
        raise UsageError(f"{name} attacks one classifier, not an ensemble")
    if targeted and not getattr(attack, "takes_targets", False):
        raise UsageError(f"{name} cannot be targeted")


def _plain(classes: object) -> int | Rows:
    """Return classes as an integer, or as a row for each image."""
    try:
        tensor = classes if isinstance(classes, Tensor) else torch.as_tensor(np.array(classes))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"the classes of a criterion must be integers: {error}") from error
    if tensor.ndim > 2 or tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        shape = tuple(tensor.shape)
        raise UsageError(f"the classes of a criterion must be integers (N,) or (N, M), not {tensor.dtype} {shape}")
    return int(tensor) if tensor.ndim == 0 else tuple(map(tuple, tensor.view(len(tensor), -1).tolist()))
