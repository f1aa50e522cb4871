"""Resizing, rounding to 8 bits, and what every attack is given."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgefool.errors import UsageError
from edgefool.images import check_images, resize_image, round_to_8_bits

# Resizing


@pytest.mark.parametrize("size", [(300, 500), (100, 90), (448, 448), (37, 1000)])
@pytest.mark.parametrize("target", [224, (224, 130)])
def test_resize_equals_opencv(size, target):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    height, width = target if isinstance(target, tuple) else (target, target)
    expected = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    resized = resize_image(torch.from_numpy(pixels).permute(2, 0, 1) / 255, target)
    assert torch.equal(resized, round_to_8_bits(resized))
    difference = np.abs(np.rint(resized.permute(1, 2, 0).numpy() * 255) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.2


def test_native_size_and_the_same_size_change_nothing():
    image = round_to_8_bits(torch.rand(3, 24, 36))
    assert resize_image(image, None) is image
    assert torch.equal(resize_image(image, (24, 36)), image)


@pytest.mark.parametrize("size", [0, -224, 15, (224, 8), 10_001])
def test_resize_refuses_sizes(size):
    with pytest.raises(UsageError, match="size"):
        resize_image(torch.zeros(3, 20, 20), size)


# Rounding


@pytest.mark.parametrize("shape", [(256,), (4, 64), (2, 2, 8, 8), (1, 1, 1, 256, 1)])
def test_rounding_keeps_the_levels(shape):
    exact = torch.from_numpy(np.arange(256, dtype=np.float32) / np.float32(255)).reshape(shape)
    assert torch.equal(round_to_8_bits(exact), exact)
    assert torch.equal(round_to_8_bits(exact + 0.49 / 255), exact)
    assert torch.equal(round_to_8_bits(exact - 0.49 / 255), exact)


@given(st.floats(-10, 10, width=32))
def test_rounding_is_clipping_to_the_nearest_level(value):
    rounded = round_to_8_bits(torch.tensor(value)).item()
    assert abs(rounded - min(max(value, 0), 1)) <= 0.5 / 255 + 1e-6
    assert rounded * 255 == pytest.approx(round(rounded * 255), abs=1e-4)


def test_rounding_keeps_double_precision():
    rounded = round_to_8_bits(torch.tensor([0.3], dtype=torch.float64))
    assert rounded.dtype == torch.float64
    assert rounded.item() == 76 / 255


# The door of the attacks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("bound", "beyond"), [(0.0, -math.inf), (1.0, math.inf)])
def test_all_of_0_to_1_is_let_in_and_the_next_number_is_not(dtype, bound, beyond):
    images = torch.full((2, 3, 5, 7), bound, dtype=dtype, requires_grad=True)
    check_images(images)
    assert images.requires_grad
    assert bool((images == bound).all()), "nothing is changed"
    with torch.no_grad():
        images[1, 2, 3, 4] = torch.nextafter(torch.tensor(bound, dtype=dtype), torch.tensor(beyond, dtype=dtype))
    with pytest.raises(UsageError, match=r"must lie in \[0, 1\]; found "):
        check_images(images)


@pytest.mark.parametrize(
    ("images", "offence"),
    [
        (np.zeros((1, 3, 4, 4), np.float32), "ndarray"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "uint8"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.float16), "float16"),
        (torch.zeros(3, 4, 4), r"\(3, 4, 4\)"),
        (torch.zeros(1, 4, 4, 3), r"\(1, 4, 4, 3\)"),
        (torch.zeros(0, 3, 4, 4), r"\(0, 3, 4, 4\)"),
        (torch.zeros(1, 3, 0, 4), r"\(1, 3, 0, 4\)"),
        (torch.full((1, 3, 4, 4), 255.0), "255"),
        (torch.full((1, 3, 4, 4), -0.25), r"-0\.25"),
        (torch.full((1, 3, 4, 4), torch.inf), "inf"),
        (torch.tensor([0.5, torch.nan, 2.0]).reshape(1, 3, 1, 1), "NaN"),
    ],
)
def test_anything_else_is_refused(images, offence):
    with pytest.raises(ValueError, match=offence) as caught:
        check_images(images)
    assert isinstance(caught.value, UsageError)
