"""Which photos were meant, and that no two share a name."""

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgefool.datasets import Photo, find_photos
from edgefool.datasets.folder import _safe_name, _unique_names
from edgefool.errors import UsageError


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Return a folder with photos (empty files: only names count here); it is the current folder, too."""
    folder = (tmp_path / "album").resolve()
    for name in [
        "img10.jpg",
        "img2.JPG",
        "img1.png",
        "notes.txt",
        "old.png.partial",
        ".hidden.jpg",
        ".cache/thumb.jpg",
        "b/img3.webp",
        "b/deep/img4.tif",
        "b/deep/README",
        "[1].jpg",
    ]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.chdir(folder)
    return folder


def found(album: Path, *inputs: str | Path) -> list[str]:
    return [str(photo.path.relative_to(album)) for photo in find_photos(inputs)]


def digits(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


# Which


def test_folder_is_searched_in_natural_order(album):
    expected = ["[1].jpg", "b/deep/img4.tif", "b/img3.webp", "img1.png", "img2.JPG", "img10.jpg"]
    assert found(album, album) == expected
    assert found(album, ".") == expected
    assert found(album, "../album") == expected


@pytest.mark.parametrize("name", ["img1.png", "notes.txt", ".hidden.jpg", "b/deep/README"])
def test_named_file_is_taken_as_it_is(album, name):
    assert found(album, name) == [name]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["[1].jpg", "img1.png", "img2.JPG", "img10.jpg"]),
        ("img?.*", ["img1.png", "img2.JPG"]),
        ("**/*.webp", ["b/img3.webp"]),
        ("**", ["[1].jpg", "b/deep/img4.tif", "b/img3.webp", "img1.png", "img2.JPG", "img10.jpg"]),
        ("b/**/*", ["b/deep/img4.tif", "b/img3.webp"]),
        ("[1].jpg", ["[1].jpg"]),
    ],
)
def test_pattern(album, pattern, expected):
    assert found(album, pattern) == expected
    assert found(album, album / pattern) == expected


def test_folder_called_like_an_image_matches_no_pattern(album):
    (album / "folder.png").mkdir()
    assert found(album, "*.png") == ["img1.png"]


def test_inputs_keep_their_order(album):
    assert found(album, "img2.JPG", "b", "img1.png") == ["img2.JPG", "b/deep/img4.tif", "b/img3.webp", "img1.png"]


def test_same_file_counts_once(album):
    (album / "link.jpg").symlink_to("img1.png")
    same = ["img1.png", album / "img1.png", "b/../img1.png", "link.jpg", "*1.png"]
    assert find_photos(same) == [Photo(album / "img1.png", "img1")]


def test_link_gives_the_name_and_its_target_the_path(album):
    (album / "cat.jpg").symlink_to("b/img3.webp")
    assert find_photos(["cat.jpg"]) == [Photo(album / "b/img3.webp", "cat")]


def test_links_in_circles_and_to_nothing_become_photos_that_cannot_be_read(album):
    (album / "b/gone.jpg").symlink_to("nowhere.jpg")
    (album / "b/circle.jpg").symlink_to("circle.jpg")
    (album / "b/up").symlink_to("..")
    assert [photo.name for photo in find_photos(["b"])] == ["circle", "img4", "gone", "img3"]
    assert [photo.name for photo in find_photos(["b/gone.jpg"])] == ["gone"]


def test_nothing_asked_nothing_found():
    assert find_photos([]) == []


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("img11.png", r"^no such file or folder: 'img11.png'; did you mean '?img1"),
        ("bb/img3.webp", r"'bb/img3.webp'; did you mean 'b'\?$"),
        ("b/dep/img4.tif", r"'b/dep/img4.tif'; did you mean 'b/deep'\?$"),
        ("zzz.qqq", r"'zzz.qqq'$"),
        ("notes.txt/a.jpg", r"'notes.txt/a.jpg'$"),
        ("nul\0.jpg", r"cannot open 'nul\\x00.jpg'"),
        ("x" * 300 + ".jpg", r"cannot open '.*too long"),
        ("*.xyz", r"^no image file matches '\*.xyz'$"),
        ("*.txt", r"^no image file matches '\*.txt'$"),
        ("empty", r"^no image files in the folder 'empty'$"),
    ],
)
def test_what_is_not_there(album, item, message):
    (album / "empty").mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        find_photos(["img1.png", item])
    assert "\n" not in str(caught.value)


def test_folder_that_cannot_be_opened_is_not_passed_over(album, monkeypatch):
    scandir = os.scandir

    def scan(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(UsageError, match=r"deep.*Permission denied"):
        find_photos([album])


# Names


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder.resolve() / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def names(paths: list[Path], taken: dict[Path, str] | None = None) -> list[str]:
    return [photo.name for photo in find_photos(paths, taken or {})]


def test_photos_that_share_a_name_get_digits_of_their_path(tmp_path):
    paths = touch(tmp_path, "a/cat.png", "b/cat.jpg", "b/CAT.gif", "b/dog.jpg")
    stems = ["cat", "cat", "CAT"]
    expected = [f"{stem}-{digits(path)}" for stem, path in zip(stems, paths[:3], strict=True)] + ["dog"]
    assert names(paths) == expected
    assert names(paths[::-1]) == expected[::-1]


def test_composed_and_decomposed_letters_are_the_same_name(tmp_path):
    paths = touch(tmp_path, "a/caf\u00e9.png", "b/cafe\u0301.png")
    assert len({unicodedata.normalize("NFC", name) for name in names(paths)}) == 2


def test_taken_names_are_kept_and_avoided(tmp_path):
    first, second, third = touch(tmp_path, "a/cat.png", "b/cat.png", "c/dog.png")
    taken = {first: "cat", tmp_path / "elsewhere.png": "DOG"}
    assert names([first, second, third], taken) == ["cat", f"cat-{digits(second)}", f"dog-{digits(third)}"]
    assert names([second], taken) == [f"cat-{digits(second)}"]


def test_run_that_goes_on_gives_the_names_of_its_start(tmp_path):
    paths = touch(tmp_path, "a/cat.png", "b/cat.png", "c/dog.png")
    whole = names(paths)
    for done in range(4):
        assert names(paths, dict(zip(paths[:done], whole, strict=False))) == whole


def test_name_that_looks_like_given_digits_is_avoided(tmp_path):
    first, second = touch(tmp_path, "a/cat.png", "b/cat.png")
    (third,) = touch(tmp_path, f"cat-{digits(second)}.png")
    for order in ([first, second, third], [third, second, first]):
        assert len(set(names(order))) == 3


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


@given(st.lists(HARD, max_size=8), st.lists(HARD, max_size=3))
def test_names_are_unique(stems, taken_stems):
    taken = {Path(f"/taken/{k}"): _safe_name(stem) for k, stem in enumerate(taken_stems)}
    assume(all(len(set(same)) == len(taken) for same in _spellings(taken.values())))
    photos = {Path(f"/new/{k}"): _safe_name(stem) for k, stem in enumerate(stems)}
    given_names = _unique_names(photos, taken)
    assert given_names.keys() == photos.keys() | taken.keys()
    assert all(len(set(same)) == len(given_names) for same in _spellings(given_names.values()))
    assert given_names == _unique_names(photos, taken)
    assert {path: given_names[path] for path in taken} == taken


@given(st.lists(HARD, max_size=8), st.randoms())
def test_names_do_not_depend_on_the_order(stems, random):
    photos = {Path(f"/new/{k}"): _safe_name(stem) for k, stem in enumerate(stems)}
    shuffled = list(photos.items())
    random.shuffle(shuffled)
    assert _unique_names(dict(shuffled), {}) == _unique_names(photos, {})


def test_folder_of_real_photos(shared):
    photos = find_photos([shared / "images" / "photos"])
    assert "n01484850_great_white_shark" in [photo.name for photo in photos]
    assert len({photo.name for photo in photos}) == len(photos)


# Addresses


@pytest.fixture
def shelf(store):
    """Return the address of the names of `album`."""
    for name in ("img10.jpg", "img2.JPG", "img1.png", "notes.txt", ".hidden.jpg", ".cache/thumb.jpg", "b/img3.webp",
                 "b/deep/img4.tif", "b/img1.png", "[1].jpg"):  # fmt: skip
        (store / "album" / name).write_bytes(b"")
    (store / "album2/other.png").write_bytes(b"")
    return store / "album"


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([""], ["[1].jpg", "b/deep/img4.tif", "b/img1.png", "b/img3.webp", "img1.png", "img2.JPG", "img10.jpg"]),
        (["b"], ["b/deep/img4.tif", "b/img1.png", "b/img3.webp"]),
        (["notes.txt", "img1.png", "img1.png"], ["notes.txt", "img1.png"]),
        (["*.jpg"], ["[1].jpg", "img10.jpg"]),
        (["**/*.png"], ["b/img1.png", "img1.png"]),
        (["[1].jpg"], ["[1].jpg"]),
    ],
)
def test_addresses(shelf, inputs, expected):
    photos = find_photos([f"{shelf}/{item}" for item in inputs])
    assert [str(photo.path.relative_to(shelf)) for photo in photos] == expected
    assert find_photos([shelf / item for item in inputs]) == photos
    assert len({photo.name for photo in photos}) == len(photos)
    assert find_photos([photo.path for photo in photos]) == photos


def test_files_and_addresses_go_together(shelf, album):
    photos = find_photos([f"{shelf}/img1.png", "img1.png"])
    assert [photo.path for photo in photos] == [shelf / "img1.png", album / "img1.png"]
    assert photos[1].name == f"img1-{digits(album / 'img1.png')}"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("none", r"^no such file or folder: '.*/album/none'$"),
        ("*.xyz", r"^no image file matches '.*/album/\*.xyz'$"),
        ("texts", r"^no image files in the folder '.*/album/texts'$"),
    ],
)
def test_what_is_not_in_the_store(shelf, item, message):
    (shelf / "texts/a.txt").write_bytes(b"")
    with pytest.raises(UsageError, match=message):
        find_photos([shelf / item])
