"""JPEGs come back with the tables, the subsampling and the scans of their source, and with nothing of the original."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin

from edgefool.errors import ImageError
from edgefool.protection import open_photo
from edgefool.protection.jpeg_segments import make_segments, read_segments

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PROFILE = (150_000).to_bytes(4) + SRGB[4:] + bytes(150_000 - len(SRGB))  # too long for two segments
MARK = "0.2 natural"


@pytest.fixture
def written(tmp_path):
    """Return a function that protects a file with the pixels that it has, and opens both with Pillow."""

    def write(data: bytes, policy: str = "private", change: int = 0):
        path = tmp_path / "photo.jpg"
        path.write_bytes(data)
        photo = open_photo(path)
        result = photo.encode(np.clip(photo.pixels.astype(int) + change, 0, 255).astype(np.uint8), MARK, policy)
        with warnings.catch_warnings(action="ignore"):  # of the source
            before = Image.open(io.BytesIO(data))
        after = Image.open(io.BytesIO(result))
        after.load()
        return photo, result, before, after

    return write


def behind_the_start(data: bytes, *segments: bytes) -> bytes:
    return data[:2] + b"".join(segments) + data[2:]


CUSTOM = [[8 + index // 3 for index in range(64)], [9 + index for index in range(64)]]


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("options", [{"quality": 60}, {"quality": 97}, {"qtables": CUSTOM}, {"qtables": CUSTOM[:1]}])
def test_tables_subsampling_and_scans_are_those_of_the_source(written, made, subsampling, progressive, options):
    data = made.encoded(
        Image.fromarray(made.noise()), "JPEG", subsampling=subsampling, progressive=progressive, **options
    )
    photo, _, before, after = written(data)
    by_component = [[image.quantization[table] for *_, table in image.layer] for image in (before, after)]
    assert by_component[0] == by_component[1]
    assert JpegImagePlugin.get_sampling(after) == subsampling
    assert after.info.get("progressive") == before.info.get("progressive")
    assert photo.notes == ()
    # The same tables and grid: the coefficients hardly move.
    assert np.abs(np.asarray(after).astype(int) - np.asarray(before)).mean() < 1


def test_three_tables_and_tables_of_16_bits(written, made):
    tables = [[300] * 64, [40] * 64, [50] * 64]
    _, _, before, after = written(made.encoded(Image.fromarray(made.noise()), "JPEG", qtables=tables))
    assert [after.quantization[table] for *_, table in after.layer] == tables
    assert [before.quantization[table] for *_, table in before.layer] == tables


@pytest.mark.parametrize("kind", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}])
def test_the_size_stays_about_the_same(written, made, kind):
    data = made.encoded(Image.fromarray(made.noise(192, 256)), "JPEG", quality=85, **kind)
    _, result, _, _ = written(data, change=2)
    assert 0.8 < len(result) / len(data) < 1.1


@pytest.mark.parametrize("factors", [0x121111, 0x411111])  # 4:4:0, 4:1:1
def test_a_subsampling_that_pillow_cannot_write_is_none(written, made, factors):
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors, cv2.IMWRITE_JPEG_QUALITY, 85]
    data = cv2.imencode(".jpg", made.noise(192, 256)[..., ::-1], options)[1].tobytes()
    photo, result, _, after = written(data)
    assert JpegImagePlugin.get_sampling(after) == 0
    assert "chroma" in photo.notes[0]
    assert len(result) / len(data) < 1.3


def test_grey_stays_grey(written, made):
    data = made.encoded(Image.fromarray(made.noise()).convert("L"), "JPEG", quality=80)
    photo, _, before, after = written(data)
    assert photo.pixels.shape == (48, 64, 1)
    assert photo.upright().shape == (48, 64, 3)
    assert after.mode == "L"
    assert after.quantization == before.quantization


def test_a_jpeg_of_rgb_components_stays_one(written, made):
    data = made.encoded(Image.fromarray(made.noise()), "JPEG", quality=90, keep_rgb=True)
    _, result, before, after = written(data)
    assert after.info["adobe_transform"] == before.info["adobe_transform"] == 0
    assert np.abs(np.asarray(after).astype(int) - np.asarray(before)).mean() < 1
    assert b"JFIF" not in result


def test_the_segments_of_jfif_and_adobe_agree_with_the_pixels(written, made):
    data = made.encoded(Image.fromarray(made.noise()), "JPEG", quality=90)
    jfif = b"JFIF\0\1\2\1\0\x48\0\x48\2\2" + bytes(12)
    adobe = b"Adobe\0\x64\0\0\0\0\1"
    start = 2 + 4 + len(read_segments(data)[0][0].body)
    source = b"\xff\xd8" + make_segments(0xE0, jfif) + make_segments(0xE0, b"JFXX\0\x10THUMB") + data[start:]
    _, result, before, after = written(behind_the_start(source[:2], make_segments(0xEE, adobe)) + source[2:])
    assert [body for marker, body in read_segments(result)[0] if marker in (0xE0, 0xEE)] == [jfif[:12] + b"\0\0", adobe]
    assert np.abs(np.asarray(after).astype(int) - np.asarray(before)).mean() < 1
    _, result, _, _ = written(b"\xff\xd8" + data[start:])
    assert not [marker for marker, _ in read_segments(result)[0] if marker in (0xE0, 0xEE)]


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_is_refused_with_the_way_out(written, made, adobe):
    data = made.encoded(Image.fromarray(made.noise()).convert("CMYK"), "JPEG")
    data = data if adobe else data.replace(b"Adobe", b"Other")
    with pytest.raises(ImageError, match=r"CMYK.*export it as an RGB JPEG"):
        written(data)


@pytest.fixture
def phone(made) -> bytes:
    """Return a JPEG with everything that phones and editors put into one, and two pictures and a video behind it."""
    data = made.encoded(Image.fromarray(made.noise()), "JPEG", quality=90, icc_profile=PROFILE, comment=b"a comment")
    extended = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"EXTENDEDSECRET"
    segments = [
        make_segments(0xE1, made.make_exif(), b"Exif\0\0"),
        make_segments(0xE1, made.xmp, b"http://ns.adobe.com/xap/1.0/\0"),
        make_segments(0xE1, extended),
        make_segments(0xED, made.photoshop, b"Photoshop 3.0\0"),
        make_segments(0xE2, b"MPF\0MPFSECRET"),
        make_segments(0xE2, b"urn:iso:std:iso:ts:21496:-1\0"),
        make_segments(0xE4, b"PREVIEWSECRET of a maker"),
        make_segments(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x99jumbC2PASECRET"),
    ]
    video = b"\0\0\0\x18ftypmp42" + b"VIDEOSECRET"
    return behind_the_start(data, *segments) + made.encoded(Image.new("L", (9, 9)), "JPEG") + video


ORIGINAL = (
    b"MPFSECRET",
    b"PREVIEWSECRET",
    b"THUMBNAILSECRET",
    b"VIDEOSECRET",
    b"C2PASECRET",
    b"EXTENDEDSECRET",
    b"/9j/",
)


@pytest.mark.parametrize("policy", ["private", "keep", "none"])
def test_nothing_shows_the_original(written, phone, policy):
    photo, result, _, after = written(phone, policy)
    for secret in ORIGINAL:
        assert secret in phone
        assert secret not in result
    assert result.count(b"\xff\xd8\xff") == 1
    assert result.endswith(b"\xff\xd9")
    assert getattr(after, "n_frames", 1) == 1
    for word in ("gain map", "video", "extended XMP", "C2PA", "APP4"):
        assert any(word in note for note in photo.notes), word
    assert len(photo.notes) == 5


@pytest.mark.parametrize(
    ("policy", "kept", "gone"),
    [
        ("private", [b"Maker of cameras", b"Title", b"Name of author", b"a comment"], [b"SECRET", b"SERIAL", b"OWNER"]),
        ("keep", [b"Maker\0notes", b"GPSSECRET", b"SERIAL-OF-BODY", b"NAME OF OWNER", b"a comment"], []),
        ("none", [], [b"SECRET", b"SERIAL", b"OWNER", b"Maker of", b"Title", b"Name of author", b"a comment"]),
    ],
)
def test_each_policy(written, phone, policy, kept, gone):
    photo, result, _, after = written(phone, policy)
    assert all(content in result for content in kept)
    assert not [content for content in gone if content in result]
    assert after.info["icc_profile"] == PROFILE
    assert after.getexif()[0x0112] == photo.orientation == 6
    assert f'edgefool:Protected="{MARK}"'.encode() in result


def test_exiftool_reads_the_result(written, phone, exiftool, tmp_path):
    path = tmp_path / "result.jpg"
    shown = {}
    for policy in ("private", "keep", "none"):
        path.write_bytes(written(phone, policy)[1])
        shown[policy] = exiftool(path)
        for text in ("Rotate 90 CW", "Protected", MARK):
            assert text in shown[policy]
        for text in ("Thumbnail", "Preview", "MPF", "JUMBF", "IFD1"):
            assert text not in shown[policy]
    for text in ("GPS L", "Serial", "Owner", "Maker", "Unique"):
        assert text in shown["keep"]
        assert text not in shown["private"].replace("Maker of cameras", "")
    assert "Title" in shown["private"]
    assert "Warning" not in shown["private"] + shown["none"]
    groups = {line[1:].partition("]")[0].partition("-")[0] for line in shown["none"].splitlines()}
    assert groups <= {"ExifTool", "System", "File", "JFIF", "ICC", "ICC_Profile", "IFD0", "XMP", "Composite"}


def test_exif_data_of_several_segments(written, made):
    long = made.Structure()
    content = bytes(range(1, 251)) * 500
    exif = long.finish(long.directory(long.text(0x010E, content)))
    data = behind_the_start(made.encoded(Image.fromarray(made.noise()), "JPEG"), make_segments(0xE1, exif, b"Exif\0\0"))
    _, _, _, after = written(data, "keep")
    assert after.info["exif"] == b"Exif\0\0" + exif


@pytest.mark.parametrize(
    ("segment", "kind"),
    [
        (make_segments(0xE1, b"Exif\0\0rubbish"), "EXIF"),
        (make_segments(0xE1, b"http://ns.adobe.com/xap/1.0/\0<a>"), "XMP"),
        (make_segments(0xED, b"Photoshop 3.0\08BIM\4\4\0\0\0\0\0\x99xx"), "Photoshop"),
        (make_segments(0xE2, b"ICC_PROFILE\0\1\2 a part"), "colour profile"),
    ],
)
def test_damaged_metadata_are_left_out_with_a_note(written, made, segment, kind):
    photo, result, _, _ = written(
        behind_the_start(made.encoded(Image.fromarray(made.noise()), "JPEG"), segment), "keep"
    )
    assert len(photo.notes) == 1
    assert kind in photo.notes[0]
    assert segment[-8:] not in result


def test_unknown_data_behind_the_picture(written, made):
    data = made.encoded(Image.fromarray(made.noise()), "JPEG")
    assert "12 bytes" in written(data + b"unknown data")[0].notes[0]
    assert written(data + bytes(100))[0].notes == ()


def test_what_cameras_write(tmp_path):
    path = tmp_path / "camera.mpo"
    path.write_bytes((Path(__file__).parents[1] / "images" / "cases" / "camera.mpo").read_bytes())
    photo = open_photo(path)
    assert photo.name == "camera.jpg"
    assert photo.notes == ("the other pictures in the file are left out",)
    with Image.open(io.BytesIO(photo.encode(photo.pixels, MARK))) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - (10, 200, 30)).max() <= 3


def test_comments_that_hold_a_picture_go(written, made):
    data = made.encoded(Image.fromarray(made.noise()), "JPEG", comment=b"\0" + made.thumbnail)
    photo, result, _, after = written(data, "keep")
    assert "comment" not in after.info
    assert made.thumbnail not in result
    assert photo.notes == ("comments that hold a picture are left out, as it may show the original",)


@pytest.mark.parametrize("length", [64_000, 65_400])
def test_a_mark_is_readable_however_long_the_xmp_data_are(written, made, tmp_path, length):
    rdf = b"http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    frame = b'<r:RDF xmlns:r="' + rdf + b'"><r:Description xmlns:a="urn:a" a:b="%s"/></r:RDF>'
    packet = frame % (b"x" * (length - len(frame)))
    segment = make_segments(0xE1, packet, b"http://ns.adobe.com/xap/1.0/\0")
    data = behind_the_start(made.encoded(Image.fromarray(made.noise()), "JPEG"), segment)
    photo, result, _, _ = written(data, "keep")
    (tmp_path / "again.jpg").write_bytes(result)
    assert open_photo(tmp_path / "again.jpg").mark == MARK
    assert (b"xxxx" in result) == (length == 64_000) == (photo.notes == ())
