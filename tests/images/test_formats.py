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


def run_without(module: str, code: str) -> str:
    """Run code in a Python that cannot import a module."""
    start = f"import sys; sys.modules['{module}'] = None\n"
    return subprocess.run([sys.executable, "-c", start + code], check=True, capture_output=True, text=True).stdout


def test_heic_without_the_package_says_what_to_install():
    out = run_without(
        "pillow_heif",
        f"""
from edgefool.errors import ImageError
from edgefool.images import IMAGE_SUFFIXES, describe_unreadable, read_image
print(".heic" in IMAGE_SUFFIXES, describe_unreadable([".HEIC", ".hif"]))
try:
    read_image({HEIC!r})
except ImageError as error:
    print(error)
""",
    )
    assert out.splitlines()[0].startswith("False 2 HEIC (pip install 'edgefool[heif]'")
    assert "HEIC" in out.splitlines()[1]
    assert "edgefool[heif]" in out.splitlines()[1]


def test_avif_where_pillow_cannot_read_it_says_what_to_do():
    out = run_without(
        "PIL._avif",
        f"""
from edgefool.errors import ImageError
from edgefool.images import IMAGE_SUFFIXES, describe_unreadable, read_image
print(".avif" in IMAGE_SUFFIXES, describe_unreadable([".avif"]))
try:
    read_image({AVIF!r})
except ImageError as error:
    print(error)
""",
    )
    assert out.splitlines()[0].startswith("False 1 AVIF (")
    assert "the format AVIF, which cannot be read here" in out.splitlines()[1]


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
