import math

import torch

from edgefool.attacks.functional import image_gradient, margin, project


def test_margin_is_eq_8():
    logits = torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]])
    assert margin(logits, torch.tensor([1, 2])).tolist() == [2.0, -2.0]


def test_a_gradient_is_that_of_each_loss_and_what_is_not_finite_becomes_zero():
    images = torch.ones(3, 3, 1, 1, requires_grad=True)
    factors = torch.tensor([2.0, 0.0, math.inf])
    gradient = image_gradient((images.sum((1, 2, 3)) * factors), images)
    assert gradient.values.flatten(1).tolist() == [[2.0] * 3, [0.0] * 3, [0.0] * 3]
    assert gradient.is_zero.tolist() == [False, True, False]
    assert gradient.is_finite.tolist() == [True, True, False]


def test_a_loss_that_does_not_depend_on_the_image_has_no_gradient():
    gradient = image_gradient(torch.ones(2), torch.ones(2, 3, 1, 1, requires_grad=True))
    assert gradient.is_zero.all()


def test_project_keeps_the_distance_and_the_range():
    images = torch.tensor([0.0, 0.5, 1.0]) + torch.tensor([-0.3, 0.3, 0.05])
    torch.testing.assert_close(project(images, torch.tensor([0.0, 0.5, 1.0]), 0.1), torch.tensor([0.0, 0.6, 1.0]))
