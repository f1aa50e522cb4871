"""Whatever colours a file has, they become the 8-bit sRGB that people see."""

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from edgefool.errors import ImageError, ImageWarning
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


@pytest.mark.parametrize(
    "profile", [b"rubbish", SRGB[:200], SRGB[:128] + bytes(len(SRGB) - 128)], ids=["rubbish", "torn", "empty"]
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_broken_colour_profile_is_a_warning(profile, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(noise()), kind, icc_profile=profile, **options)
    with pytest.warns(ImageWarning, match="colour profile"):
        assert np.array_equal(levels(data), noise())


def test_a_colour_profile_of_which_a_part_is_missing_is_a_warning():
    data = encoded(Image.fromarray(smooth()), "JPEG", icc_profile=SRGB)
    place = data.index(b"ICC_PROFILE\0\1\1") + 13
    with pytest.warns(ImageWarning, match="colour profile"):
        levels(data[:place] + b"\2" + data[place + 1 :])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_colour_profile_that_does_not_fit_is_a_warning(kind):
    grey = np.ascontiguousarray(smooth()[..., 0])
    data = encoded(Image.fromarray(grey), kind, icc_profile=SRGB)
    with pytest.warns(ImageWarning, match="colour profile"):
        assert np.abs(levels(data) - grey[..., None]).max() <= 6


# Every mode that can carry a profile


def srgb_of_light(light: np.ndarray) -> np.ndarray:
    """Return levels of linear light, by IEC 61966-2-1."""
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


with Image.open(Path(__file__).parent / "cases" / "grey_alpha_linear_profile.png") as case:
    LINEAR_GREY = case.info["icc_profile"]


@pytest.mark.parametrize(
    ("mode", "kind"), [*((mode, kind) for mode in ("1", "L", "LA", "I;16") for kind in ("PNG", "TIFF")), ("L", "JPEG")]
)
def test_a_profile_for_grey(mode, kind):
    grey = np.full((HEIGHT, WIDTH), 128, np.uint8)
    alpha = Image.fromarray(noise(channels=1))
    image = {
        "1": Image.fromarray(grey).convert("1"),
        "L": Image.fromarray(grey),
        "LA": Image.merge("LA", (Image.fromarray(grey), alpha)),
        "I;16": Image.fromarray(grey.astype(np.uint16) * 257),
    }[mode]
    opacity = np.asarray(alpha)[..., None] / 255 if mode == "LA" else 1
    colour = np.asarray(image)[..., None] * 255 if mode == "1" else 188
    expected = colour * opacity + 255 * (1 - opacity)
    assert np.abs(levels(encoded(image, kind, icc_profile=LINEAR_GREY)) - expected).max() <= 1


def test_a_profile_for_12_and_16_bits_that_are_inverted():
    light = GRADIENT / 65535
    data = tiff(65535 - GRADIENT, photometric="miniswhite", iccprofile=LINEAR_GREY)
    assert np.abs(levels(data) - srgb_of_light(light)[..., None]).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_for_colours_with_alpha(mode, kind):
    """Colours are converted first, and then laid on white."""
    alpha = np.where(np.arange(WIDTH) < WIDTH // 2, 102, 255).astype(np.uint8) * np.ones((HEIGHT, 1), np.uint8)
    image = Image.fromarray(np.dstack([smooth(), alpha])).convert(mode)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "AVIF" else {}
    data = encoded(image, kind, icc_profile=swapped_primaries(), **options)
    opacity = alpha[..., None] / 255 if mode == "RGBA" else 1
    expected = smooth()[..., [1, 0, 2]] * opacity + 255 * (1 - opacity)
    difference = np.abs(levels(data) - expected)
    assert difference.mean() <= 2.5 if kind == "AVIF" else difference.max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_profile_for_a_palette(kind):
    palette = np.array([[200, 30, 40], [10, 220, 30], [5, 6, 250]])
    indices = noise(channels=1) % 3
    image = Image.frombytes("P", (WIDTH, HEIGHT), indices.tobytes())
    image.putpalette(palette.astype(np.uint8).tobytes())
    data = encoded(image, kind, icc_profile=swapped_primaries())
    assert np.abs(levels(data) - palette[indices][..., [1, 0, 2]]).max() <= 2


def test_a_profile_for_luma_and_chroma():
    image = Image.fromarray(smooth()).convert("YCbCr")
    data = encoded(image, "TIFF", icc_profile=swapped_primaries())
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "YCbCr"
    assert np.abs(levels(data) - smooth()[..., [1, 0, 2]]).max() <= 4


def test_a_profile_for_lab():
    lab = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    lab[:] = (138, 81, 70)  # L* 54.3, a* 80.8, b* 69.9: the red of sRGB under D50
    data = tiff(lab, photometric="cielab", iccprofile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())
    assert np.abs(levels(data) - (255, 0, 0)).max() <= 6
    with pytest.warns(ImageWarning, match="colour profile"):
        assert np.abs(levels(tiff(lab, photometric="cielab", iccprofile=SRGB)) - (255, 0, 0)).max() <= 6


def ink_profile() -> bytes:
    """Return a profile of inks in which only black counts: L* is 100 with none, and 0 with all of it."""
    corners = b"".join(bytes([255 * (1 - black), 128, 128]) for _ in range(8) for black in (0, 1))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + corners + ramp * 3
    start = 128 + 4 + 12
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        start + len(table),
        0x02400000,
        b"prtr",
        b"CMYK",
        b"Lab ",
        b"acsp",
        63190,
        65536,
        54061,
    )
    return header + struct.pack(">I4sII", 1, b"A2B0", start, len(table)) + table


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_a_profile_for_inks(kind):
    ink = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    ink[:, WIDTH // 2 :] = (200, 100, 50, 127)
    image = Image.frombytes("CMYK", (WIDTH, HEIGHT), ink.tobytes())
    data = encoded(image, kind, icc_profile=ink_profile(), quality=100)
    found = levels(data)
    assert np.abs(found[:, : WIDTH // 2 - 8] - 255).max() <= 3
    assert np.abs(found[:, WIDTH // 2 + 8 :] - 119).max() <= 3  # L* 50
    with pytest.warns(ImageWarning, match="colour profile"):
        levels(encoded(image, kind, icc_profile=SRGB))


# Transparency of formats other than PNG


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "AVIF", "JPEG2000"])
def test_a_transparent_part_is_white_in_every_format(kind):
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[:, WIDTH // 2 :] = (10, 200, 30, 255)
    options = {"lossless": True} if kind == "WEBP" else {}
    found = levels(encoded(Image.fromarray(rgba), kind, **options))
    assert np.abs(found[:, : WIDTH // 2 - 4] - 255).max() <= 2
    assert np.abs(found[:, WIDTH // 2 + 4 :] - (10, 200, 30)).max() <= 4


@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_the_alpha_of_tiffs(photometric, extra):
    """Premultiplied or not; what is not called alpha is none."""
    channels = 1 if photometric == "minisblack" else 3
    colours, alpha = noise(channels=3)[..., :channels] // 2, np.full((HEIGHT, WIDTH, 1), 128, np.uint8)
    stored = np.rint(colours * (128 / 255)).astype(np.uint8) if extra == "assocalpha" else colours
    data = tiff(
        np.concatenate([stored, alpha], 2), photometric=photometric, planarconfig="contig", extrasamples=[extra]
    )
    opacity = 1 if extra == "unspecified" else 128 / 255
    assert np.abs(levels(data) - (colours * opacity + 255 * (1 - opacity))).max() <= 2


@pytest.mark.parametrize("values", [np.float32(GRADIENT), GRADIENT.astype(np.int32) - 5, GRADIENT.astype(np.int32)])
def test_pixels_without_an_agreed_white(values):
    with pytest.raises(ImageError, match="white"):
        read_image(tiff(values, photometric="minisblack"))
