"""Matrices of transforms, against torch's own sampling and resizing."""

import pytest
import torch
from torch.nn import functional as F

from edgefool.attacks.transforms import RandomTransforms, draw_order, generator, lower_resolution, sample
from edgefool.classifiers.preprocessing import Preprocessing

LENGTHS = pytest.mark.parametrize("length", [1, 2, 7, 37, 64])


def on_both_sides(matrices, images):
    return matrices[:, None] @ images @ matrices.mT[:, None]


def keys(count, *more):
    return [(k, *more) for k in range(count)]


@LENGTHS
def test_sampling_is_that_of_grid_sample(length):
    images = torch.rand(4, 3, length, length, dtype=torch.float64)
    scale, shift = torch.tensor([1.0, 1.4, 0.7, 0.3]).double(), torch.tensor([0.0, 0.2, -0.1, 0.7]).double()
    maps = torch.zeros(4, 2, 3, dtype=torch.float64)
    maps[:, 0, 0], maps[:, 1, 1] = scale, scale
    maps[:, :, 2] = shift[:, None]
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    expected = F.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(on_both_sides(sample(length, scale, shift), images), expected)


@LENGTHS
@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.45, 0.01])
def test_a_lower_resolution_is_that_of_interpolate(length, share):
    images = torch.rand(2, 3, length, length, dtype=torch.float64)
    size = [max(1, round(share * length))] * 2
    small = F.interpolate(images, size, mode="bilinear", antialias=True)
    expected = F.interpolate(small, (length, length), mode="bilinear")
    shares = torch.tensor([share, 1.0]).double()
    enlarge, shrink = lower_resolution(length, shares)
    lowered = on_both_sides(enlarge @ shrink, images)
    torch.testing.assert_close(lowered[0], expected[0])
    torch.testing.assert_close(lowered[1], images[1])


def coordinates(size=64):
    """Return the image (1, 3, size, size) of y, x in [-1, 1] and 1: linear interpolation reproduces it exactly."""
    line = (torch.arange(size) + 0.5) * 2 / size - 1
    return torch.stack([line[:, None].expand(size, size), line.expand(size, size), torch.ones(size, size)])[None]


def inside(transformed):
    """Return which pixels are not mixed with the black outside."""
    return transformed[0, 2] > 1 - 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_a_shrunk_image_is_whole_and_on_the_canvas(seed):
    result = RandomTransforms(1, min_size=0.5)(coordinates(), [(seed,)])
    places = result[0, :2, inside(result)]
    assert places.amin() < -0.93
    assert places.amax() > 0.93
    assert 0.22 <= inside(result).float().mean() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_a_crop_fills_the_canvas_with_a_window_of_the_image(seed):
    result = RandomTransforms(1, min_crop=0.4)(coordinates(), [(seed,)])
    assert inside(result)[2:-2, 2:-2].all()
    rows, columns = result[0, 0, 4:-4, 32].diff(), result[0, 1, 32, 4:-4].diff()
    torch.testing.assert_close(rows, rows[:1].expand_as(rows), atol=1e-4, rtol=0)
    torch.testing.assert_close(columns, rows[:1].expand_as(columns), atol=1e-4, rtol=0)
    assert 0.4 <= float(rows[0]) * 32 <= 1


def test_one_place_for_rows_another_for_columns():
    random = RandomTransforms(1, min_size=0.5)
    tops_and_lefts = [
        [int(black.any(1 - axis).nonzero()[0]) for axis in (0, 1)]
        for key in keys(6)
        for black in [inside(random(coordinates(), [key]))]
    ]
    assert sum(top != left for top, left in tops_and_lefts) >= 4


@pytest.mark.parametrize(("probability", "drawn"), [(0, 0), (0.7, 140), (1, 200)])
@pytest.mark.parametrize("kind", ["min_size", "min_crop", "min_resolution", "min_brightness"])
def test_probabilities(kind, probability, drawn):
    images = torch.rand(1, 3, 16, 16).expand(200, 3, 16, 16)
    result = RandomTransforms(probability, **{kind: 0.3})(images, keys(200))
    changed = int(((result - images).abs().amax((1, 2, 3)) > 1e-4).sum())
    assert changed == pytest.approx(drawn, abs=25 if 0 < drawn < 200 else 4)


def test_brightness_is_a_factor():
    images = torch.rand(50, 3, 8, 8)
    factors = RandomTransforms(1, min_brightness=0.3)(images, keys(50)) / images
    torch.testing.assert_close(factors, factors[:, :1, :1, :1].expand_as(factors))
    assert 0.3 <= factors.amin() < 0.4
    assert 0.9 < factors.amax() <= 1


def test_an_image_is_transformed_as_it_is_alone():
    random = RandomTransforms(0.7, 0.7, 0.7, 0.5, 0.3, blocks=2)
    images = torch.rand(3, 3, 20, 12)
    together = random(images, keys(3))
    for k in range(3):
        torch.testing.assert_close(together[k : k + 1], random(images[k : k + 1], keys(3)[k : k + 1]))


def test_resizing_may_come_with_it():
    images, size = torch.rand(3, 3, 40, 56, dtype=torch.float64), Preprocessing(24, "bicubic", resize_size=32)
    random = RandomTransforms(0.7, 0.7, 0.7, 0.5, 0.3, blocks=2, flip_probability=0.5)
    found = random(images, keys(3), size.resize_matrices(images))
    torch.testing.assert_close(found, size.resize(random(images, keys(3))))


def test_gradients_go_back():
    random = RandomTransforms(1, 0.7, 0.7, 0.5, 0.3, blocks=2)
    images = torch.rand(2, 3, 8, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: random(x, keys(2, 5)), images)


def test_generators_differ_by_every_part_of_their_key():
    all_keys = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (12, 3), (1, 23), (2**63 - 1, 0, 0)]
    assert len({float(torch.rand((), generator=generator(*key))) for key in all_keys}) == len(all_keys)


@LENGTHS
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_an_order_has_whole_blocks_of_about_equal_length(length, blocks):
    orders = draw_order(length, torch.rand(2 * blocks - 1, 20))
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(length))
        seams = (order.diff() != 1).nonzero().flatten() + 1
        assert len(seams) < blocks
    if length == 64 and blocks == 3:
        firsts = [int((order == 0).nonzero()) for order in orders]
        assert any(first == 0 for first in firsts)
        assert any(first > 10 for first in firsts)
        assert all(first >= 64 / 3 * 0.2 - 1 for first in firsts if first)


def test_shuffled_blocks_of_an_image():
    images = torch.rand(1, 3, 30, 20)
    result = RandomTransforms(0, blocks=2)(images, [(4,)])
    moved = {
        (down, right)
        for down in range(30)
        for right in range(20)
        if torch.allclose(images.roll((down, right), (2, 3)), result, atol=1e-5)
    }
    assert len(moved) == 1, "two blocks a side change places, or do not"


def test_flips():
    images = torch.rand(1, 3, 8, 6).expand(60, 3, 8, 6)
    result = RandomTransforms(0, flip_probability=0.5)(images, keys(60))
    mirrored = (result - images.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    same = (result - images).abs().amax((1, 2, 3)) < 1e-5
    assert (mirrored ^ same).all()
    assert 15 <= mirrored.sum() <= 45
