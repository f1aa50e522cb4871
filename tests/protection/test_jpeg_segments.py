"""Where segments and pictures of JPEG streams begin and end."""

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgefool.protection.jpeg_segments import embedded_pictures, end_of_picture, make_segments, read_segments


def jpeg(made, **options: object) -> bytes:
    return made.encoded(Image.fromarray(made.noise()), "JPEG", **options)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"optimize": True}])
def test_the_end_of_a_picture_with_any_scans(made, options):
    data = jpeg(made, **options)
    _, scan = read_segments(data)
    assert data[scan : scan + 2] == b"\xff\xda"
    for behind in (b"", b"\xff\xd9 more", jpeg(made)):
        assert end_of_picture(data + behind, scan) == len(data)


def test_a_picture_without_its_end_marker(made):
    data = jpeg(made)
    _, scan = read_segments(data)
    assert end_of_picture(data[:-2], scan) == len(data) - 2
    assert end_of_picture(data[:-2] + data, scan) == len(data) - 2


def test_segments_are_those_that_pillow_reads(made):
    data = jpeg(made, comment=b"a comment", xmp=b"<x/>", exif=b"Exif\0\0II*\0")
    with Image.open(io.BytesIO(data)) as image:
        expected = [(0xFE if name == "COM" else 0xE0 + int(name[3:]), body) for name, body in image.applist]
    segments, _ = read_segments(data)
    assert [tuple(segment) for segment in segments if segment.marker >= 0xE0] == expected


def test_fill_bytes_and_rubbish_between_segments_are_passed_over(made):
    data = jpeg(made)
    padded = data[:2] + b"rubbish\xff\xff" + data[2:]
    assert read_segments(padded)[0] == read_segments(data)[0]
    with pytest.raises(ValueError, match="JPEG"):
        read_segments(padded, strict=True)


def test_long_bodies_are_split():
    body = bytes(range(256)) * 600
    data = b"\xff\xd8" + make_segments(0xED, body, b"name\0") + b"\xff\xda"
    segments, _ = read_segments(data)
    assert len(segments) == 3
    assert b"".join(segment.body.removeprefix(b"name\0") for segment in segments) == body
    assert make_segments(0xFE, b"") == b"\xff\xfe\0\2"


def test_pictures_in_other_data(made):
    small, large = jpeg(made), jpeg(made, progressive=True)
    minolta = b"\0" + small[1:]
    data = b"\xff\xd8\xff\xe0 no picture \xd8\xff" + small + b"between" + large + b"and" + minolta
    assert [data[place] for place in embedded_pictures(data)] == [small, large, minolta]
    assert list(embedded_pictures(data[: len(data) - len(minolta)] + minolta[:-20]))[-1].stop == len(data) - 20


@given(st.binary(max_size=200))
def test_rubbish(data):
    for start in (b"\xff\xd8", b"\xff\xd8\xff\xe0\0\x04ab"):
        with contextlib.suppress(ValueError):
            segments, scan = read_segments(start + data)
            assert end_of_picture(start + data, scan) <= len(start + data)
            assert sum(len(segment.body) for segment in segments) < len(start + data)
    assert all(place.stop <= len(data) for place in embedded_pictures(data))
