"""Whatever colours a file has, they become the 8-bit sRGB that people see."""

import io
import struct

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from edgefool.errors import ImageError
from edgefool.images import read_image

HEIGHT, WIDTH = 24, 36


def noise(height: int = HEIGHT, width: int = WIDTH, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def smooth(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return an image that lossy formats keep."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 / height, columns * 255 / width, 0 * rows + 90], -1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def levels(source: bytes) -> np.ndarray:
    """Read an image and return (H, W, 3) integers."""
    return np.rint(read_image(source).permute(1, 2, 0).numpy() * 255).astype(int)


def test_grey_has_three_equal_channels():
    grey = noise(channels=1)
    assert np.array_equal(levels(encoded(Image.fromarray(grey), "PNG")), np.stack([grey] * 3, -1))


def test_one_bit_is_black_and_white():
    bits = noise(channels=1) > 127
    assert np.array_equal(levels(encoded(Image.fromarray(bits), "PNG")), np.stack([bits * 255] * 3, -1))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_and_its_transparency(kind):
    palette = np.array([[200, 30, 40], [10, 220, 30], [5, 6, 250]])
    indices = noise(channels=1) % 3
    image = Image.frombytes("P", (WIDTH, HEIGHT), indices.tobytes())
    image.putpalette(palette.astype(np.uint8).tobytes())
    assert np.array_equal(levels(encoded(image, kind)), palette[indices])
    palette[1] = 255  # transparent, so the white below shows
    assert np.array_equal(levels(encoded(image, kind, transparency=1)), palette[indices])


def test_palette_with_an_alpha_for_each_colour():
    indices = noise(channels=1) % 2
    image = Image.frombytes("P", (WIDTH, HEIGHT), indices.tobytes())
    image.putpalette([0, 0, 0, 100, 50, 0])
    on_white = np.array([[255 - 51] * 3, [100, 50, 0]])  # black of alpha 51/255
    assert np.array_equal(levels(encoded(image, "PNG", transparency=bytes([51, 255]))), on_white[indices])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_lies_on_white(kind):
    rgba = noise(channels=4)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(levels(encoded(Image.fromarray(rgba), kind)) - expected).max() <= 1


def test_grey_with_alpha_lies_on_white():
    grey, alpha = noise(channels=1), np.ascontiguousarray(noise()[..., 1])
    expected = grey * (alpha / 255) + 255 * (1 - alpha / 255)
    data = encoded(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), "PNG")
    assert np.abs(levels(data) - expected[..., None]).max() <= 1


def test_a_transparent_colour_of_a_png_is_white():
    pixels = noise() // 2
    pixels[3, 4] = (7, 8, 9)
    expected = pixels.copy()
    expected[3, 4] = 255
    assert np.array_equal(levels(encoded(Image.fromarray(pixels), "PNG", transparency=(7, 8, 9))), expected)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])  # Pillow writes JPEGs as Adobe does: inverted, with its marker
def test_cmyk(kind):
    ink = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    ink[:, : WIDTH // 2] = (0, 255, 128, 0)
    ink[:, WIDTH // 2 :] = (128, 0, 0, 64)
    cyan_magenta_yellow, black = ink[..., :3] / 255, ink[..., 3:] / 255
    expected = 255 * (1 - cyan_magenta_yellow) * (1 - black)
    data = encoded(Image.frombytes("CMYK", (WIDTH, HEIGHT), ink.tobytes()), kind, quality=100)
    away_from_the_edge = np.abs(np.arange(WIDTH) - WIDTH / 2) > 10
    assert np.abs(levels(data) - expected)[:, away_from_the_edge].max() <= 3


def test_cmyk_jpeg_is_marked_by_adobe():
    """The case above is the inverted one."""
    assert b"Adobe" in encoded(Image.new("CMYK", (WIDTH, HEIGHT)), "JPEG")


GRADIENT = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(Image.fromarray(GRADIENT), "PNG"), GRADIENT / 257),
        (encoded(Image.fromarray(GRADIENT), "TIFF"), GRADIENT / 257),
        (encoded(Image.fromarray(GRADIENT), "PPM"), GRADIENT / 257),
        (tiff(GRADIENT, byteorder=">", photometric="minisblack"), GRADIENT / 257),
        (tiff(GRADIENT, photometric="miniswhite"), 255 - GRADIENT / 257),
        (tiff((GRADIENT // 2).astype(np.int16), photometric="minisblack"), GRADIENT // 2 / 257),
    ],
    ids=["png", "tiff", "pgm", "big endian", "white is zero", "signed"],
)
def test_16_bit_grey_is_scaled(data, expected):
    difference = levels(data) - expected[..., None]
    assert np.abs(difference).max() <= 0.51


def test_12_bit_grey_is_scaled():
    values = (GRADIENT >> 4).astype(int)
    left, right = values[:, ::2], values[:, 1::2]
    packed = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], -1).astype(np.uint8).tobytes()
    offset = 8 + 2 + 9 * 12 + 4
    size = len(packed)
    tags = [
        (256, WIDTH),
        (257, HEIGHT),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, offset),
        (277, 1),
        (278, HEIGHT),
        (279, size),
    ]
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    difference = levels(header + directory + packed) - values[..., None] / 4095 * 255
    assert np.abs(difference).max() <= 0.51


def test_16_bit_colour():
    rgb = np.stack([GRADIENT, GRADIENT[::-1], GRADIENT[:, ::-1]], -1)
    assert np.abs(levels(tiff(rgb, photometric="rgb")) - rgb / 257).max() <= 1
    bgr_png = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    assert np.abs(levels(bgr_png) - rgb / 257).max() <= 1


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_primaries() -> bytes:
    """Return a profile in which red means green and green means red: the sRGB profile with two tags renamed."""
    return SRGB.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def test_colour_profile_is_converted_to_srgb():
    data = encoded(Image.fromarray(smooth()), "PNG", icc_profile=swapped_primaries())
    assert np.abs(levels(data) - smooth()[..., [1, 0, 2]]).max() <= 2


def test_srgb_profile_changes_nothing():
    assert np.array_equal(levels(encoded(Image.fromarray(noise()), "PNG", icc_profile=SRGB)), noise())


@pytest.mark.parametrize("profile", [b"rubbish", SRGB[:200], SRGB[:128] + bytes(len(SRGB) - 128)])
def test_broken_colour_profile_is_ignored(profile):
    assert np.array_equal(levels(encoded(Image.fromarray(noise()), "PNG", icc_profile=profile)), noise())


def test_colour_profile_that_does_not_fit_is_ignored():
    grey = noise(channels=1)
    data = encoded(Image.fromarray(grey), "PNG", icc_profile=SRGB)
    assert np.array_equal(levels(data), np.stack([grey] * 3, -1))


@pytest.mark.parametrize("values", [np.float32(GRADIENT), GRADIENT.astype(np.int32) - 5, GRADIENT.astype(np.int32)])
def test_pixels_without_an_agreed_white(values):
    with pytest.raises(ImageError, match="white"):
        read_image(tiff(values, photometric="minisblack"))
