"""Files and bytes: every kind of photo is read rightly, every broken one is an ImageError and nothing else."""

import contextlib
import errno
import io
import os
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from edgefool.errors import ImageError, ImageWarning, UsageError
from edgefool.images import IMAGE_SUFFIXES, read_image
from edgefool.images.decode import image_errors

HEIGHT, WIDTH = 24, 36
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


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
    grey = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(grey), "PNG", exif=exif)
    assert np.abs(levels(data)[..., 0] - np.rot90(grey, -1) / 257).max() <= 0.51


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


def test_what_cameras_and_phones_write():
    """A JPEG with a second image, red, behind it."""
    path = Path(__file__).parent / "cases" / "camera.mpo"
    assert np.abs(levels(path) - (10, 200, 30)).max() <= 3
    assert path.suffix in IMAGE_SUFFIXES


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


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "AVIF", "JPEG2000"])
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


def test_the_limit_of_pixels_can_be_set():
    data = encoded(Image.new("L", (1001, 1000)), "PNG")
    with pytest.raises(ImageError, match="max_megapixels, here 2"):
        read_image(data, max_megapixels=1)
    assert read_image(data, max_megapixels=2).shape == (3, 1000, 1001)


@pytest.mark.slow
def test_the_limit_of_pixels_can_be_raised():
    """Photos of 108 and 200 megapixels."""
    data = encoded(Image.new("L", (10_001, 10_000)), "PNG")
    assert "max_megapixels, here 101" in refusal(data)
    assert read_image(data, max_megapixels=101).shape == (3, 10_000, 10_001)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "MPO"])
def test_pillows_own_limit_of_pixels_does_not_count(kind, monkeypatch):
    """It is 179 million and holds for a whole process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(encoded(Image.new("RGB", (100, 100)), kind)).shape == (3, 100, 100)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("compression", ["raw", "tiff_adobe_deflate", "tiff_lzw", "jpeg"])
def test_pillows_own_limit_does_not_count_in_any_tiff(compression, orientation, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(smooth()), "TIFF", compression=compression, exif=exif)
    expected = levels(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert np.array_equal(levels(data), expected)
    assert np.abs(expected - UPRIGHT[orientation](smooth())).max() <= (30 if compression == "jpeg" else 0)


def test_the_limit_of_pixels_can_be_lowered():
    with pytest.raises(ImageError, match=r"max_megapixels, here 1$"):
        read_image(encoded(Image.new("L", (100, 100)), "PNG"), max_megapixels=0.0099)


# What is read with a warning


def photo_like() -> Image.Image:
    grain = np.random.default_rng(0).normal(0, 8, (HEIGHT * 4, WIDTH * 4, 3))
    return Image.fromarray(np.clip(smooth(HEIGHT * 4, WIDTH * 4) + grain, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_rows": 1},
        {"restart_marker_blocks": 1},
        {"quality": 100, "subsampling": 0},
    ],
    ids=str,
)
def test_a_jpeg_that_lacks_only_its_end_marker(options, mode):
    data = encoded(photo_like().convert(mode), "JPEG", **options)
    for cut in (1, 2):
        with pytest.warns(ImageWarning, match="end marker"):
            assert np.array_equal(levels(data[:-cut]), levels(data))
    for cut in (30, 100, len(data) // 4, len(data) // 2):
        assert "truncated" in refusal(data[:-cut])


def test_a_camera_file_cut_behind_its_first_picture():
    data = (Path(__file__).parent / "cases" / "camera.mpo").read_bytes()
    assert np.abs(levels(data[: data.index(b"\xff\xd9") + 2]) - (10, 200, 30)).max() <= 3


def test_warnings_name_the_file_and_can_be_collected(tmp_path):
    path, lines = tmp_path / "cat.jpg", list[str]()
    path.write_bytes(encoded(photo_like(), "JPEG", icc_profile=b"rubbish")[:-2])
    read_image(path, on_warning=lines.append)
    assert [line.split()[1] for line in lines] == ["end", "colour"]
    with pytest.warns(ImageWarning, match=r"cat\.jpg: its (end marker|colour profile)") as caught:
        read_image(path)
    assert len(caught) == 2
    assert {Path(warning.filename).name for warning in caught} == {"test_read.py"}


def test_threads_leave_the_filters_of_warnings_as_they_were():
    palette = photo_like().convert("P")
    data = encoded(palette, "PNG", transparency=bytes(range(256)))  # Pillow warns
    with pytest.warns(UserWarning, match="Transparency"):
        Image.open(io.BytesIO(data)).convert("RGB")
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(read_image, [data] * 300))) == 300
    assert warnings.filters == before


def test_no_warning_is_lost_while_another_thread_reads():
    inside, done = Event(), Event()

    def read_slowly() -> None:
        with image_errors():
            inside.set()
            done.wait(10)

    def read_meanwhile() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(read_slowly)
            inside.wait(10)
            read_image(encoded(photo_like(), "JPEG")[:-2])
            done.set()

    with pytest.warns(ImageWarning, match="end marker"):
        read_meanwhile()


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
    monkeypatch.setattr(Path, "read_bytes", refuse)
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
    with contextlib.suppress(ImageError), warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        assert levels(bytes(mutated[: int(kept * len(mutated))])).shape[2] == 3


def test_suffixes_are_those_of_photos():
    assert {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"} <= IMAGE_SUFFIXES
    assert not {".eps", ".pdf", ".txt", ".mpeg", ".h5"} & IMAGE_SUFFIXES


# Addresses


def test_images_at_addresses(store):
    png = encoded(Image.fromarray(noise()), "PNG")
    (store / "cat.png").write(png)
    (store / "dog.png").write(png[:100])
    assert torch.equal(read_image(store / "cat.png"), read_image(png))
    assert torch.equal(read_image(str(store / "cat.png")), read_image(png))
    with pytest.raises(ImageError, match="damaged, truncated"):
        read_image(store / "dog.png")
    with pytest.raises(ImageError, match=r"cannot be read: (No such file|The specified key)"):
        read_image(store / "none.png")
    with pytest.raises(UsageError, match="not a known kind of store"):
        read_image("nix://cat.png")
