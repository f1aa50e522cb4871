"""Bounds of quality."""

import numpy as np
import pytest
import torch

from edgefool.protection.bounds import MEASURED_PIXELS, Bounds, Quality, measure, shrink, shrink_to_measure


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(60, 190, (90, 120, 3), dtype=np.uint8)


def test_a_photo_is_at_no_distance_from_itself(photo):
    image = shrink_to_measure(photo)
    assert image.shape == (1, 3, 90, 120)
    assert measure(image, image) == Quality(pytest.approx(1), 0, 0)


def test_distances_of_a_uniform_change():
    """Grey levels 119 and 131 are L* 50 and 55: ΔE*ab is their difference, CIEDE2000 a little less."""
    images = [torch.full((1, 3, 32, 32), level / 255) for level in (131, 119)]
    quality = measure(*images)
    assert quality.smooth_delta_e == pytest.approx(4.8, abs=0.1)
    assert quality.ciede2000 == pytest.approx(4.8, abs=0.2)


@pytest.mark.parametrize("size", [(3000, 4000), (16, 60_000), (800, 700)])
def test_large_photos_are_measured_small(size):
    height, width = shrink_to_measure(np.zeros((*size, 3), np.uint8)).shape[2:]
    assert height * width <= MEASURED_PIXELS * 1.01 or min(height, width) == 16
    assert min(height, width) >= 16


def test_shrinking_averages(photo):
    small = shrink(photo, (9, 12))
    blocks = photo.reshape(9, 10, 12, 10, 3).mean((1, 3))
    assert np.abs(small[1:-1, 1:-1] - blocks[1:-1, 1:-1]).mean() < 8
    assert shrink(photo, (90, 120)) is photo


@pytest.mark.parametrize(
    ("quality", "share"),
    [(Quality(0.75, 1, 1), 0.632), (Quality(1, 8, 1), 0.5), (Quality(1, 1, 16), 0.25), (Quality(0.95, 2, 2), 1.414)],
)
def test_the_share_that_stays_within_the_bounds(quality, share):
    assert Bounds(0.9, 4, 4).allowed_share(quality) == pytest.approx(share, abs=0.001)
