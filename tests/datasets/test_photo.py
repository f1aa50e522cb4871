"""Names of photos are safe, and no two share one."""

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgefool.datasets import KnownNames, find_photos
from edgefool.datasets.photo import PhotoFile, _safe_name, name_photos
from edgefool.storage import parse_path

ROOT = parse_path("/nowhere/album")


def digits(key: str) -> str:
    return hashlib.sha256(os.fsencode(key)).hexdigest()[:8]


def names(keys: Iterable[str], known: Mapping[str, str] | None = None, others: Iterable[str] = ()) -> list[str]:
    """Return the names of the photos of a folder; ``known``: names given before, by key."""
    given = KnownNames({ROOT / key: name for key, name in (known or {}).items()}, tuple(others))
    return [photo.name for photo in name_photos([PhotoFile(ROOT / key, key) for key in keys], given)]


def test_photos_that_share_a_name_get_digits_of_their_key():
    keys = ["a/cat.png", "b/cat.jpg", "b/CAT.gif", "b/dog.jpg"]
    stems = ["cat", "cat", "CAT"]
    expected = [f"{stem}-{digits(key)}" for stem, key in zip(stems, keys, strict=False)] + ["dog"]
    assert names(keys) == expected
    assert names(keys[::-1]) == expected[::-1]


def test_composed_and_decomposed_letters_are_the_same_name():
    assert len({unicodedata.normalize("NFC", name) for name in names(["a/caf\u00e9.png", "b/cafe\u0301.png"])}) == 2


def test_known_names_are_kept_and_avoided():
    first, second, third = "a/cat.png", "b/cat.png", "c/dog.png"
    expected = ["cat", f"cat-{digits(second)}", f"dog-{digits(third)}"]
    assert names([first, second, third], {first: "cat"}, ["DOG"]) == expected
    assert names([first, second, third], {first: "cat", "elsewhere.png": "DOG"}) == expected
    assert names([second], {first: "cat"}) == [f"cat-{digits(second)}"]
    assert names([first], {first: "tom"}) == ["tom"]


def test_a_run_that_goes_on_gives_the_names_of_its_start():
    keys = ["a/cat.png", "b/cat.png", "c/dog.png"]
    whole = names(keys)
    for done in range(4):
        assert names(keys, dict(zip(keys[:done], whole, strict=False))) == whole


def test_a_name_that_looks_like_given_digits_is_avoided():
    first, second = "a/cat.png", "b/cat.png"
    third = f"cat-{digits(second)}.png"
    for order in ([first, second, third], [third, second, first]):
        assert len(set(names(order))) == 3


def test_single_files_of_one_name_are_told_apart_in_any_order(tmp_path):
    """They have the same key."""
    paths = [tmp_path / folder / "cat.png" for folder in ("a", "b", "c")]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    photos = find_photos(paths)
    assert {photo.key for photo in photos} == {"cat.png"}
    assert len({photo.name for photo in photos}) == 3
    assert find_photos(paths[::-1]) == photos[::-1]
    for known in photos:
        assert find_photos(paths, KnownNames({known.path: known.name})) == photos


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("cat", "cat"),
        ("Zürich 日本 (1) ~ [x]", "Zürich 日本 (1) ~ [x]"),
        ("...cat. ", "cat"),
        ("..", "image"),
        ("", "image"),
        ("a/b\\c:d", "a_b_c_d"),
        ("line\nbreak\x1b[31m\u2028", "line_break_[31m_"),
        ("gpj.\u202etac", "gpj._tac"),
        ("bytes\udcff", "bytes_"),
        ("NUL", "_NUL"),
        ("com1.backup", "_com1.backup"),
        ("console", "console"),
        ("x" * 300, "x" * 120),
        ("é" * 300, "é" * 60),
    ],
)
def test_safe_name(stem, name):
    assert _safe_name(stem) == name


HARD = st.text(st.one_of(st.sampled_from("aAßsé./\\-01\n"), st.characters()), max_size=12) | st.sampled_from(
    ["cat", "CAT", "cat.", "con", "Con", "aux.x", "...", "x" * 130, "X" * 140]
)


@given(HARD)
def test_names_are_safe(stem):
    name = _safe_name(stem)
    assert name == _safe_name(name)
    assert name.isprintable()
    assert not name.startswith(".")
    assert not set(name) & set('<>:"/\\|?*')
    assert len(f"{name}-01234567.png.partial".encode()) <= 143
    assert name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9", ""}


def _spellings(names: Iterable[str]) -> list[list[str]]:
    """Return the names as file systems that do not tell upper from lower case may compare them."""
    composed = [unicodedata.normalize("NFC", name) for name in names]
    return [[name.lower() for name in composed], [name.upper() for name in composed]]


FILES = st.lists(st.tuples(st.sampled_from(["", "a/", "b/c/"]), HARD.map(_safe_name)), max_size=8)


def photo_files(found: list[tuple[str, str]]) -> list[PhotoFile]:
    """Return files whose stems are safe names; some have the same key, as files that were named one by one."""
    return [PhotoFile(ROOT / str(k) / f"{name}.png", f"{folder}{name}.png") for k, (folder, name) in enumerate(found)]


@given(FILES, st.lists(HARD, max_size=3), st.integers(0, 3))
def test_names_are_unique(found, known_stems, kept):
    files, taken = photo_files(found), [_safe_name(stem) for stem in known_stems]
    assume(all(len(set(same)) == len(taken) for same in _spellings(taken)))
    kept = min(kept, len(files))
    known = KnownNames({file.path: name for file, name in zip(files[:kept], taken, strict=False)}, taken[kept:])
    photos = name_photos(files, known)
    assert [(photo.path, photo.key) for photo in photos] == files
    given_names = [photo.name for photo in photos] + list(known.others)
    assert all(len(set(same)) == len(given_names) for same in _spellings(given_names))
    assert {photo.path: photo.name for photo in photos}.items() >= known.photos.items()
    assert name_photos(files, known) == photos


@given(FILES, st.randoms())
def test_names_do_not_depend_on_the_order(found, random):
    files = photo_files(found)
    shuffled = random.sample(files, len(files))
    assert set(name_photos(shuffled)) == set(name_photos(files))
