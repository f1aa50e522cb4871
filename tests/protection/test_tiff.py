"""TIFFs come back with their compression, alpha and tags."""

import io
import itertools
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from edgefool.errors import ImageError
from edgefool.images import read_image
from edgefool.protection import open_photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MARK = "0.2 natural"


@pytest.fixture
def written(tmp_path):
    def write(data: bytes, policy: str = "private"):
        path = tmp_path / "photo.tif"
        path.write_bytes(data)
        photo = open_photo(path)
        result = photo.encode(photo.pixels, MARK, policy)
        path.write_bytes(result)
        again = open_photo(path)
        assert again.orientation == photo.orientation
        assert again.mark == MARK
        return photo, result, again

    return write


def tagged(made, **options: object) -> bytes:
    """Return a TIFF with EXIF data, position, XMP, IPTC and Photoshop tags."""
    exif = Image.Exif()
    exif.update({0x010F: "Maker of cameras", 0x0112: 6, 0x013B: "Name of artist", 0x013C: "HOST OF OWNER"})
    exif.update({700: made.xmp, 34377: made.photoshop, 33723: b"\x1c\2\x5a\0\x09GPSSECRET\x1c\2\x78\0\7Caption"})
    details = {0x9003: "2024:05:06 07:08:09", 0x829A: 0.02, 0xA430: "NAME OF OWNER", 0x927C: b"Maker notes"}
    for part, values in {0x8769: details, 0x8825: {1: "N", 2: (1.0, 2.0, 3.0), 29: "GPSSECRET"}}.items():
        exif.get_ifd(part).update(values)
        exif[part] = exif.get_ifd(part)
    return made.encoded(Image.fromarray(made.noise()), "TIFF", exif=exif, icc_profile=SRGB, **options)


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_lossless_compression_is_kept(written, made, compression, mode):
    image = Image.fromarray(made.noise(96, 128))
    image.putalpha(Image.fromarray(made.noise(96, 128)[..., 0]))
    image = image.convert(mode)
    data = made.encoded(image, "TIFF", compression=compression)
    photo, result, again = written(data)
    assert photo.notes == ()
    assert np.array_equal(again.pixels, photo.pixels)
    assert np.array_equal(photo.pixels, np.asarray(image).reshape(photo.pixels.shape))
    with Image.open(io.BytesIO(result)) as after:
        assert after.info["compression"] == compression
        assert after.mode == mode
    assert len(result) < 1.1 * len(data)


@pytest.mark.parametrize(("policy", "compression"), itertools.product(["private", "keep", "none"], ["raw", "tiff_lzw"]))
def test_metadata(written, made, policy, compression):
    image = tagged(made)
    photo, result, again = written(image, policy)
    with Image.open(io.BytesIO(result)) as after:
        exif, tags = after.getexif(), after.tag_v2
        assert exif[0x0112] == photo.orientation == 6
        assert after.info["icc_profile"] == SRGB
        assert exif.get(0x010F) == (None if policy == "none" else "Maker of cameras")
        assert exif.get(0x013C) == ("HOST OF OWNER" if policy == "keep" else None)
        details = exif.get_ifd(0x8769)
        assert details.get(0x9003) == (None if policy == "none" else "2024:05:06 07:08:09")
        assert details.get(0xA430) == ("NAME OF OWNER" if policy == "keep" else None)
        assert (29 in exif.get_ifd(0x8825)) == (policy == "keep")
        assert (b"Caption" in tags.get(33723, b"")) == (policy != "none")
        assert (b"resolution info." in tags.get(34377, b"")) == (policy != "none")
        assert (b"Title" in tags[700]) == (policy != "none")
    assert (b"GPSSECRET" in result) == (policy == "keep")
    assert b"THUMBNAILSECRET" not in result
    assert b"Maker notes" not in result
    assert any("maker notes" in note for note in photo.notes)
    assert np.array_equal(again.pixels, photo.pixels)


def test_exiftool_reads_the_result(written, made, exiftool, tmp_path):
    path = tmp_path / "result.tif"
    path.write_bytes(written(tagged(made), "keep")[1])
    shown = exiftool(path)
    for text in ("Maker of cameras", "Rotate 90 CW", "GPSSECRET", MARK, "1/50", "Caption", "Title"):
        assert text in shown
    assert "Warning" not in shown


def test_pixels_are_as_stored_and_upright_ones_are_turned(written, made):
    photo, _, _ = written(tagged(made))
    assert np.array_equal(photo.pixels, made.noise())
    assert np.array_equal(photo.upright(), np.rot90(made.noise(), -1))
    assert np.array_equal(photo.to_stored(photo.upright()), made.noise())


def test_16_bits_become_8_with_a_note(written, made):
    for values in (made.noise()[..., 0], made.noise()):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values.astype(np.uint16) * 257)
        photo, _, _ = written(buffer.getvalue())
        assert photo.notes == ("its 16 bits are written as 8",)
        expected = np.rint(read_image(buffer.getvalue()).permute(1, 2, 0).numpy() * 255)
        assert np.array_equal(photo.upright(), expected)


def test_losses_are_noted(written, made):
    photo, result, again = written(made.encoded(Image.fromarray(made.noise()), "TIFF", compression="jpeg"))
    assert "JPEG" in photo.notes[0]
    assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 3
    with Image.open(io.BytesIO(result)) as after:
        assert after.info["compression"] == "jpeg"


def test_further_pages_are_left_out(written, made):
    image = Image.fromarray(made.noise())
    photo, _, again = written(made.encoded(image, "TIFF", save_all=True, append_images=[image.rotate(180)]))
    assert photo.notes == ("the other pictures in the file are left out",)
    assert again.notes == ()


def test_two_colours_become_grey(written, made):
    image = Image.fromarray(made.noise()).convert("1")
    photo, _, _ = written(made.encoded(image, "TIFF", compression="group4"))
    assert np.array_equal(photo.pixels[..., 0], np.asarray(image) * 255)


def test_luma_and_chroma_become_rgb(written, made):
    photo, _, _ = written(made.encoded(Image.fromarray(made.noise()).convert("YCbCr"), "TIFF"))
    assert np.abs(photo.pixels.astype(int) - made.noise()).max() <= 3


@pytest.mark.parametrize(("mode", "word"), [("CMYK", "CMYK"), ("LAB", "CIELAB"), ("F", "floating-point")])
def test_colours_that_cannot_be_written_back_are_refused(written, made, mode, word):
    image = Image.fromarray(made.noise())
    image = (
        Image.new("LAB", image.size) if mode == "LAB" else image.convert("L" if mode == "F" else "RGB").convert(mode)
    )
    with warnings.catch_warnings(), pytest.raises(ImageError, match=word):
        written(made.encoded(image, "TIFF"))


def test_damaged_exif_data_are_left_out(written, made):
    data = bytearray(tagged(made))
    with Image.open(io.BytesIO(bytes(data))) as image:
        offset = image.tag_v2[0x8769]
    data[offset : offset + 2] = b"\xff\xff"
    photo, _, again = written(bytes(data))
    assert again.orientation == 6
    assert np.array_equal(again.pixels, photo.pixels)
