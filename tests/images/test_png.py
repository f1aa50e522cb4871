"""PNG files that Pillow refuses although they are sound, and transparency and colour spaces that it ignores."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from edgefool.errors import ImageError, ImageWarning
from edgefool.images import read_image

CASES = Path(__file__).parent / "cases"
SIDE = 24
GREEN = (10, 200, 30)


def chunk(name: bytes, body: bytes, *, damage: int = 0) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) ^ damage)


def png(samples: np.ndarray, depth: int, colour_type: int, *extras: bytes, end: bytes = chunk(b"IEND", b"")) -> bytes:
    """Return a PNG of samples (H, W, channels) of any depth, with further chunks before its pixels."""
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour_type, 0, 0, 0)
    rows = samples.reshape(len(samples), -1)
    if depth < 8:
        bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        packed = np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)
    else:
        packed = rows.astype(">u2" if depth == 16 else np.uint8)
    pixels = b"".join(b"\0" + row.tobytes() for row in packed)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extras) + chunk(b"IDAT", zlib.compress(pixels)) + end
    )


def green(*extras: bytes, end: bytes = chunk(b"IEND", b"")) -> bytes:
    return png(np.full((SIDE, SIDE, 3), GREEN), 8, 2, *extras, end=end)


def noise(levels: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, levels, (SIDE, SIDE, channels))


def levels(source: bytes | Path) -> np.ndarray:
    return np.rint(read_image(source).permute(1, 2, 0).numpy() * 255).astype(int)


def by_opencv(data: bytes) -> np.ndarray:
    """Return what OpenCV's libpng reads, laid on white."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).astype(float)
    image /= 65535 if image.max() > 255 else 255
    alpha = image[..., 3:] if image.ndim == 3 and image.shape[2] == 4 else 1
    colours = image[..., None] if image.ndim == 2 else image[..., 2::-1]
    return 255 * (colours * alpha + 1 - alpha)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("text_chunk_over_1MB.png", GREEN),
        ("grey16_transparent.png", None),
        ("grey_alpha_linear_profile.png", (188, 188, 188)),
    ],
)
def test_files_that_went_wrong(file, expected):
    pixels = levels(CASES / file)
    if expected:
        assert np.array_equal(pixels, np.broadcast_to(expected, pixels.shape))
    else:
        assert np.array_equal(np.unique(pixels), [20, 255])


# Transparency


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_any_depth_is_white(depth):
    grey = noise(2**depth, 1)
    key = int(grey[3, 4, 0])
    expected = np.where(grey == key, 255, grey * 255 / (2**depth - 1))
    data = png(grey, depth, 0, chunk(b"tRNS", struct.pack(">H", key)))
    assert np.abs(levels(data) - expected).max() <= 0.51
    assert (levels(png(grey, depth, 0)) != levels(data)).any()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_only_the_low_bits_of_a_transparent_grey_count(depth):
    grey = noise(2**depth, 1)
    keys = [chunk(b"tRNS", struct.pack(">H", key)) for key in (1, 1 | 2**depth)]
    assert np.array_equal(*(levels(png(grey, depth, 0, key)) for key in keys))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_of_any_depth_is_white(depth):
    colours = noise(2**depth, 3)
    key = colours[3, 4]
    colours[5, 6] = key ^ np.array([0, 0, 1])  # with 16 bits the high bytes may be equal
    data = png(colours, depth, 2, chunk(b"tRNS", struct.pack(">3H", *key)))
    expected = colours * 255 / (2**depth - 1)
    expected[3, 4] = 255
    assert np.abs(levels(data) - expected).max() <= 1
    assert (levels(data)[5, 6] < 255).any()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_of_any_depth_have_an_alpha_for_each_colour(depth):
    size = min(2**depth, 5)
    indices, palette, alphas = noise(size, 1), noise(256, 3)[0, :size], np.array([0, 255, 51, 128, 7][:size])
    data = png(
        indices, depth, 3, chunk(b"PLTE", palette.astype(np.uint8).tobytes()), chunk(b"tRNS", bytes(alphas.tolist()))
    )
    on_white = palette * (alphas[:, None] / 255) + 255 - alphas[:, None]
    assert np.abs(levels(data) - on_white[indices[..., 0]]).max() <= 1
    assert np.abs(levels(data) - by_opencv(data)).max() <= 1


