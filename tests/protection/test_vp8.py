"""The quality with which libwebp was asked to write, found in what it wrote."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgefool.protection.vp8 import DEFAULT_QUALITY, estimate_quality


def frame(made, image: Image.Image, quality: int) -> bytes:
    data = made.encoded(image, "WEBP", quality=quality)
    place = data.index(b"VP8 ")
    return data[place + 8 : place + 8 + int.from_bytes(data[place + 4 : place + 8], "little")]


@pytest.mark.parametrize("quality", range(10, 101, 10))
def test_the_quality_is_found(made, quality):
    """libwebp varies the quantiser with the content, by segments."""
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
    for image in (Image.fromarray(made.noise(96, 128)), noisy):
        assert abs(estimate_quality(frame(made, image, quality)) - quality) <= 12


def test_a_frame_without_a_start_code(made):
    assert estimate_quality(b"rubbish") == DEFAULT_QUALITY


@given(st.binary(max_size=60))
def test_rubbish(data):
    assert 0 <= estimate_quality(b"\x10\2\0\x9d\1\x2a\x40\0\x30\0" + data) <= 100
