from dataclasses import dataclass, replace

import pytest
import torch

from edgefool.attacks.tensor_struct import TensorStruct


@dataclass
class Inner(TensorStruct):
    values: torch.Tensor


@dataclass
class Outer(TensorStruct):
    numbers: torch.Tensor
    inner: Inner
    named: dict[str, torch.Tensor]


def outer(*numbers):
    values = torch.tensor(numbers)
    return Outer(values, Inner(values[:, None] * 10), {"a": values * 100})


def rows(struct):
    return [struct.numbers.tolist(), struct.inner.values[:, 0].tolist(), struct.named["a"].tolist()]


@pytest.mark.parametrize("index", [torch.tensor([False, True, True]), torch.tensor([1, 2]), slice(1, 3)])
def test_select(index):
    assert rows(outer(1, 2, 3).select(index)) == [[2, 3], [20, 30], [200, 300]]


def test_join():
    assert rows(TensorStruct.join([outer(1), outer(2, 3)])) == [[1, 2, 3], [10, 20, 30], [100, 200, 300]]


def test_assign():
    struct = outer(1, 2, 3)
    struct.assign(torch.tensor([True, False, True]), outer(7, 8))
    assert rows(struct) == [[7, 2, 8], [70, 20, 80], [700, 200, 800]]


@pytest.mark.parametrize(("mask", "expected"), [([True] * 3, [11, 12, 13]), ([True, False, True], [11, 2, 13])])
def test_a_subset_is_changed_in_place(mask, expected):
    struct = outer(1, 2, 3)
    with struct.subset(torch.tensor(mask)) as some:
        some.numbers = some.numbers + 10
    assert struct.numbers.tolist() == expected
    assert struct.inner.values.flatten().tolist() == [10, 20, 30]


def test_a_field_of_the_struct_may_be_the_mask():
    struct = replace(outer(1, 0, 3), numbers=torch.tensor([True, False, True]))
    with struct.subset(struct.numbers) as some:
        some.numbers = ~some.numbers
    assert struct.numbers.tolist() == [False, False, False]
