"""Files and bytes: every kind of photo is read rightly, every broken one is an ImageError and nothing else."""

import contextlib
import errno
import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from edgefool.errors import ImageError, UsageError
from edgefool.images import (
    IMAGE_SUFFIXES,
    check_images,
    encode_png,
    read_image,
    resize_image,
    round_to_8_bits,
)

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


def levels(source: bytes | Path) -> np.ndarray:
    """Read an image and return (H, W, 3) integers, after checking what all images have in common."""
    image = read_image(source)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    values = image.permute(1, 2, 0).numpy()
    whole = np.rint(values * 255)
    assert np.array_equal(values, whole.astype(np.float32) / np.float32(255))
    assert 0 <= whole.min() <= whole.max() <= 255
    return whole.astype(int)


# What is read


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("form", [str, Path, Path.read_bytes])
def test_lossless_formats_give_the_exact_pixels(tmp_path, kind, form):
    path = tmp_path / "photo"
    path.write_bytes(encoded(Image.fromarray(noise()), kind))
    assert np.array_equal(levels(form(path)), noise())


def test_lossless_webp_gives_the_exact_pixels():
    assert np.array_equal(levels(encoded(Image.fromarray(noise()), "WEBP", lossless=True)), noise())


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "JPEG2000", "MPO"])
def test_lossy_formats_come_close(kind):
    difference = levels(encoded(Image.fromarray(smooth()), kind, quality=95)) - smooth()
    assert np.abs(difference).mean() < 3


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


# How the stored picture must be turned to be upright, from the EXIF standard ("row 0 is the visual ...").
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_exif_orientation(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    difference = levels(encoded(Image.fromarray(smooth()), kind, exif=exif, **options)) - UPRIGHT[orientation](smooth())
    assert np.abs(difference).max() <= (6 if kind == "JPEG" else 0)


def test_16_bit_grey_is_turned_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(GRADIENT), "PNG", exif=exif)
    assert np.abs(levels(data)[..., 0] - np.rot90(GRADIENT, -1) / 257).max() <= 0.51


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0rubbish"])
def test_broken_exif_leaves_the_picture(exif):
    assert np.array_equal(levels(encoded(Image.fromarray(noise()), "PNG", exif=exif)), noise())


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("#102030", "#ff0000", "#00ff00")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    assert np.array_equal(levels(data), np.full((HEIGHT, WIDTH, 3), (16, 32, 48)))


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


def test_real_photos(shared):
    for path in sorted((shared / "images" / "photos").glob("*.JPEG"))[:5]:
        with Image.open(path) as image:
            assert levels(path).shape == (image.height, image.width, 3)


# What is refused


def refusal(source: object) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


PNG = encoded(Image.fromarray(noise()), "PNG")


