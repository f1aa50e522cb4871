"""A PNG gives back the image that was written, rounded to 8 bits."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefool.errors import UsageError
from edgefool.images import encode_png, read_image, round_to_8_bits


@given(st.integers(16, 40), st.integers(16, 40), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_png_round_trip(height, width, seed):
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(read_image(encode_png(image)), round_to_8_bits(image))


def test_png_holds_all_levels_in_the_right_channels():
    pixels = np.stack([np.arange(256).reshape(16, 16) + 0 * k for k in range(3)], -1).astype(np.uint8)
    pixels[..., 1], pixels[..., 2] = pixels[::-1, :, 0], pixels[:, ::-1, 0]
    data = encode_png((torch.from_numpy(pixels).permute(2, 0, 1) / 255).requires_grad_())
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)


def test_a_grey_image_is_a_grey_png():
    image = torch.arange(256).reshape(1, 16, 16) / 255
    data = encode_png(image)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(pixels, np.arange(256).reshape(16, 16))
    assert torch.equal(read_image(data), image.expand(3, -1, -1))


@pytest.mark.parametrize(
    "image", [torch.full((3, 20, 20), 1.1), torch.full((3, 20, 20), torch.nan), torch.ones(20, 20)]
)
def test_png_refuses_what_is_no_image(image):
    with pytest.raises(UsageError):
        encode_png(image)
