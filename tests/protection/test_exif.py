"""EXIF data without what shows the original and what is private; the rest byte for byte at its place."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from edgefool.protection.exif import PRIVATE_TAGS, clean_exif, make_exif, strip_prefix

KEPT = (b"Maker of cameras", b"Name of artist", b"2024:05:06 07:08:09\0")


def read(data: bytes) -> tuple[dict, dict, dict, dict]:
    """Return the directories as Pillow sees them: main, Exif, GPS, thumbnail."""
    exif = Image.Exif()
    exif.load(data)
    return dict(exif), *(dict(exif.get_ifd(part)) for part in (0x8769, 0x8825, ExifTags.IFD.IFD1))


@pytest.mark.parametrize("order", ["<", ">"])
def test_keep_leaves_everything_at_its_place_but_the_pictures(made, order):
    data = made.make_exif(order)
    cleaned = clean_exif(data, private=False)
    for content in (*KEPT, *made.secrets):
        assert cleaned.index(content) == data.index(content)
    note = data.index(made.maker_note)
    assert cleaned[note : note + len(made.maker_note) + 4] == data[note : note + len(made.maker_note) + 4]
    assert b"MAKERSECRET" in cleaned
    assert b"behind" in cleaned
    assert b"\xd8\xff" not in cleaned
    before, after = read(data), read(cleaned)
    assert before[3][0x0202] == len(made.thumbnail)
    assert after[3] == {}
    assert after[0] == before[0]
    assert after[2] == before[2]
    assert {tag: value for tag, value in after[1].items() if tag != 0x927C} == {
        tag: value for tag, value in before[1].items() if tag != 0x927C
    }


@pytest.mark.parametrize("order", ["<", ">"])
def test_private_leaves_no_byte_of_what_is_private(made, order):
    data = made.make_exif(order)
    cleaned = clean_exif(data, private=True)
    for content in (*made.secrets, b"Maker\0notes", b"MAKERSECRET", b"\xd8\xff"):
        assert content in data
        assert content not in cleaned
    for content in KEPT:
        assert cleaned.index(content) == data.index(content)
    main, details, position, _ = read(cleaned)
    assert set(main) == {0x010F, 0x0112, 0x013B, 0x8769}
    assert main[0x0112] == 6
    assert set(details) == {0x829A, 0x9003}
    assert position == {}


def test_a_thumbnail_that_is_not_a_jpeg_goes_too(made):
    assert b"RAWTHUMBNAIL" not in clean_exif(made.make_exif(strips=True), private=False)


def test_what_goes_from_the_end_is_cut_off(made):
    data = made.make_exif()
    assert len(clean_exif(data, private=True)) == len(data) - 2 * 12  # the last thing in it is the main directory
    structure = made.Structure()
    picture = structure.directory((0x0201, 4, 1, 200), (0x0202, 4, 1, 5000))
    data = structure.finish(structure.directory(structure.short(0x0112, 3), following=picture)) + b"\1" * 5200
    assert len(clean_exif(data, private=False)) < 60


def test_bytes_that_no_entry_leads_to_go(made):
    structure = made.Structure()
    structure.value(b"left by an editor")
    data = structure.finish(structure.directory(structure.text(0x010F, b"Maker of cameras")))
    assert b"left by" not in clean_exif(data, private=False)


def test_cleaning_twice_changes_nothing_more(made):
    for private in (False, True):
        once = clean_exif(made.make_exif(), private=private)
        assert clean_exif(once, private=private) == once


@pytest.mark.parametrize(
    "data",
    [b"", b"II*\0", b"rubbish", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*" + bytes(4) + b"x" * 99],
)
def test_damaged_data_are_refused(data):
    with pytest.raises(ValueError, match="EXIF"):
        clean_exif(data, private=True)


def test_data_of_unusual_size_are_refused(made):
    with pytest.raises(ValueError, match="size"):
        clean_exif(made.make_exif() + bytes(2**19), private=True)


def test_circles_and_long_chains_of_directories_end(made):
    structure = made.Structure()
    circle = structure.directory((0x8769, 4, 1, 8), (0x8825, 4, 1, 0xFFFFFFF0), structure.short(0x0112, 8))
    assert read(clean_exif(structure.finish(circle), private=False))[0] == {0x0112: 8}
    structure = made.Structure()
    inner = structure.directory(structure.short(0x0112, 8))
    for _ in range(2000):
        inner = structure.directory((0x8769, 4, 1, inner))
    clean_exif(structure.finish(inner), private=False)


@given(place=st.integers(0), change=st.binary(min_size=1, max_size=6), end=st.integers(0), private=st.booleans())
def test_any_damage_is_refused_or_survived(made, place, change, end, private):
    whole = made.make_exif()
    place %= len(whole)
    data = (whole[:place] + change + whole[place + len(change) :])[: len(whole) - end % 80]
    try:
        cleaned = clean_exif(data, private=private)
    except ValueError:
        return
    assert len(cleaned) <= len(data)
    try:
        main, details, *_, thumbnail = read(cleaned)
    except Exception:  # Pillow raises almost any error for damaged values
        return
    assert thumbnail == {}
    if private:
        assert not PRIVATE_TAGS & {*main, *details}


@given(st.binary(max_size=300))
def test_rubbish_behind_a_header(rubbish):
    for header in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        with contextlib.suppress(ValueError):
            assert len(clean_exif(header + rubbish, private=True)) <= len(header + rubbish)


def test_the_smallest_exif_data(made):
    for orientation in range(1, 9):
        assert read(make_exif(orientation))[0] == {0x0112: orientation}


def test_the_prefix_of_jpeg():
    assert strip_prefix(b"Exif\0\0Exif\0\0II*\0") == strip_prefix(b"II*\0") == b"II*\0"


def test_types_of_unknown_size_count_as_bytes(made):
    structure = made.Structure()
    entry = structure.text(0x9999, b"of an unknown type", 99)
    data = structure.finish(structure.directory(entry))
    assert b"of an unknown type" in clean_exif(data, private=True)
    assert struct.unpack_from("<H", data, 2) == (42,)