@pytest.mark.parametrize("data", [b"", b"plain text " * 50, b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0"])
def test_not_an_image(data):
    assert ("empty" if not data else "not an image") in refusal(data)


@pytest.mark.parametrize("kind", ["EPS", "PCX", "PDF", "ICNS"])
def test_images_that_are_no_photos(kind):
    """Pillow could open these, EPS by running Ghostscript."""
    assert "not an image" in refusal(encoded(Image.fromarray(noise(32, 32)), kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000"])
def test_truncated(kind):
    data = encoded(Image.fromarray(noise(64, 64)), kind)
    assert refusal(data[: len(data) // 2])


def test_corrupt():
    middle = len(PNG) // 2
    assert "damaged" in refusal(PNG[:middle] + bytes(30) + PNG[middle + 30 :])


@pytest.mark.parametrize("size", [(1, 1), (15, 100), (100, 15)])
def test_too_small(size):
    assert f"{size[0]}x{size[1]}" in refusal(encoded(Image.new("RGB", size), "PNG"))


def test_smallest_image_is_read():
    assert read_image(encoded(Image.new("RGB", (16, 16)), "PNG")).shape == (3, 16, 16)


def with_png_size(width: int, height: int) -> bytes:
    """Return a PNG whose header promises a size."""
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return PNG[:12] + header + zlib.crc32(header).to_bytes(4, "big") + PNG[33:]


@pytest.mark.parametrize("size", [(10_001, 10_000), (14_000, 14_000), (60_000, 60_000)])
def test_decompression_bomb_is_refused_unread(monkeypatch, size):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    assert "100,000,000" in refusal(with_png_size(*size))


@pytest.mark.parametrize("values", [np.float32(GRADIENT), GRADIENT.astype(np.int32) - 5, GRADIENT.astype(np.int32)])
def test_pixels_without_an_agreed_white(values):
    assert "white" in refusal(tiff(values, photometric="minisblack"))


def test_missing_file(tmp_path):
    assert "read: No such file" in refusal(tmp_path / "none.png")


def test_folder(tmp_path):
    assert "folder" in refusal(tmp_path)


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "regular" in refusal(tmp_path / "pipe.png")


def test_permission_denied(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "secret.png").write_bytes(PNG)
    monkeypatch.setattr(Path, "open", refuse)
    assert "read: Permission denied" in refusal(tmp_path / "secret.png")


WHOLE = [
    encoded(Image.fromarray(noise()), "PNG"),
    encoded(
        Image.fromarray(smooth()),
        "JPEG",
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    ),
    encoded(Image.fromarray(smooth()), "WEBP"),
    encoded(Image.fromarray(noise()), "PNG", icc_profile=SRGB),
]


@settings(max_examples=150, deadline=None)
@given(
    data=st.sampled_from(WHOLE),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6),
    kept=st.floats(0, 1),
)
def test_mutated_files_are_read_or_refused(data, flips, kept):
    mutated = bytearray(data)
    for place, change in flips:
        mutated[int(place * len(mutated))] ^= change
    with contextlib.suppress(ImageError):
        assert levels(bytes(mutated[: int(kept * len(mutated))])).shape[2] == 3


def test_suffixes_are_those_of_photos():
    assert {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"} <= IMAGE_SUFFIXES
    assert not {".eps", ".pdf", ".txt", ".mpeg", ".h5"} & IMAGE_SUFFIXES


# Resizing


@pytest.mark.parametrize("size", [(300, 500), (100, 90), (448, 448), (37, 1000)])
@pytest.mark.parametrize("target", [224, (224, 130)])
def test_resize_equals_opencv(size, target):
    pixels = noise(*size)
    height, width = target if isinstance(target, tuple) else (target, target)
    expected = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    resized = resize_image(torch.from_numpy(pixels).permute(2, 0, 1) / 255, target)
    assert torch.equal(resized, round_to_8_bits(resized))
    difference = np.abs(np.rint(resized.permute(1, 2, 0).numpy() * 255) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.2


def test_native_size_and_the_same_size_change_nothing():
    image = read_image(PNG)
    assert resize_image(image, None) is image
    assert torch.equal(resize_image(image, (HEIGHT, WIDTH)), image)


@pytest.mark.parametrize("size", [0, -224, 15, (224, 8), 10_001])
def test_resize_refuses_sizes(size):
    with pytest.raises(UsageError, match="size"):
        resize_image(torch.zeros(3, 20, 20), size)


# Rounding and PNG


@pytest.mark.parametrize("shape", [(256,), (4, 64), (2, 2, 8, 8), (1, 1, 1, 256, 1)])
def test_rounding_keeps_the_levels(shape):
    exact = torch.from_numpy(np.arange(256, dtype=np.float32) / np.float32(255)).reshape(shape)
    assert torch.equal(round_to_8_bits(exact), exact)
    assert torch.equal(round_to_8_bits(exact + 0.49 / 255), exact)
    assert torch.equal(round_to_8_bits(exact - 0.49 / 255), exact)


@given(st.floats(-10, 10, width=32))
def test_rounding_is_clipping_to_the_nearest_level(value):
    rounded = round_to_8_bits(torch.tensor(value)).item()
    assert abs(rounded - min(max(value, 0), 1)) <= 0.5 / 255 + 1e-6
    assert rounded * 255 == pytest.approx(round(rounded * 255), abs=1e-4)


def test_rounding_keeps_double_precision():
    rounded = round_to_8_bits(torch.tensor([0.3], dtype=torch.float64))
    assert rounded.dtype == torch.float64
    assert rounded.item() == 76 / 255


@given(st.integers(16, 40), st.integers(16, 40), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_png_round_trip(height, width, seed):
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(read_image(encode_png(image)), round_to_8_bits(image))


def test_png_holds_all_levels_in_the_right_channels():
    pixels = np.stack([np.arange(256).reshape(16, 16) + 0 * k for k in range(3)], -1).astype(np.uint8)
    pixels[..., 1], pixels[..., 2] = pixels[::-1, :, 0], pixels[:, ::-1, 0]
    data = encode_png((torch.from_numpy(pixels).permute(2, 0, 1) / 255).requires_grad_())
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)


@pytest.mark.parametrize(
    "image", [torch.full((3, 20, 20), 1.1), torch.full((3, 20, 20), torch.nan), torch.ones(20, 20)]
)
def test_png_refuses_what_is_no_image(image):
    with pytest.raises(UsageError):
        encode_png(image)


# The door of the attacks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_are_let_in(dtype):
    check_images(torch.rand(2, 3, 5, 7, dtype=dtype, requires_grad=True))
    check_images(torch.tensor([0.0, 1.0, 0.5], dtype=dtype).reshape(1, 3, 1, 1))


@pytest.mark.parametrize(
    ("images", "offence"),
    [
        (np.zeros((1, 3, 4, 4), np.float32), "ndarray"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "uint8"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.float16), "float16"),
        (torch.zeros(3, 4, 4), r"\(3, 4, 4\)"),
        (torch.zeros(1, 4, 4, 3), r"\(1, 4, 4, 3\)"),
        (torch.zeros(0, 3, 4, 4), r"\(0, 3, 4, 4\)"),
        (torch.zeros(1, 3, 0, 4), r"\(1, 3, 0, 4\)"),
        (torch.full((1, 3, 4, 4), 255.0), "255"),
        (torch.full((1, 3, 4, 4), -0.25), r"-0\.25"),
        (torch.full((1, 3, 4, 4), torch.inf), "inf"),
        (torch.tensor([0.5, torch.nan, 2.0]).reshape(1, 3, 1, 1), "NaN"),
    ],
)
def test_anything_else_is_refused(images, offence):
    with pytest.raises(ValueError, match=offence) as caught:
        check_images(images)
    assert isinstance(caught.value, UsageError)


def test_images_at_addresses(store):
    png = encoded(Image.fromarray(noise()), "PNG")
    (store / "cat.png").write_bytes(png)
    (store / "dog.png").write_bytes(png[:100])
    assert torch.equal(read_image(store / "cat.png"), read_image(png))
    assert torch.equal(read_image(str(store / "cat.png")), read_image(png))
    with pytest.raises(ImageError, match="damaged, truncated"):
        read_image(store / "dog.png")
    with pytest.raises(ImageError, match=r"cannot be read: (No such file|The specified key)"):
        read_image(store / "none.png")
    with pytest.raises(UsageError, match="unknown kind"):
        read_image("nix://cat.png")
