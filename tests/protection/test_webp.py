"""WebP files come back as they are compressed."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgefool.errors import ImageError
from edgefool.protection import open_photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MARK = "0.2 natural"


@pytest.fixture
def written(tmp_path):
    def write(data: bytes, policy: str = "private"):
        path = tmp_path / "photo.webp"
        path.write_bytes(data)
        photo = open_photo(path)
        result = photo.encode(photo.pixels, MARK, policy)
        return photo, result, Image.open(io.BytesIO(result))

    return write


def vp8_size(data: bytes) -> int:
    place = data.index(b"VP8 ") + 4
    return int.from_bytes(data[place : place + 4], "little")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_lossless_stays_lossless(written, made, mode):
    image = Image.fromarray(made.noise())
    if mode == "RGBA":  # colours under full transparency included
        image.putalpha(Image.fromarray(made.noise()[..., 0]).point(lambda level: level if level > 99 else 0))
    photo, result, after = written(made.encoded(image, "WEBP", lossless=True, exact=True))
    assert b"VP8L" in result
    assert after.mode == mode
    assert np.array_equal(np.asarray(after), np.asarray(image))
    assert photo.notes == ()


@pytest.mark.parametrize("quality", [30, 60, 80, 95])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_lossy_stays_lossy_at_about_the_same_size(written, made, quality, mode):
    image = Image.fromarray(made.noise(192, 256)).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = made.encoded(image, "WEBP", quality=quality)
    _, result, after = written(data)
    assert b"VP8 " in result
    assert after.mode == mode
    assert 0.6 < vp8_size(result) / vp8_size(data) < 1.3
    assert np.abs(np.asarray(after).astype(int) - np.asarray(Image.open(io.BytesIO(data)))).mean() < 4


@pytest.mark.parametrize("policy", ["private", "keep", "none"])
def test_metadata(written, made, policy):
    image = Image.fromarray(made.noise())
    data = made.encoded(image, "WEBP", icc_profile=SRGB, exif=made.make_exif(), xmp=made.xmp)
    photo, result, after = written(data, policy)
    assert photo.orientation == after.getexif()[0x0112] == 6
    assert after.info["icc_profile"] == SRGB
    assert MARK.encode() in after.info["xmp"]
    assert (b"GPSSECRET" in result) == (policy == "keep")
    assert (b"Title" in result) == (b"Maker of cameras" in result) == (policy != "none")
    assert b"/9j/" not in result
    assert b"\xd8\xff" not in after.info["exif"]


def test_animations_are_refused(written, made):
    image = Image.fromarray(made.noise())
    with pytest.raises(ImageError, match="animation"):
        written(made.encoded(image, "WEBP", save_all=True, append_images=[image.rotate(180)]))


def test_content_credentials_are_left_out(written, made):
    data = made.encoded(Image.fromarray(made.noise()), "WEBP", exif=made.make_exif())
    data += b"C2PA\x0a\0\0\0C2PASECRET"
    photo, result, _ = written(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    assert "C2PA" in photo.notes[0]
    assert b"C2PASECRET" not in result
