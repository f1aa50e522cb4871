"""Photos of every format: what becomes of them, what is said about it, and what is refused."""

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from edgefool.errors import ImageError, UsageError
from edgefool.images import IMAGE_FORMATS, read_image
from edgefool.images.decode import decode_image
from edgefool.protection import PhotoFile, open_photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MARK = "0.2 natural"


@pytest.fixture
def photo_of(tmp_path):
    def open_bytes(data: bytes, name: str = "photo.jpg") -> PhotoFile:
        (tmp_path / name).write_bytes(data)
        return open_photo(tmp_path / name)

    return open_bytes


def levels(source: bytes | Path) -> np.ndarray:
    return np.rint(read_image(source, on_warning=lambda _: None).permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def heic(made, **options: object) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(made.noise())).save(buffer, quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", sorted({"BMP", "GIF", "PPM", "JPEG2000", "AVIF"} & set(IMAGE_FORMATS)))
def test_other_formats_become_jpegs(photo_of, made, kind):
    data = made.encoded(Image.fromarray(made.noise()), kind)
    photo = photo_of(data, "photo.one.xyz")
    assert (photo.name, photo.format) == ("photo.one.jpg", "JPEG")
    assert photo.notes == (f"it becomes a JPEG: {kind} cannot be written",)
    result = photo.encode(photo.pixels, MARK)
    assert np.array_equal(photo.upright(), levels(data))
    assert np.abs(levels(result).astype(int) - photo.upright()).mean() < 6


def test_heic_becomes_a_jpeg_with_its_metadata(photo_of, made):
    data = heic(made, exif=b"Exif\0\0" + made.make_exif(), xmp=made.xmp, icc_profile=SRGB)
    photo = photo_of(data, "IMG_1.HEIC")
    assert photo.name == "IMG_1.jpg"
    assert photo.notes == ("it becomes a JPEG: HEIF cannot be written",)
    result = photo.encode(photo.pixels, MARK)
    assert np.abs(levels(result).astype(int) - levels(data)).mean() < 4
    with Image.open(io.BytesIO(result)) as image:
        assert image.info["icc_profile"] == SRGB
        assert image.getexif()[0x010F] == "Maker of cameras"
    assert b"Title" in result
    assert b"GPSSECRET" not in result
    assert b"GPSSECRET" in photo.encode(photo.pixels, MARK, "keep")


@pytest.mark.parametrize(
    "extra", [{"aux": {"urn:com:apple:photo:2020:aux:hdrgainmap": [51]}}, {"depth_images": ["one"]}]
)
def test_the_gain_map_of_a_heic_is_noted(photo_of, made, monkeypatch, extra):
    """As pillow-heif reports it; it cannot write one."""

    def decode(*arguments: object) -> Image.Image:
        image = decode_image(*arguments)
        image.info |= extra
        return image

    monkeypatch.setattr("edgefool.protection.photo_file.decode_image", decode)
    assert "its HDR gain map or depth map is left out" in photo_of(heic(made)).notes


@pytest.mark.parametrize("kind", ["GIF", "AVIF"])
def test_transparency_that_a_jpeg_has_not_is_laid_on_white(photo_of, made, kind):
    image = Image.fromarray(made.noise())
    image.putalpha(Image.fromarray(np.where(np.arange(64) < 32, 0, 255).astype(np.uint8) * np.ones((48, 1), np.uint8)))
    data = made.encoded(image, kind)
    photo = photo_of(data)
    assert photo.notes[1] == "its transparent parts are flattened onto white"
    assert photo.pixels.shape == (48, 64, 3)
    assert np.abs(photo.upright().astype(int) - levels(data)).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "AVIF"])
def test_animations_are_refused(photo_of, made, kind):
    frames = [Image.fromarray(made.noise()), Image.new("RGB", (64, 48))]
    with pytest.raises(ImageError, match="animation"):
        photo_of(made.encoded(frames[0], kind, save_all=True, append_images=frames[1:]))


def test_the_content_decides_and_not_the_suffix(photo_of, made):
    photo = photo_of(made.encoded(Image.fromarray(made.noise()), "JPEG"), "photo.png")
    assert (photo.name, photo.format) == ("photo.png", "JPEG")


# How people see it


