"""The photos for trying things offline are there."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos
from edgefool.images import read_image


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


def test_names_lead_to_different_photos():
    first = {name: make().tobytes() for name, make in DEMO_PHOTOS.items()}
    assert len(set(first.values())) == len(first)


def test_a_photo_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            write_demo_photos(tmp_path, ["cat"])
    assert list(tmp_path.iterdir()) == []
    write_demo_photos(tmp_path, ["cat"])
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]
