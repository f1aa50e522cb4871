"""Photoshop's resources and IPTC data, without previews and places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool.protection.photoshop import clean_iptc, clean_photoshop


def test_thumbnails_go_and_the_digest_of_changed_iptc_data(made):
    cleaned = clean_photoshop(made.photoshop, private=False)
    for content in (b"THUMBNAILSECRET", b"PREVIEWSECRET", b"digest"):
        assert content in made.photoshop
        assert content not in cleaned
    for content in (b"resolution info.", b"Name of author", b"GPSSECRET", b"Caption"):
        assert content in cleaned
    assert clean_photoshop(cleaned, private=False) == cleaned


def test_places_go_if_private(made):
    cleaned = clean_photoshop(made.photoshop, private=True)
    assert b"GPSSECRET" not in cleaned
    assert b"Name of author" in cleaned


def test_what_need_not_change_stays_byte_for_byte():
    resources = b"8BIM\4\4\3nam\0\0\0\5\x1c\2\x78\0\0\0" + b"8BIM\4\x25\0\0\0\0\0\2ab"
    assert clean_photoshop(resources + b"\0\0\0", private=True) == resources
    long = b"\x1c\2\x78\x80\4\0\0\0\3abc"
    assert clean_iptc(long, private=True) == long


@pytest.mark.parametrize("data", [b"8BIM", b"8BIM\4\4\0\0\0\0\0\x09", b"rubbish", b"8BIM\4\4\xff"])
def test_damaged_resources_are_refused(data):
    with pytest.raises(ValueError, match="Photoshop"):
        clean_photoshop(data, private=True)


@pytest.mark.parametrize("data", [b"\x1c", b"\x1c\2\x5a\0\x09a", b"rubbish", b"\x1c\2\x5a\xff\xff"])
def test_damaged_iptc_data_are_refused(data):
    with pytest.raises(ValueError, match="IPTC"):
        clean_iptc(data, private=True)


@given(place=st.integers(0), change=st.binary(max_size=4), private=st.booleans())
def test_any_damage_is_refused_or_survived(made, place, change, private):
    place %= len(made.photoshop)
    data = made.photoshop[:place] + change + made.photoshop[place + len(change) :]
    try:
        cleaned = clean_photoshop(data, private=private)
    except ValueError:
        return
    assert clean_photoshop(cleaned, private=private) == cleaned


def test_a_picture_in_a_resource_of_unknown_kind_goes(made):
    def resource(content):
        return b"8BIM\x0f\x99\0\0" + len(content).to_bytes(4) + content + bytes(len(content) % 2)

    assert clean_photoshop(resource(b"a setting"), private=False) == resource(b"a setting")
    assert clean_photoshop(resource(b"head" + made.thumbnail), private=False) == b""
