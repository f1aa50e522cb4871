"""Transforms are affine maps of the image plane; an image of its own coordinates shows them."""

import pytest
import torch

from edgefool.attacks.transforms import (
    apply,
    compose,
    draw_crop,
    draw_factor,
    draw_order,
    draw_shrinking,
    draw_transform,
    generator,
    lower_resolution,
    reorder,
)


def coordinates(size=32):
    """Return the image (1, 3, size, size) of x, y in [-1, 1] and 1: bilinear interpolation reproduces it exactly."""
    line = (torch.arange(size) + 0.5) * 2 / size - 1
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size), torch.ones(size, size)])[None]


def inside(transformed):
    """Return which pixels are not mixed with the black outside."""
    return transformed[0, 2] > 1 - 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_a_shrunk_image_is_whole_and_on_the_canvas(seed):
    transform = draw_shrinking(generator(seed), 0.5)
    scale = 1 / float(transform[0, 0])
    assert 0.5 <= scale <= 1
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    places = (corners - transform[:, 2]) * scale  # of the corners of the image in the result
    assert places.abs().max() <= 1 + 1e-5
    result = apply(coordinates(64), [transform], [1.0])
    assert inside(result).float().mean() == pytest.approx(scale**2, abs=0.1)
    assert result[0, 2].amax() <= 1 + 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_a_crop_fills_the_canvas_with_a_window_of_the_image(seed):
    transform = draw_crop(generator(seed), 0.4)
    result = apply(coordinates(), [transform], [1.0])
    expected = torch.einsum("ij,njhw->nihw", transform[:, :2], coordinates()[:, :2]) + transform[:, 2, None, None]
    within = inside(result)
    assert within[2:-2, 2:-2].all()
    torch.testing.assert_close(result[0, :2, within], expected[0, :, within], atol=1e-5, rtol=0)
    assert expected.abs().max() <= 1
    assert 0.4 <= float(transform[0, 0]) <= 1


def test_composed_maps_are_one_transform_after_the_other():
    first, second = draw_shrinking(generator(1), 0.5), draw_crop(generator(2), 0.5)
    at_once = apply(coordinates(64), [compose(first, second)], [1.0])
    stepwise = apply(apply(coordinates(64), [first], [1.0]), [second], [1.0])
    both = inside(at_once) & inside(stepwise)
    assert both.sum() > 300
    torch.testing.assert_close(at_once[0, :, both], stepwise[0, :, both], atol=1e-4, rtol=0)


def test_each_image_has_its_own_map_and_factor():
    images = torch.rand(3, 3, 16, 16)
    maps = [torch.eye(2, 3), draw_crop(generator(0), 0.5), torch.eye(2, 3)]
    result = apply(images, maps, [1.0, 1.0, 0.5])
    torch.testing.assert_close(result[0], images[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(result[1:2], apply(images[1:2], maps[1:2], [1.0]))
    torch.testing.assert_close(result[2], images[2] / 2, atol=1e-5, rtol=0)


def test_the_gradient_is_that_of_the_sampled_pixels():
    images = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    maps = [draw_crop(generator(3), 0.5)]
    assert torch.autograd.gradcheck(lambda x: apply(x, maps, [0.7]), images)


@pytest.mark.parametrize(("probability", "drawn"), [(0, 0), (0.7, 140), (1, 200)])
def test_probabilities(probability, drawn):
    factors = [draw_factor(generator(7, k), probability, 0.3) for k in range(200)]
    assert sum(factor < 1 for factor in factors) == pytest.approx(drawn, abs=25 if 0 < drawn < 200 else 0)
    assert all(0.3 <= factor <= 1 for factor in factors)
    maps = [draw_transform(generator(8, k), probability, 0.5, 0.5) for k in range(200)]
    same = sum(torch.equal(transform, torch.eye(2, 3)) for transform in maps)
    assert same == pytest.approx(200 * (1 - probability) ** 2, abs=15 if 0 < drawn < 200 else 0)


def test_generators_differ_by_every_part_of_their_key():
    keys = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (12, 3), (1, 23), (2**63 - 1, 0, 0)]
    assert len({float(torch.rand((), generator=generator(*key))) for key in keys}) == len(keys)


def test_a_lower_resolution_keeps_what_is_coarse():
    size = 32
    line = torch.arange(size, dtype=torch.float64)
    coarse = (0.5 + 0.4 * (2 * torch.pi * line / size).sin()).expand(1, 3, size, size)
    fine = (0.5 + 0.4 * (-1.0) ** line).expand(1, 3, size, size)
    lowered = lower_resolution(torch.cat([coarse, fine, fine]), [0.5, 0.5, 1.0])
    inner = slice(4, -4)
    torch.testing.assert_close(lowered[0, ..., inner], coarse[0, ..., inner], atol=0.03, rtol=0)
    assert lowered[1, ..., inner].std() < 0.15 * fine[0].std()
    assert torch.equal(lowered[2], fine[0])


def test_each_image_has_its_own_resolution():
    images = torch.rand(2, 3, 20, 12)
    together = lower_resolution(images, [0.5, 0.8])
    assert torch.equal(together[:1], lower_resolution(images[:1], [0.5]))
    assert torch.equal(together[1:], lower_resolution(images[1:], [0.8]))
    assert together.shape == images.shape


@pytest.mark.parametrize("length", [1, 2, 7, 64])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_an_order_has_whole_blocks_of_about_equal_length(length, blocks):
    for seed in range(20):
        order = draw_order(generator(seed), length, blocks)
        assert torch.equal(order.sort().values, torch.arange(length))
        seams = (order.diff() != 1).sum() + 1
        assert seams <= blocks
        if blocks == 1:
            assert torch.equal(order, torch.arange(length))


def test_blocks_come_in_every_order():
    firsts = {int(draw_order(generator(seed), 60, 3)[0]) // 10 for seed in range(60)}
    assert firsts >= {0, 2, 4}


def test_each_image_is_reordered_by_its_own_indices_and_gradients_go_back():
    images = torch.rand(2, 3, 5, 4, requires_grad=True)
    rows = [torch.tensor([2, 3, 4, 0, 1]), torch.arange(5)]
    columns = [torch.arange(4), torch.tensor([3, 0, 1, 2])]
    result = reorder(images, rows, columns)
    torch.testing.assert_close(result[0], images[0].roll(-2, -2), atol=0, rtol=0)
    torch.testing.assert_close(result[1], images[1].roll(1, -1), atol=0, rtol=0)
    weights = torch.rand(2, 3, 5, 4)
    (gradient,) = torch.autograd.grad((result * weights).sum(), images)
    torch.testing.assert_close(gradient[0], weights[0].roll(2, -2), atol=0, rtol=0)