@pytest.mark.parametrize("colour_type", [4, 6])
@pytest.mark.parametrize("depth", [8, 16])
def test_alpha_channels_of_any_depth(depth, colour_type):
    samples = noise(2**depth, 2 if colour_type == 4 else 4)
    data = png(samples, depth, colour_type)
    assert np.abs(levels(data) - by_opencv(data)).max() <= 2  # Pillow cuts 16 bits to 8


def test_a_transparent_picture_turns_with_its_colours():
    grey, exif = noise(65536, 1), Image.Exif()
    exif[0x0112] = 6
    extras = chunk(b"tRNS", struct.pack(">H", int(grey[3, 4, 0])))
    turned = png(grey, 16, 0, extras, chunk(b"eXIf", exif.tobytes()[6:]))
    assert np.array_equal(levels(turned), np.rot90(levels(png(grey, 16, 0, extras)), -1))


def test_a_transparent_colour_of_the_wrong_length_is_left_out():
    with pytest.warns(ImageWarning, match="tRNS"):
        assert (levels(green(chunk(b"tRNS", b"\0"))) == GREEN).all()


# Chunks

LONG = b"edge" * 300_000


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"prompt\0" + LONG),
        chunk(b"zTXt", b"prompt\0\0" + zlib.compress(LONG)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + LONG),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)),
        chunk(b"iTXt", b"broken"),
        chunk(b"zTXt", b"prompt\0\0no zlib"),
        chunk(b"prVt", LONG),
    ],
)
def test_texts_of_any_length_do_not_matter(extra):
    assert (levels(green(extra)) == GREEN).all()
    assert (levels(green(end=extra + chunk(b"IEND", b""))) == GREEN).all()


@pytest.mark.parametrize("packed", [False, True])
def test_a_long_xmp_still_turns_the_picture(packed):
    samples = noise(256, 3)
    text = b'<x tiff:Orientation="6"/>' + LONG
    body = b"\1\0\0\0" + zlib.compress(text) if packed else b"\0\0\0\0" + text
    data = png(samples, 8, 2, chunk(b"iTXt", b"XML:com.adobe.xmp\0" + body))
    assert np.array_equal(levels(data), np.rot90(samples, -1))


def test_the_exif_text_of_imagemagick_turns_the_picture():
    samples, exif = noise(256, 3), Image.Exif()
    exif[0x0112] = 6
    text = f"\nexif\n{len(exif.tobytes()):8}\n{exif.tobytes().hex()}\n".encode()
    data = png(samples, 8, 2, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)))
    assert np.array_equal(levels(data), np.rot90(samples, -1))


