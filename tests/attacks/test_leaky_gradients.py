"""Gradients that pass where a ReLU is off: the same outputs, and the gradients of a leaky ReLU."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgefool.attacks.leaky_gradients import LeakyGradients

VALUES = torch.tensor([-2.0, -0.5, 0.5, 3.0, 7.0])

RELUS = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": torch.Tensor.relu,
    "Tensor.relu_": torch.Tensor.relu_,
}
RELU6S = {
    "module": nn.ReLU6(),
    "module in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "F.hardtanh": lambda x: F.hardtanh(x, 0.0, 6.0),
    "F.hardtanh_": lambda x: F.hardtanh_(x, min_val=0.0, max_val=6.0),
}


def output_and_gradient(function, slope=None):
    values = VALUES.clone().requires_grad_()
    copy = values * 1  # what an operation in place may change
    if slope is None:
        output = function(copy)
    else:
        with LeakyGradients(slope):
            output = function(copy)
    (output * torch.arange(1.0, 6.0)).sum().backward()
    return output, values.grad


@pytest.mark.parametrize("function", RELUS.values(), ids=RELUS)
def test_relus_keep_their_output_and_get_the_gradient_of_a_leaky_one(function):
    output, gradient = output_and_gradient(function, 0.1)
    assert torch.equal(output, output_and_gradient(function)[0])
    assert torch.equal(gradient, output_and_gradient(lambda x: F.leaky_relu(x, 0.1))[1])


@pytest.mark.parametrize("function", RELU6S.values(), ids=RELU6S)
def test_relu6_also_lets_gradients_pass_above(function):
    output, gradient = output_and_gradient(function, 0.1)
    assert torch.equal(output, output_and_gradient(function)[0])
    assert torch.equal(gradient, output_and_gradient(lambda x: F.leaky_relu(x, 0.1))[1])


@pytest.mark.parametrize(
    "function",
    [F.hardtanh, F.leaky_relu, F.gelu, F.silu, torch.sigmoid, lambda x: x.clamp(0, 1)],
    ids=["hardtanh", "leaky", "gelu", "silu", "sigmoid", "clamp"],
)
def test_other_functions_are_left_alone(function):
    for ours, theirs in zip(output_and_gradient(function, 0.1), output_and_gradient(function), strict=True):
        assert torch.equal(ours, theirs)


def test_a_slope_of_0_is_relu():
    assert torch.equal(output_and_gradient(torch.relu, 0.0)[1], output_and_gradient(torch.relu)[1])


def test_an_operation_in_place_changes_its_input():
    values = VALUES.clone()
    with LeakyGradients(0.1):
        result = nn.ReLU(inplace=True)(values)
    assert result is values
    assert values.min() == 0


def test_outside_all_is_as_before():
    with LeakyGradients(0.1):
        pass
    assert output_and_gradient(nn.ReLU())[1].tolist() == [0, 0, 3, 4, 5]


def test_without_gradients_and_in_channels_last_order():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 3)).to(
        memory_format=torch.channels_last
    )
    images = torch.rand(2, 3, 9, 9).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), LeakyGradients(0.1):
        output = net(images)
    torch.testing.assert_close(output, net(images))
    assert not output.requires_grad
    assert output.is_contiguous(memory_format=torch.channels_last)
