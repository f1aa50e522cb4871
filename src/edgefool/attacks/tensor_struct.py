"""Structs of tensors, whose rows are selected, replaced and joined together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

T = TypeVar("T", bound="TensorStruct")


class TensorStruct:
    """A dataclass whose fields are tensors, or structs, dictionaries or tuples of tensors, all with N rows.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Points(TensorStruct):
    ...     x: Tensor
    >>> points = Points(torch.arange(3))
    >>> TensorStruct.join([points, points.select(points.x > 1)])
    Points(x=tensor([0, 1, 2, 2]))
    """

    def select(self, rows: Tensor | slice) -> Self:
        """Return the rows that a mask (N,), indices or a slice select; masks and indices copy them."""
        selected: Self = _map(lambda tensor: tensor[rows], self)
        return selected

    def cpu(self) -> Self:
        """Return the tensors on the CPU; those that are there are not copied."""
        there: Self = _map(lambda tensor: tensor.cpu(), self)
        return there

    def assign(self, rows: Tensor | slice, values: Self) -> None:
        """Overwrite these rows, in place."""
        _map(lambda tensor, new: tensor.__setitem__(rows, new), self, values)

    @contextmanager
    def subset(self, mask: Tensor) -> Iterator[Self]:
        """Yield the rows of a mask (N,) on the CPU and write their changes back; the struct itself if these are all."""
        if mask.all():
            yield self
        else:
            rows = mask.nonzero()[:, 0]
            selected = self.select(rows)
            yield selected
            self.assign(rows, selected)

    @staticmethod
    def join(structs: "Sequence[T]") -> "T":
        """Return the rows of all structs, in order; their other dimensions must agree."""
        joined: T = _map(lambda *tensors: torch.cat(tensors), *structs)
        return joined


def _map(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """Apply a function to the corresponding tensors of structs with the same fields."""
    if isinstance(first, Tensor):
        return function(first, *others)
    if isinstance(first, dict):
        return {key: _map(function, value, *(other[key] for other in others)) for key, value in first.items()}
    if isinstance(first, tuple):
        return tuple(_map(function, *values) for values in zip(first, *others, strict=True))
    names = [field.name for field in fields(first)]
    values = {name: _map(function, getattr(first, name), *(getattr(o, name) for o in others)) for name in names}
    return type(first)(**values)
