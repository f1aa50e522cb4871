"""Which files are photos, and what is said of those that cannot be read."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from edgefool.errors import ImageError
from edgefool.images import IMAGE_SUFFIXES, describe_unreadable, read_image

HEIC, AVIF = (b"\0\0\0\x18ftyp" + brand + bytes(100) for brand in (b"heic", b"avif"))


def test_photos_that_cannot_be_read_are_counted_by_kind():
    text = describe_unreadable([".NEF", ".dng", ".cr3", ".jxl", ".txt", ".jpg", ""])
    assert text.startswith("1 JPEG XL (")
    assert "3 camera raw (convert to JPEG" in text
    assert describe_unreadable([".txt", ".jpg", ".png", ".mpo", ""]) == ""


def test_formats_that_nothing_here_reads_say_what_to_do():
    """Without pillow-heif, and with a Pillow that was built without AVIF."""
    code = f"""
import sys
sys.modules["pillow_heif"] = sys.modules["PIL._avif"] = None
from edgefool.errors import ImageError
from edgefool.images import IMAGE_SUFFIXES, describe_unreadable, read_image
print({{".heic", ".avif"}} & set(IMAGE_SUFFIXES))
for suffixes, data in ([".HEIC", ".hif"], {HEIC!r}), ([".avif"], {AVIF!r}):
    print(describe_unreadable(suffixes))
    try:
        read_image(data)
    except ImageError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    known, two_heic, heic, one_avif, avif = done.stdout.splitlines()
    assert known == "set()"
    assert two_heic.startswith("2 HEIC (pip install 'edgefool[heif]'")
    assert "HEIC" in heic
    assert "edgefool[heif]" in heic
    assert one_avif.startswith("1 AVIF (")
    assert "the format AVIF, which cannot be read here" in avif


@pytest.mark.parametrize("data", [b"\xff\x0a" + bytes(50), b"\0\0\0\x0cJXL \x0d\x0a" + bytes(50)])
def test_jpeg_xl_says_what_to_do(data):
    with pytest.raises(ImageError, match=r"JPEG XL.*convert to JPEG"):
        read_image(data)


def test_a_damaged_photo_of_a_known_format_needs_no_package():
    with pytest.raises(ImageError, match="a damaged AVIF file"):
        read_image(AVIF)


def test_heic_is_read_where_the_package_is_installed():
    import pillow_heif

    rows, columns = np.mgrid[0:48, 0:64]
    pixels = np.stack([rows * 5, columns * 3, 0 * rows + 90], -1).astype(np.uint8)
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(buffer, quality=95, exif=exif.tobytes())
    found = np.rint(read_image(buffer.getvalue()).permute(1, 2, 0).numpy() * 255)
    assert np.abs(found - np.rot90(pixels, -1)).mean() < 4
    assert {".heic", ".heif", ".hif"} <= IMAGE_SUFFIXES
    assert describe_unreadable([".heic"]) == ""
    with pytest.raises(ImageError, match="a damaged HEIC file"):
        read_image(HEIC)
