"""PNGs come back without losses, with their transparency, colours and texts."""

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from edgefool.errors import ImageError
from edgefool.images import read_image
from edgefool.protection import open_photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MARK = "0.2 natural"


@pytest.fixture
def written(tmp_path):
    def write(data: bytes, policy: str = "private"):
        path = tmp_path / "photo.png"
        path.write_bytes(data)
        photo = open_photo(path)
        result = photo.encode(photo.pixels, MARK, policy)
        path.write_bytes(result)
        again = open_photo(path)
        assert np.array_equal(again.pixels, photo.pixels)
        assert np.array_equal(again.upright(), photo.upright())
        assert again.notes == ()
        assert again.mark == MARK
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 2**21)
            return photo, result, Image.open(io.BytesIO(result))

    return write


def levels(data: bytes) -> np.ndarray:
    return np.rint(read_image(data).permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    return data[:33] + b"".join(chunks) + data[33:]


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_pixels_and_alpha_are_kept(written, made, mode, channels):
    image = Image.fromarray(made.noise())
    image.putalpha(Image.fromarray(made.noise()[..., 0]))
    data = made.encoded(image.convert(mode), "PNG")
    photo, _, after = written(data)
    assert photo.pixels.shape == (48, 64, channels)
    assert after.mode == mode
    assert np.array_equal(np.asarray(after), np.asarray(Image.open(io.BytesIO(data))))
    assert photo.notes == ()
    assert np.array_equal(photo.upright(), levels(data))


@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_becomes_full_colours(written, made, transparent):
    image = Image.fromarray(made.noise()).quantize(16)
    data = made.encoded(image, "PNG", **({"transparency": 3} if transparent else {}))
    photo, _, after = written(data)
    assert "palette" in photo.notes[0]
    assert after.mode == ("RGBA" if transparent else "RGB")
    assert np.array_equal(photo.upright(), levels(data))


def test_a_transparent_colour_becomes_an_alpha_channel(written, made):
    data = made.encoded(Image.fromarray(made.noise()), "PNG", transparency=tuple(made.noise()[5, 6].tolist()))
    photo, _, _ = written(data)
    assert photo.pixels.shape[2] == 4
    assert np.array_equal(photo.upright(), levels(data))


@pytest.mark.parametrize("kind", ["grey", "colours"])
def test_16_bits_become_8_with_a_note(written, made, kind):
    values = made.noise().astype(np.uint16) * 257
    data = cv2.imencode(".png", values[..., 0] if kind == "grey" else values[..., ::-1])[1].tobytes()
    photo, _, _ = written(data)
    assert photo.notes == ("its 16 bits are written as 8",)
    assert np.array_equal(photo.upright(), levels(data))


def test_one_bit_becomes_grey(written, made):
    image = Image.fromarray(made.noise()).convert("1")
    photo, _, after = written(made.encoded(image, "PNG"))
    assert after.mode == "L"
    assert np.array_equal(photo.pixels[..., 0], np.asarray(image) * 255)


@pytest.mark.parametrize("policy", ["private", "keep", "none"])
def test_colours_are_copied_byte_for_byte(written, made, policy):
    data = made.encoded(Image.fromarray(made.noise()), "PNG", icc_profile=SRGB, dpi=(300, 300))
    colours = [chunk(b"cICP", bytes((12, 13, 0, 1))), chunk(b"gAMA", b"\0\0\xb1\x8f")]
    data = with_chunks(data, *colours)
    photo, result, after = written(data, policy)
    assert all(part in result for part in colours)
    assert result[result.index(b"iCCP") :][:400] == data[data.index(b"iCCP") :][:400]
    assert after.info["icc_profile"] == SRGB
    assert after.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert np.array_equal(photo.upright(), levels(data))


@pytest.mark.parametrize(("policy", "has_texts"), [("private", True), ("keep", True), ("none", False)])
def test_metadata(written, made, policy, has_texts):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a prompt")
    texts.add_text("Author", "Name of author", zip=True)
    texts.add_text("exif:GPSInfo", "GPSSECRET")
    texts.add_itxt("XML:com.adobe.xmp", made.xmp.decode(), zip=True)
    data = made.encoded(Image.fromarray(made.noise()), "PNG", pnginfo=texts, exif=b"Exif\0\0" + made.make_exif())
    photo, result, after = written(with_chunks(data, chunk(b"tIME", b"\7\xe8\5\6\7\x08\x09")), policy)
    assert photo.orientation == after.getexif()[0x0112] == 6
    assert (b"a prompt" in result) == (b"tIME" in result) == has_texts
    assert after.text.get("Author") == ("Name of author" if has_texts else None)
    assert (b"Title" in result) == has_texts
    assert (b"Maker of cameras" in result) == has_texts
    assert (b"GPSSECRET" in result) == (policy == "keep")
    assert made.thumbnail in data
    assert made.thumbnail not in result


def test_the_orientation_that_imagemagick_writes_as_text_is_kept(written, made):
    texts = PngImagePlugin.PngInfo()
    exif = b"Exif\0\0" + made.make_exif()
    texts.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n", zip=True)
    photo, result, after = written(made.encoded(Image.fromarray(made.noise()), "PNG", pnginfo=texts))
    assert photo.orientation == after.getexif()[0x0112] == 6
    assert b"Raw profile" not in result


def test_animations_are_refused(written, made):
    image = Image.fromarray(made.noise())
    data = made.encoded(image, "PNG", save_all=True, append_images=[image.rotate(180)])
    with pytest.raises(ImageError, match="animation"):
        written(data)


def test_content_credentials_are_left_out(written, made):
    data = with_chunks(made.encoded(Image.fromarray(made.noise()), "PNG"), chunk(b"caBX", b"C2PASECRET"))
    photo, result, _ = written(data)
    assert "C2PA" in photo.notes[0]
    assert b"C2PASECRET" not in result


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "images" / "cases").glob("*.png")), ids=lambda p: p.stem
)
def test_files_that_go_wrong_elsewhere(written, path):
    photo, _, _ = written(path.read_bytes())
    expected = np.rint(read_image(path, on_warning=lambda _: None).permute(1, 2, 0).numpy() * 255)
    assert np.abs(photo.upright() - expected).max() <= 1


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_texts_that_hold_a_picture_go(written, made, kind, is_compressed):
    def text(content):
        if kind == b"tEXt":
            return chunk(kind, b"Preview\0" + content)
        if kind == b"zTXt":
            return chunk(kind, b"Preview\0\0" + zlib.compress(content))
        head = b"Preview\0" + (b"\1\0" if is_compressed else b"\0\0") + b"en\0Vorschau\0"
        return chunk(kind, head + (zlib.compress(content) if is_compressed else content))

    plain = made.encoded(Image.fromarray(made.noise()), "PNG")
    photo, _, after = written(with_chunks(plain, text(b"/9j/4AAQSkZJRgABAQ")), "keep")
    assert not after.text.keys() & {"Preview"}
    assert photo.notes == ("texts that hold a picture are left out, as it may show the original",)
    photo, _, after = written(with_chunks(plain, text(b"a title")), "keep")
    assert (after.text["Preview"], photo.notes) == ("a title", ())
