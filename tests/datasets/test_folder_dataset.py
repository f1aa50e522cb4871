"""The user's own photos and their labels."""

import csv
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool.datasets import Folder, find_photos
from edgefool.errors import UsageError
from edgefool.storage import StorePath, parse_path


@pytest.fixture
def album(tmp_path):
    """Return a folder with photos (empty files: only names count here)."""
    folder = (tmp_path / "album").resolve()
    for name in ("img10.jpg", "img2.jpg", "sub/img3.png", ".hidden.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def labelled(album: Path, text: str | bytes, *paths: Path, where: Path | None = None) -> Folder:
    labels = (where or album) / "labels.csv"
    labels.write_bytes(text.encode() if isinstance(text, str) else text)
    return Folder(path=paths or (album,), labels=labels, num_classes=5)


def found(dataset: Folder, **options: bool) -> list[tuple[str, int | None]]:
    return [(photo.name, photo.label) for photo in dataset.find(**options)]


def test_without_labels_it_is_what_was_meant(album):
    assert Folder(path=(album,)).find() == find_photos([album]) != []
    paths = (album / "img2.jpg", album / "sub", album / "*.jpg")
    assert Folder(path=paths).find() == find_photos(paths)
    assert [photo.label for photo in Folder(path=(album,)).find()] == [None] * 3
    with pytest.raises(UsageError, match="no such file or folder"):
        Folder(path=(album / "gone",)).find(allow_missing=True)


def test_one_path_needs_no_list(album):
    assert Folder.model_validate({"path": str(album)}) == Folder.model_validate({"path": album})


def test_labels_are_put_where_they_belong(album):
    text = "file,label\nsub/img3.png,4\nimg10.jpg,0\n"
    assert found(labelled(album, text)) == [("img2", None), ("img10", 0), ("img3", 4)]


@pytest.mark.parametrize(
    "text",
    [
        "license,label,file,url\nCC BY,3,img2.jpg,http\n,,img10.jpg,\n",
        "file,label\r\nimg2.jpg,3\r\n",
        b"\xef\xbb\xbffile,label\nimg2.jpg,3\n",
        'file,label\n"img2.jpg"," 3 "\n\n',
        "file,label\n./img2.jpg,03,more,and,more\nimg10.jpg\n",
        "\n \nfile,label\n\nimg2.jpg,3\n,\n  \n",
        "file,label\r\n\r\nimg2.jpg,3\r\n,\r\n",
        "file,label\rimg2.jpg,3\r",
        "file,label\r\nimg2.jpg,3\r\n".encode("utf-16"),
        b"\xfe\xff" + "file,label\nimg2.jpg,3\n".encode("utf-16-be"),
    ],
)
def test_kinds_of_csv(album, text):
    assert found(labelled(album, text)) == [("img2", 3), ("img10", None), ("img3", None)]


def test_names_count_from_the_folder_of_the_csv_file_where_there_are_several_paths(album):
    text = "file,label\nimg2.jpg,3\nsub/img3.png,1\n"
    assert found(labelled(album, text, album / "img2.jpg", album / "sub")) == [("img2", 3), ("img3", 1)]
    assert found(labelled(album, text, album / "*.jpg")) == [("img2", 3), ("img10", None)]
    assert found(labelled(album, text, album / "img2.jpg")) == [("img2", 3)]
    outside = labelled(album, text, album, album / "sub", where=album.parent)
    with pytest.raises(UsageError, match=f"none of the 2 images is in {str(album.parent)!r}"):
        outside.find()


def test_names_count_from_the_folder(album):
    assert ("img2", 3) in found(labelled(album, "file,label\nimg2.jpg,3\n", album, where=album.parent))


def test_links_are_labelled_by_their_names(album):
    (album / ".blob").touch()
    (album / "img1.jpg").symlink_to(".blob")
    (album / "img4.jpg").symlink_to("nowhere")
    text = "file,label\nimg1.jpg,3\nimg4.jpg,2\n"
    assert {("img1", 3), ("img4", 2)} < set(found(labelled(album, text)))


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9), st.integers(0, 4))
)
def test_any_names(tmp_path_factory, labels):
    album = tmp_path_factory.mktemp("album")
    expected: dict[StorePath, int | None] = {}
    with (album / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label"])
        for stem, label in {**labels, "img": 2}.items():
            if "/" not in stem and not stem.startswith("."):
                (album / f"{stem}.png").touch()
                writer.writerow([f"{stem}.png", label])
                expected[parse_path(album / f"{stem}.png").resolve()] = label
    photos = labelled(album, (album / "labels.csv").read_bytes()).find()
    assert {photo.path: photo.label for photo in photos} == expected


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_file", ["NFC", "NFD"])
def test_names_in_another_normal_form(tmp_path, on_disk, in_file):
    """A Mac decomposes names, which other systems keep as they are."""
    name = "éclair/Zoë Å.png"
    album = (tmp_path / "album").resolve()
    photo = album / unicodedata.normalize(on_disk, name)
    photo.parent.mkdir(parents=True)
    photo.touch()
    dataset = labelled(album, f"file,label\n{unicodedata.normalize(in_file, name)},3\n")
    assert [(found.path, found.label) for found in dataset.find()] == [(parse_path(photo), 3)]


def test_two_files_whose_names_differ_in_form_are_two(tmp_path):
    album = (tmp_path / "album").resolve()
    album.mkdir()
    (album / "\u00e9.png").touch()
    if (album / "e\u0301.png").exists():
        pytest.skip("this file system knows one form only")
    (album / "e\u0301.png").touch()
    assert {label for _, label in found(labelled(album, "file,label\n\u00e9.png,3\ne\u0301.png,1\n"))} == {1, 3}
    (album / "\u00e9.png").unlink()
    with pytest.raises(UsageError, match="twice"):
        labelled(album, "file,label\n\u00e9.png,3\ne\u0301.png,1\n").find()


# What is refused


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("img2.jpg,5", "label '5' of 'img2.jpg' is not a whole number from 0 to 4"),
        ("img2.jpg,-1", "label '-1'"),
        ("img2.jpg,3.0", "label '3.0'"),
        ("img2.jpg,cat", "label 'cat'"),
        ("img2.jpg,1_0", "label '1_0'"),
        ("img2.jpg,٣", "label '٣'"),
        (f"img2.jpg,{'9' * 5000}", "label '9999"),
        ('img2.jpg,"1\n2"', r"label '1\\n2'"),
        ("img10.jpg,2", "'img10.jpg' is named twice"),
        ("./img10.jpg,2", "'./img10.jpg' is named twice"),
        ("../album/img2.jpg,2", "'../album/img2.jpg' is not a file in the folder"),
        ("sub/../img2.jpg,2", "'sub/../img2.jpg' is not a file in the folder"),
        ("/etc/passwd,2", "'/etc/passwd' is not a file in the folder"),
        ("nul\0.jpg,2", r"'nul\\x00.jpg' is not a file in the folder"),
        (".,2", "'.' is not a file in the folder"),
        (",2", "'' is not a file in the folder"),
    ],
)
def test_row_that_is_wrong(album, row, message):
    with pytest.raises(UsageError, match=rf"labels.csv', line [34]: {message}") as caught:
        labelled(album, f"file,label\nimg10.jpg,1\n{row}\n").find(allow_missing=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"its first line must name the columns file and label, not \[\]"),
        ("file;label\nimg2.jpg;3\n", r"file and label, not \['file;label'\]"),
        ("img2.jpg,3\n", r"file and label, not \['img2.jpg', '3'\]"),
        ("file,label\n", "folder: none of the photos is listed in '.*labels.csv'"),
        ("file,label\n.hidden.jpg,3\n", "folder: none of the photos is listed in"),
        (b"file,label\n\xff.jpg,3\n", "^cannot read '.*labels.csv': 'utf-8' codec"),
        ('file,label\n"img2.jpg,3\n', "^cannot read '.*labels.csv': unexpected end of data"),
        (f"file,label\n{'x' * 200_000},3\n", "^cannot read '.*labels.csv': field larger"),
    ],
)
def test_file_that_is_no_list_of_labels(album, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        labelled(album, text).find(allow_missing=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"), [("gone.csv", "No such file"), ("", "a folder, not a file"), ("\0", "null byte")]
)
def test_labels_that_cannot_be_read(album, name, reason):
    with pytest.raises(UsageError, match=f"^cannot read '.*{reason}"):
        Folder(path=(album,), labels=album / name, num_classes=5).find()


def test_missing_files(album):
    dataset = labelled(album, "file,label\nsub,1\ngone.jpg,2\nimg2.jpg,3\nempty.png,\n")
    message = (
        r"^folder: 3 of 4 images are missing in '.*album' \('sub', 'gone.jpg', 'empty.png'\);"
        " allow_missing uses the 1 that are there$"
    )
    with pytest.raises(UsageError, match=message):
        dataset.find()
    assert found(dataset, allow_missing=True) == [("img2", 3), ("img10", None), ("img3", None)]


def test_no_listed_file_is_there(album):
    with pytest.raises(UsageError, match=r"^folder: none of the 1 images is in '.*album' \('gone\\n.jpg'\)$"):
        labelled(album, 'file,label\n"gone\n.jpg",2\n').find(allow_missing=True)


def test_file_named_twice_by_way_of_a_link(album):
    (album / "link.jpg").symlink_to("img2.jpg")
    with pytest.raises(UsageError, match=r"labels.csv' names '.*img2.jpg' twice, once as 'link.jpg'$"):
        labelled(album, "file,label\nimg2.jpg,3\nlink.jpg,3\n").find()


def test_real_labels(shared):
    folder = shared / "images" / "nips2017"
    photos = Folder(path=(folder,), labels=folder / "labels.csv", num_classes=1000).find()
    assert len(photos) == 120
    assert {photo.name: photo.label for photo in photos}["c819099fed6f0d73"] == 961
    assert all(photo.label is not None for photo in photos)

    folder = shared / "images" / "places365_val"
    photos = Folder(path=(folder / "raw",), labels=folder / "labels.csv", num_classes=365).find()
    assert {photo.name: photo.label for photo in photos}["Places365_val_00000702__EdgeFool"] == 294
    assert None in [photo.label for photo in photos]


def test_addresses(store):
    for name in ("img10.jpg", "img2.jpg", "sub/img3.png"):
        (store / "album" / name).write(b"")
    dataset = Folder.model_validate(
        {"path": f"{store}/album", "labels": str(store / "album" / "labels.csv"), "num_classes": 5}
    )
    with pytest.raises(UsageError, match=r"cannot read '.*labels.csv'"):
        dataset.find()
    (store / "album/labels.csv").write(b"file,label\nsub/img3.png,4\n./img10.jpg,0\n")
    assert found(dataset) == [("img2", None), ("img10", 0), ("img3", 4)]
    assert dataset.paths == (store / "album",)
    assert Folder.model_validate(dataset.model_dump(mode="json")) == dataset
    (store / "album/labels.csv").write(b"file,label\nimg2.jpg,1\nsub/none.png,4\n")
    with pytest.raises(UsageError, match=r"1 of 2 images is missing in '.*/album' \('sub/none.png'\)"):
        dataset.find()
    assert found(dataset, allow_missing=True) == [("img2", 1), ("img10", None), ("img3", None)]
