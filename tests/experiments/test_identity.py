"""A photo keeps its name in a run when its folder moves, and is refused when its bytes change."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool.datasets import find_photos
from edgefool.errors import UsageError
from edgefool.experiments.identity import known_names
from edgefool.runs import Record
from edgefool.runs.records import sha256, source_text
from edgefool.runs.source_hashes import SourceHashes


def records_of(photos, *, whole_paths=False):
    """Return the records of a run that attacked the photos; with whole paths as version 0.1.0 wrote them."""
    return [
        Record(
            cell="pics/enhance/net",
            dataset="pics",
            image=f"was-{photo.name}",
            source=source_text(str(photo.path) if whole_paths else photo.key),
            sha256=sha256(photo.path.read()),
            method="enhance",
            classifier="net",
        )
        for photo in photos
    ]


@pytest.fixture
def folder(tmp_path, make_photo):
    """Return a folder of photos, two of them copies of each other."""
    for seed, name in enumerate(["a/cat.png", "b/cat.png", "dog.png"]):
        make_photo(tmp_path / "photos" / name, seed)
    shutil.copy(tmp_path / "photos/dog.png", tmp_path / "photos/b/dog.png")
    return tmp_path / "photos"


def names_by_key(photos, records):
    known = known_names(photos, records, SourceHashes())
    return {photo.key: known.photos.get(photo.path) for photo in photos}, sorted(known.others)


@pytest.mark.parametrize("whole_paths", [True, False])
@pytest.mark.parametrize("move", [True, False])
def test_names_survive_a_move(tmp_path, folder, whole_paths, move):
    before = find_photos([folder])
    records = records_of(before, whole_paths=whole_paths)
    if move:
        folder = folder.rename(tmp_path / "elsewhere")
    names, others = names_by_key(find_photos([folder]), records)
    assert names == {photo.key: f"was-{photo.name}" for photo in before}
    assert others == []


@pytest.mark.parametrize("whole_paths", [True, False])
def test_new_photos_are_new_and_names_of_lost_ones_stay_taken(folder, make_photo, whole_paths):
    before = find_photos([folder])
    records = records_of(before, whole_paths=whole_paths)
    (folder / "a/cat.png").unlink()
    make_photo(folder / "a/new.png", 7)
    names, others = names_by_key(find_photos([folder]), records)
    lost = next(photo.name for photo in before if photo.key == "a/cat.png")
    assert others == [f"was-{lost}"]
    assert names["a/new.png"] is None
    assert names["b/cat.png"] == next(f"was-{photo.name}" for photo in before if photo.key == "b/cat.png")


def test_other_bytes_at_the_same_path_are_refused(folder, make_photo):
    for whole_paths in (True, False):
        records = records_of(find_photos([folder]), whole_paths=whole_paths)
        make_photo(folder / "dog.png", 9 + whole_paths)
        with pytest.raises(UsageError, match=r"/dog.png has changed since this run attacked it; name a new folder"):
            known_names(find_photos([folder]), records, SourceHashes())


def test_other_bytes_at_another_path_of_an_old_record_are_another_photo(tmp_path, folder, make_photo):
    records = records_of(find_photos([folder]), whole_paths=True)
    moved = folder.rename(tmp_path / "elsewhere")
    make_photo(moved / "dog.png", 9)
    names, others = names_by_key(find_photos([moved]), records)
    assert names["dog.png"] is None
    assert len(others) == 1


def test_photos_of_several_folders_may_have_the_same_key(tmp_path, folder):
    inputs = [folder / "a", folder / "b"]
    records = records_of(find_photos(inputs))
    names = known_names(find_photos(inputs[::-1]), records, SourceHashes()).photos
    assert {str(path.parent.name): name for path, name in names.items() if path.name == "cat.png"} == {
        path.parent.name: f"was-{name}"
        for path, name in ((photo.path, photo.name) for photo in find_photos(inputs))
        if path.name == "cat.png"
    }


def test_what_could_not_be_read_is_known_by_its_key(folder):
    (folder / "broken.png").symlink_to(folder / "nothing.png")
    photos = find_photos([folder])
    broken = next(photo for photo in photos if photo.key == "broken.png")
    failed = Record(
        cell="c",
        dataset="pics",
        image="was-broken",
        source="broken.png",
        method="m",
        classifier="n",
        error="unreadable",
    )
    assert known_names(photos, [failed], SourceHashes()).photos == {broken.path: "was-broken"}


@given(st.permutations(range(4)), st.booleans())
def test_the_order_of_photos_and_records_does_not_matter(tmp_path_factory, order, whole_paths):
    folder = tmp_path_factory.mktemp("photos")
    for name, data in {"x/1.png": b"1", "y/1.png": b"2", "1.png": b"1", "z.png": b"3"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    photos = find_photos([folder])
    records = records_of(photos, whole_paths=whole_paths)
    known = known_names([photos[k] for k in order], [records[k] for k in reversed(order)], SourceHashes())
    assert known.photos == {photo.path: record.image for photo, record in zip(photos, records, strict=True)}
