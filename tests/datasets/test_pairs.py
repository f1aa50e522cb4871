"""Originals and results find each other by their names."""

import hashlib

import pytest

from edgefool.datasets.pairs import pair_photos
from edgefool.datasets.photo import Photo
from edgefool.protection.result_names import ResultNames
from edgefool.storage import parse_path


def photos(folder: str, *keys: str) -> list[Photo]:
    return [Photo(parse_path(f"/{folder}/{key}"), key, key) for key in keys]


def paired(originals, results):
    found = pair_photos(photos("in", *originals), photos("out", *results))
    return (
        [(original.key, result.key) for original, result in found.pairs],
        [photo.key for photo in found.missing],
        [photo.key for photo in found.extra],
    )


CASES = {
    "the same names": (["a.jpg", "b/a.jpg"], ["b/a.jpg", "a.jpg"], [("a.jpg", "a.jpg"), ("b/a.jpg", "b/a.jpg")]),
    "another format": (["a.heic", "b.TIF"], ["b.tif", "a.jpg"], [("a.heic", "a.jpg"), ("b.TIF", "b.tif")]),
    "a suffix behind the name": (
        ["a.heic", "a.jpg"],
        ["a.heic.jpg", "a.jpg"],
        [("a.heic", "a.heic.jpg"), ("a.jpg", "a.jpg")],
    ),
    "Unicode forms": (["Zo\u00eb.png"], ["Zoe\u0308.png"], [("Zo\u00eb.png", "Zoe\u0308.png")]),
}


@pytest.mark.parametrize("case", CASES)
def test_pairs(case):
    originals, results, expected = CASES[case]
    assert paired(originals, results) == (expected, [], [])


def test_what_is_left_over_is_named():
    assert paired(["a.jpg", "b.jpg"], ["b.jpg", "c.jpg"]) == ([("b.jpg", "b.jpg")], ["a.jpg"], ["c.jpg"])


def test_no_guess_between_two_that_fit_equally_well():
    assert paired(["a.heic", "a.bmp"], ["a.jpg"]) == ([], ["a.heic", "a.bmp"], ["a.jpg"])


def test_names_that_differ_in_case_only():
    digits = hashlib.sha256(b"A.jpg").hexdigest()[:8]
    expected = [("a.jpg", "a.jpg"), ("A.jpg", f"A-{digits}.jpg")]
    assert paired(["a.jpg", "A.jpg"], ["a.jpg", f"A-{digits}.jpg"]) == (expected, [], [])


def test_every_name_that_protected_photos_get_is_found():
    given = {"a.jpg": "a.jpg", "A.JPG": "A.JPG", "a.heic": "a.jpg", "b.bmp": "b.jpg", "sub/a.heic": "a.jpg"}
    names = ResultNames(given, {})
    expected = [(key, names.give(key, name)) for key, name in given.items()]
    assert len({name for _, name in expected}) == len(given)
    assert paired(list(given), [name for _, name in expected]) == (expected, [], [])
