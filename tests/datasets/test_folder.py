"""Which photos were meant."""

import os
from pathlib import Path

import pytest

from edgefool.datasets import Photo, find_photos
from edgefool.errors import ImageWarning, UsageError
from edgefool.images import IMAGE_SUFFIXES
from edgefool.storage import parse_path


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
    return [photo.path.relative_to(parse_path(album)) for photo in find_photos(inputs)]


# Which


def add_unreadable(album):
    for name in ("IMG_1.HEIC", "b/IMG_2.NEF", "b/IMG_3.dng", "b/deep/IMG_4.cr3", "IMG_5.jxl", ".hidden.nef"):
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES:  # HEIC is read where pillow-heif is installed
            (album / name).touch()


@pytest.mark.parametrize("where", [".", "**/*"])
def test_photos_that_cannot_be_read_are_counted_in_one_warning(album, where):
    expected = found(album, where)
    add_unreadable(album)
    with pytest.warns(ImageWarning, match=r"1 JPEG XL .*3 camera raw") as caught:
        assert found(album, where) == expected
    assert len(caught) == 1
    assert str(album) in str(caught[0].message)


def test_a_folder_of_nothing_else_is_an_error_with_the_same_words(album):
    (album / "raw").mkdir()
    (album / "raw/IMG_1.ARW").touch()
    with pytest.raises(
        UsageError, match=r"no image files in the folder '.*raw', but photos .*: 1 camera raw \(convert"
    ):
        find_photos([album / "raw"])
    with pytest.raises(UsageError, match=r"no image file matches .*1 camera raw"):
        find_photos(["raw/*"])


def test_files_that_are_no_photos_are_no_warning(album):
    assert len(found(album, album)) == 6


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
    assert find_photos(same) == [Photo(parse_path(album / "img1.png"), "img1.png", "img1")]


def test_link_gives_the_name_and_its_target_the_path(album):
    (album / "cat.jpg").symlink_to("b/img3.webp")
    assert find_photos(["cat.jpg"]) == [Photo(parse_path(album / "b/img3.webp"), "cat.jpg", "cat")]


def test_links_in_circles_and_to_nothing_become_photos_that_cannot_be_read(album):
    (album / "b/gone.jpg").symlink_to("nowhere.jpg")
    (album / "b/circle.jpg").symlink_to("circle.jpg")
    (album / "b/up").symlink_to("..")
    assert [photo.name for photo in find_photos(["b"])] == ["circle", "img4", "gone", "img3"]
    assert [photo.name for photo in find_photos(["b/gone.jpg", "b/circle.jpg"])] == ["gone", "circle"]


def test_nothing_asked_nothing_found():
    assert find_photos([]) == []


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("img11.png", r"^no such file or folder: '.*/album/img11.png'; did you mean '.*/album/img1"),
        ("bb/img3.webp", r"/bb/img3.webp'; did you mean '.*/album/b'\?$"),
        ("b/dep/img4.tif", r"/b/dep/img4.tif'; did you mean '.*/album/b/deep'\?$"),
        ("zzz.qqq", r"/zzz.qqq'$"),
        ("notes.txt/a.jpg", r"/notes.txt/a.jpg'$"),
        ("nul\0.jpg", r"cannot open '.*/nul\\x00.jpg'"),
        ("x" * 300 + ".jpg", r"^no such file or folder: '.*/x{300}\.jpg'$"),  # no disk holds such a name
        ("*.xyz", r"^no image file matches '.*/album/\*.xyz'$"),
        ("*.txt", r"^no image file matches '.*/album/\*.txt'$"),
        ("empty", r"^no image files in the folder '.*/album/empty'$"),
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


def test_folder_of_real_photos(shared):
    photos = find_photos([shared / "images" / "photos"])
    assert "n01484850_great_white_shark" in [photo.name for photo in photos]
    assert len({photo.name for photo in photos}) == len(photos)


# Keys


@pytest.mark.parametrize(
    ("inputs", "keys"),
    [
        ([""], ["[1].jpg", "b/deep/img4.tif", "b/img1.png", "b/img3.webp", "img1.png", "img2.JPG", "img10.jpg"]),
        (["b"], ["deep/img4.tif", "img1.png", "img3.webp"]),
        (["b/img3.webp", "img1.png"], ["img3.webp", "img1.png"]),
        (["*.jpg"], ["[1].jpg", "img10.jpg"]),
        (["b/*.webp"], ["img3.webp"]),
        (["*/*.webp"], ["b/img3.webp"]),
        (["**/*.tif"], ["b/deep/img4.tif"]),
        (["b/**/*"], ["deep/img4.tif", "img1.png", "img3.webp"]),
        (["[1].jpg"], ["[1].jpg"]),
        (
            ["img1.png", "b", "*"],
            ["img1.png", "deep/img4.tif", "img1.png", "img3.webp", "[1].jpg", "img2.JPG", "img10.jpg"],
        ),
    ],
)
@pytest.mark.parametrize("kind", ["disk", "memory", "bucket"])
def test_keys_stay_when_the_folder_moves(request, tmp_path, kind, inputs, keys):
    """They are relative to the folder, to the fixed part of the pattern, or the name of a file; names follow them."""
    root, found = parse_path(tmp_path) if kind == "disk" else request.getfixturevalue(kind), []
    for place in (root / "album", root / "moved" / "elsewhere"):
        lay_out(place)
        found.append(find_photos([str(place / item) for item in inputs]))
    assert [photo.key for photo in found[0]] == keys
    assert [photo.path for photo in found[0]] != [photo.path for photo in found[1]]
    assert [(photo.key, photo.name) for photo in found[0]] == [(photo.key, photo.name) for photo in found[1]]


def test_a_link_has_the_key_of_its_own_place(album):
    (album / "b/link.jpg").symlink_to("../img1.png")
    assert {photo.key: photo.path.name for photo in find_photos(["b"])}["link.jpg"] == "img1.png"
    (album.parent / "way").symlink_to("album")
    assert [photo.key for photo in find_photos([album.parent / "way"])] == [photo.key for photo in find_photos([album])]


# Addresses


def lay_out(place):
    for name in ("img10.jpg", "img2.JPG", "img1.png", "notes.txt", ".hidden.jpg", ".cache/thumb.jpg", "b/img3.webp",
                 "b/deep/img4.tif", "b/img1.png", "[1].jpg"):  # fmt: skip
        (place / name).write(b"")


@pytest.fixture
def shelf(store):
    """Return the address of the names of `album`."""
    lay_out(store / "album")
    (store / "album2/other.png").write(b"")
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
    assert [photo.path.relative_to(shelf) for photo in photos] == expected
    assert find_photos([shelf / item for item in inputs]) == photos
    assert len({photo.name for photo in photos}) == len(photos)
    assert [photo.path for photo in find_photos([photo.path for photo in photos])] == [photo.path for photo in photos]


def test_files_and_addresses_go_together(shelf, album):
    photos = find_photos([f"{shelf}/img1.png", "img1.png"])
    assert [photo.path for photo in photos] == [shelf / "img1.png", parse_path(album / "img1.png")]
    assert [photo.key for photo in photos] == ["img1.png", "img1.png"]
    assert len({photo.name for photo in photos}) == 2


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("none", r"^no such file or folder: '.*/album/none'$"),
        ("*.xyz", r"^no image file matches '.*/album/\*.xyz'$"),
        ("texts", r"^no image files in the folder '.*/album/texts'$"),
    ],
)
def test_what_is_not_in_the_store(shelf, item, message):
    (shelf / "texts/a.txt").write(b"")
    with pytest.raises(UsageError, match=message):
        find_photos([shelf / item])
