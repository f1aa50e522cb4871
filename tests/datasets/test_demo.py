"""The photos for trying things offline are there."""

import numpy as np
import pytest
from PIL import Image

from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos
from edgefool.images import read_image


def test_the_seven_of_the_issue():
    assert list(DEMO_PHOTOS) == ["cat", "coffee", "astronaut", "rocket", "motorcycle", "temple", "flower"]


@pytest.mark.parametrize("name", DEMO_PHOTOS)
def test_photo_is_rgb_and_survives_the_file(tmp_path, name):
    pixels = DEMO_PHOTOS[name]()
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= 224
    assert len(np.unique(pixels[..., 0] - pixels[..., 1])) > 10, "it is grey"
    (path,) = write_demo_photos(tmp_path / "photos", [name])
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
    assert np.array_equal((read_image(path) * 255).round().permute(1, 2, 0).numpy(), pixels)


def test_photos_that_are_there_are_left_alone(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"mine")
    paths = write_demo_photos(tmp_path, ["cat", "coffee"])
    assert [path.name for path in paths] == ["cat.png", "coffee.png"]
    assert paths[0].read_bytes() == b"mine"