def swapped_primaries(padding: int = 0) -> bytes:
    """Return a profile in which red means green and green means red, with unused bytes behind it."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    return struct.pack(">I", len(profile) + padding) + profile[4:] + bytes(padding)


def test_a_profile_over_1_mb_is_used():
    profile = swapped_primaries(3 * 2**20)
    data = green(chunk(b"iCCP", b"big\0\0" + zlib.compress(profile)))
    assert np.abs(levels(data) - (200, 10, 30)).max() <= 2


@pytest.mark.parametrize(
    "head",
    [(b"zTXt", b"prompt\0\0"), (b"iTXt", b"prompt\0\1\0\0\0"), (b"iCCP", b"profile\0\0")],
    ids=lambda h: h[0].decode(),
)
@pytest.mark.parametrize("copies", [1, 5])
def test_decompression_bombs_in_texts_are_refused(head, copies):
    bomb = chunk(head[0], head[1] + zlib.compress(bytes(80 * 2**20 // copies)))
    with pytest.raises(ImageError, match="decompression bomb"):
        read_image(green(*[bomb] * copies))


@pytest.mark.parametrize("name", [b"tEXt", b"tIME", b"pHYs", b"eXIf", b"iCCP", b"gAMA", b"sRGB", b"tRNS", b"prVt"])
def test_a_wrong_checksum_of_an_ancillary_chunk_is_a_warning(name):
    """As for libpng, which leaves such a chunk out."""
    damaged = chunk(name, b"Comment\0hello", damage=1)
    for data in (green(damaged), green(end=damaged + chunk(b"IEND", b"")) if name == b"tEXt" else green(damaged)):
        with pytest.warns(ImageWarning, match=f"chunk {name.decode()} has a wrong checksum"):
            assert (levels(data) == GREEN).all()


def test_the_wrong_checksum_of_the_case():
    with pytest.warns(ImageWarning, match=r"comment_with_wrong_crc\.png: its chunk tEXt"):
        assert (levels(CASES / "comment_with_wrong_crc.png") == GREEN).all()


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
def test_a_wrong_checksum_of_the_picture_is_an_error(name):
    data = bytearray(green())
    start = data.index(name)
    data[start + 4 + int.from_bytes(data[start - 4 : start])] ^= 1
    with pytest.raises(ImageError, match=f"{name.decode()} has a wrong checksum"):
        read_image(bytes(data))


@pytest.mark.parametrize("cut", [1, 5, 12, 14])
def test_a_missing_end_is_a_warning(cut):
    with pytest.warns(ImageWarning, match="end"):
        assert (levels(green()[:-cut]) == GREEN).all()


# Colours


def srgb_of_light(light: np.ndarray) -> np.ndarray:
    """Return levels of linear light, by IEC 61966-2-1."""
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


with Image.open(CASES / "grey_alpha_linear_profile.png") as case:
    GREY_PROFILE = case.info["icc_profile"]
LINEAR_GREY = chunk(b"iCCP", b"grey\0\0" + zlib.compress(GREY_PROFILE))
LINEAR = chunk(b"gAMA", struct.pack(">I", 100_000))


@pytest.mark.parametrize("extra", [LINEAR_GREY, LINEAR], ids=["iCCP", "gAMA"])
@pytest.mark.parametrize(("depth", "colour_type"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 4), (16, 4)], ids=str)
@pytest.mark.parametrize("transparent", [False, True])
def test_linear_grey_of_every_depth(extra, depth, colour_type, transparent):
    grey = noise(2**depth, 1)
    key = int(grey[3, 4, 0])
    alpha = np.where(transparent & (grey == key), 0, 2**depth - 1)
    samples, extras = (np.concatenate([grey, alpha], 2), ()) if colour_type == 4 else (grey, ())
    if transparent and colour_type == 0:
        extras = (chunk(b"tRNS", struct.pack(">H", key)),)
    light = (grey >> 8) / 255 if (depth, colour_type) == (16, 4) else grey / (2**depth - 1)  # Pillow cuts these
    expected = np.where(alpha == 0, 255, srgb_of_light(light))
    assert np.abs(levels(png(samples, depth, colour_type, extra, *extras)) - expected).max() <= 1.01


@pytest.mark.parametrize(("depth", "colour_type"), [(8, 2), (16, 2), (8, 6), (16, 6)])
def test_linear_colours(depth, colour_type):
    samples = noise(2**depth, 3 if colour_type == 2 else 4)
    if colour_type == 6:
        samples[..., 3] = 2**depth - 1
    light = (samples[..., :3] >> (depth - 8)) / 255
    assert np.abs(levels(png(samples, depth, colour_type, LINEAR)) - srgb_of_light(light)).max() <= 1.01


def test_a_linear_palette():
    indices, palette = noise(5, 1), noise(256, 3)[0, :5]
    data = png(indices, 8, 3, LINEAR, chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    assert np.abs(levels(data) - srgb_of_light(palette / 255)[indices[..., 0]]).max() <= 1.01


SRGB = chunk(b"sRGB", b"\0")
XY = {"srgb": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}
XY["swapped"] = XY["srgb"][:2] + XY["srgb"][4:6] + XY["srgb"][2:4] + XY["srgb"][6:]


def chromaticities(name: str) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *XY[name]))


@pytest.mark.parametrize(
    ("extras", "expected"),
    [
        ((chunk(b"gAMA", struct.pack(">I", 45455)),), GREEN),
        ((chunk(b"gAMA", struct.pack(">I", 45455)), chromaticities("srgb")), GREEN),
        ((chunk(b"gAMA", struct.pack(">I", 0)),), GREEN),
        ((chunk(b"gAMA", b"\0"), chunk(b"cHRM", b"\0"), chunk(b"cICP", b"\1")), GREEN),
        ((SRGB, LINEAR, chromaticities("swapped")), GREEN),
        ((chromaticities("swapped"),), (200, 10, 30)),
        ((chunk(b"iCCP", b"swapped\0\0" + zlib.compress(swapped_primaries())), LINEAR), (200, 10, 30)),
        ((chunk(b"cICP", bytes([1, 13, 0, 1])), LINEAR), GREEN),
        ((chunk(b"cICP", bytes([1, 8, 0, 1])), SRGB), srgb_of_light(np.array(GREEN) / 255)),
        (
            (chunk(b"cICP", bytes([9, 16, 0, 1])), chunk(b"iCCP", b"x\0\0" + zlib.compress(swapped_primaries()))),
            (200, 10, 30),
        ),
    ],
)
def test_which_chunk_counts(extras, expected):
    """cICP before iCCP before sRGB before gAMA and cHRM."""
    assert np.abs(levels(green(*extras)) - expected).max() <= 2


def test_display_p3_by_cicp():
    """By the matrices of CSS Color 4."""
    data = png(np.full((SIDE, SIDE, 3), (200, 100, 50)), 8, 2, chunk(b"cICP", bytes([12, 13, 0, 1])))
    to_xyz = {
        "p3": [[0.486571, 0.265668, 0.198217], [0.228975, 0.691739, 0.079287], [0, 0.045113, 1.043944]],
        "srgb": [[0.412391, 0.357584, 0.180481], [0.212639, 0.715169, 0.072192], [0.019331, 0.119195, 0.950532]],
    }
    value = np.array((200, 100, 50)) / 255
    light = ((value + 0.055) / 1.055) ** 2.4
    expected = srgb_of_light(np.linalg.solve(to_xyz["srgb"], to_xyz["p3"] @ light))
    assert np.abs(levels(data) - expected).max() <= 1.01


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (chunk(b"cICP", bytes([9, 16, 0, 1])), r"cICP 9, 16, 0, 1"),
        (chunk(b"iCCP", b"x\0\0rubbish"), "profile"),
        (chunk(b"iCCP", b"x\0\0" + zlib.compress(GREY_PROFILE)), "profile"),
        (chunk(b"cHRM", struct.pack(">8I", *[0] * 8)), "cHRM"),
        (chunk(b"cHRM", struct.pack(">8I", *[30000] * 8)), "cHRM"),
    ],
    ids=["HDR", "broken", "grey for colours", "zero", "equal"],
)
def test_colours_that_cannot_be_used_are_a_warning(extra, message):
    with pytest.warns(ImageWarning, match=message):
        assert (levels(green(extra)) == GREEN).all()


def test_interlaced_transparency():
    """OpenCV cannot write interlaced files, Pillow neither: the seven passes of Adam7 by hand."""
    colours = noise(65536, 3)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for top, left, down, right in passes:
        for row in colours[top::down, left::right].astype(">u2"):
            rows += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 1)
    key = chunk(b"tRNS", struct.pack(">3H", *colours[3, 4]))
    body = chunk(b"IHDR", header) + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    expected = colours * 255 / 65535
    expected[3, 4] = 255
    assert np.abs(levels(b"\x89PNG\r\n\x1a\n" + body) - expected).max() <= 1


def test_an_animation_shows_its_first_frame():
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in (GREEN, "red")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    assert (levels(buffer.getvalue()) == GREEN).all()