@pytest.mark.parametrize("orientation", range(9))
def test_pixels_are_stored_ones_and_upright_ones_what_read_image_gives(photo_of, made, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    swapped = SRGB.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    data = made.encoded(Image.fromarray(made.noise()), "JPEG", exif=exif, icc_profile=swapped)
    photo = photo_of(data)
    assert photo.orientation == (orientation or 1)
    assert np.array_equal(photo.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert np.array_equal(photo.upright(), levels(data))
    assert np.array_equal(photo.to_stored(photo.upright())[..., [1, 0, 2]].shape, photo.pixels.shape)
    result = photo.encode(photo.pixels, MARK)
    assert np.abs(levels(result).astype(int) - levels(data)).mean() < 1.5
    with Image.open(io.BytesIO(result)) as image:
        assert image.size == (64, 48)
        assert image.info["icc_profile"] == swapped
        assert image.getexif().get(0x0112) == orientation


def test_an_orientation_that_only_xmp_knows(photo_of, made):
    xmp = made.xmp.replace(b"xmp:Rating", b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="8" xmp:Rating')
    data = made.encoded(Image.fromarray(made.noise()), "JPEG", xmp=xmp)
    photo = photo_of(data)
    assert np.array_equal(photo.upright(), levels(data))
    for policy in ("private", "none"):
        assert open_again(photo, policy).orientation == photo.orientation == 8


def open_again(photo: PhotoFile, policy: str) -> PhotoFile:
    target = photo.path.with_name(f"again-{photo.name}")
    photo.save(photo.encode(photo.pixels, MARK, policy), target)
    return open_photo(target)


# Marks, writing


def test_a_protected_photo_is_known(photo_of, made):
    for kind, name in (("JPEG", "a.jpg"), ("PNG", "a.png"), ("WEBP", "a.webp"), ("TIFF", "a.tif")):
        photo = photo_of(made.encoded(Image.fromarray(made.noise()), kind, xmp=made.xmp), name)
        assert (photo.mark, photo.is_protected) == (None, False)
        for policy in ("private", "keep", "none"):
            again = open_again(photo, policy)
            assert (again.mark, again.is_protected) == (MARK, True)
        twice = again.encode(again.pixels, "0.2 vivid", "keep")
        assert twice.count(b"edgefool:Protected") == 1
        assert open_again(again, "keep").mark == MARK


def test_the_same_photo_gives_the_same_bytes(photo_of, made):
    photo = photo_of(made.encoded(Image.fromarray(made.noise()), "JPEG", xmp=made.xmp))
    assert photo.encode(photo.pixels, MARK) == photo.encode(photo.pixels.copy(), MARK)


def test_saving_keeps_the_times_and_spares_the_original(photo_of, made, tmp_path):
    data = made.encoded(Image.fromarray(made.noise()), "JPEG")
    (tmp_path / "photo.jpg").write_bytes(data)
    os.utime(tmp_path / "photo.jpg", ns=(1_500_000_000_123_456_000, 1_400_000_000_123_456_000))
    photo = open_photo(str(tmp_path / "photo.jpg"))
    result = photo.encode(photo.pixels, MARK)
    photo.save(result, tmp_path / "new" / "photo.jpg")
    stat = (tmp_path / "new" / "photo.jpg").stat()
    assert (stat.st_atime_ns, stat.st_mtime_ns) == (1_500_000_000_123_456_000, 1_400_000_000_123_456_000)
    assert (tmp_path / "new" / "photo.jpg").read_bytes() == result
    (tmp_path / "link.jpg").symlink_to(tmp_path / "photo.jpg")
    (tmp_path / "hard.jpg").hardlink_to(tmp_path / "photo.jpg")
    for target in ("photo.jpg", "link.jpg", "hard.jpg"):
        with pytest.raises(UsageError, match="never overwritten"):
            photo.save(result, tmp_path / target)
    assert (tmp_path / "photo.jpg").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hard.jpg", "link.jpg", "new", "photo.jpg"]


def test_pixels_must_fit(photo_of, made):
    photo = photo_of(made.encoded(Image.fromarray(made.noise()), "JPEG"))
    for pixels in (photo.pixels[:40], photo.pixels.astype(float), photo.pixels[..., 0]):
        with pytest.raises(UsageError, match="pixels must be uint8"):
            photo.encode(pixels, MARK)


def test_pixels_may_be_any_view(photo_of, made):
    photo = photo_of(made.encoded(Image.fromarray(made.noise()), "PNG"), "photo.png")
    result = photo.encode(photo.pixels[::-1, ::-1], MARK)
    assert np.array_equal(levels(result), made.noise()[::-1, ::-1])


# What is refused


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "empty"), (b"text", "not an image"), (b"\xff\xd8\xff", "not an image|damaged"), (b"II*\0", "image|damaged")],
)
def test_what_is_no_photo(photo_of, data, words):
    with pytest.raises(ImageError, match=words):
        photo_of(data)


def test_missing_files_folders_large_and_small_photos(photo_of, made, tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        open_photo(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="folder"):
        open_photo(tmp_path)
    path = tmp_path / "a.png"
    path.write_bytes(made.encoded(Image.new("RGB", (15, 99)), "PNG"))
    with pytest.raises(ImageError, match="at least 16"):
        open_photo(path)
    path.write_bytes(made.encoded(Image.fromarray(made.noise()), "PNG"))
    with pytest.raises(ImageError, match="max_megapixels"):
        open_photo(path, max_megapixels=0.001)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_truncated_files_are_refused_or_whole(photo_of, made, kind):
    data = made.encoded(Image.fromarray(made.noise()), kind)
    for length in range(1, len(data) - 4, len(data) // 12):
        with contextlib.suppress(ImageError):
            assert photo_of(data[:length]).upright().shape == (48, 64, 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]),
    place=st.floats(0, 1, exclude_max=True),
    change=st.binary(min_size=1, max_size=4),
    policy=st.sampled_from(["private", "keep", "none"]),
)
def test_any_damage_is_refused_or_survived(photo_of, made, kind, place, change, policy):
    options = {"exif": b"Exif\0\0" + made.make_exif(), "xmp": made.xmp} if kind != "TIFF" else {}
    whole = made.encoded(Image.fromarray(made.noise()), kind, icc_profile=SRGB[:200], **options)
    start = int(place * len(whole))
    try:
        photo = photo_of(whole[:start] + change + whole[start + len(change) :])
    except ImageError:
        return
    again = photo_of(photo.encode(photo.pixels, MARK, policy), "again")
    assert again.pixels.shape == photo.pixels.shape
    assert again.mark == MARK
    assert again.orientation == photo.orientation


def test_photos_of_the_field(shared, tmp_path):
    for path in sorted((shared / "images" / "photos_large").glob("*.JPEG"))[:2]:
        photo = open_photo(path)
        result = photo.encode(photo.pixels, MARK, "keep")
        assert np.array_equal(photo.upright(), levels(path))
        assert 0.9 < len(result) / path.stat().st_size < 1.02
        assert np.abs(levels(result).astype(int) - levels(path)).mean() < 0.1
