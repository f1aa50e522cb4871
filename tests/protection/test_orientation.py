"""Stored and upright pixels, beside what Pillow does."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from edgefool.protection.orientation import turn_back, turn_upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(4, 7), (4, 7, 3)])
def test_turning_is_that_of_pillow(orientation, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turn_upright(pixels, orientation), upright)
    assert np.array_equal(turn_back(upright, orientation), pixels)
