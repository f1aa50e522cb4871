"""Private-Places365 is MediaEval's list."""

import csv
from collections import Counter
from pathlib import Path

import pytest

import edgefool.classifiers
from edgefool.datasets import PrivatePlaces365, private_classes
from edgefool.datasets.places365 import _labels
from edgefool.errors import UsageError
from edgefool.storage import StorePath, parse_path

LABELS = _labels()
STEMS = list(LABELS)


def touch(folder: Path, *names: str) -> list[StorePath]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [parse_path(folder.resolve() / name) for name in names]


def test_50_images_of_each_of_60_classes():
    assert Counter(LABELS.values()) == dict.fromkeys(private_classes(), 50)
    assert len(private_classes()) == 60
    assert sorted(STEMS) == STEMS


def test_classes_are_those_of_places365():
    names = Path(edgefool.classifiers.__file__).parent / "data" / "places365_classes.txt"
    known = names.read_text(encoding="utf-8").splitlines()
    assert private_classes() == {number: known[number] for number in private_classes()}


def test_lists_are_the_official_ones(shared):
    folder = shared / "reference" / "private_places365"
    with (folder / "MEPP18val.csv").open(newline="") as file:
        assert list(LABELS.items()) == [(Path(name).stem, int(label)) for name, label in csv.reader(file)]
    lines = (folder / "MEPP18senscats.txt").read_text(encoding="utf-8-sig").splitlines()
    official = {int(number): category[3:] for category, number in (line.split() for line in lines)}
    assert private_classes() == official


EASY = [
    "val/{CLASS}/{}.jpg",
    "{CLASS}/{}.jpg",
    "val/{LETTER}/{CLASS}/{}.jpg",
    "{LETTER}/{CLASS}/{}.jpg",
    "val/{DASHES}/{}.jpg",
]


@pytest.mark.parametrize("layout", EASY)
def test_the_easy_format(tmp_path, memory, layout):
    """A folder per class, perhaps in a folder per letter; the class church/indoor has two levels or a dash."""
    last_of_class = list({label: stem for stem, label in LABELS.items()}.values())
    names = [easy(layout, stem) for stem in last_of_class]
    touch(tmp_path, *names, "val/airfield/Places365_val_00000435.jpg", f"train/beach/{STEMS[0]}.jpg", "a/cat.jpg")
    for name in names:
        (memory / name).write(b"")
    for path in (tmp_path, str(memory)):
        photos = PrivatePlaces365.model_validate({"path": path}).find(allow_missing=True)
        assert {photo.key: photo.label for photo in photos} == {
            name: LABELS[stem] for name, stem in zip(names, last_of_class, strict=True)
        }
    if layout.startswith("val/"):
        assert len(PrivatePlaces365(path=tmp_path / "val").find(allow_missing=True)) == 60


def easy(layout, stem):
    name = private_classes()[LABELS[stem]]
    return layout.format(stem, CLASS=name, LETTER=name[0], DASHES=name.replace("/", "-"))


def test_an_image_in_two_folders_of_the_easy_format(tmp_path):
    touch(tmp_path, f"val/{STEMS[0]}.jpg", easy(EASY[0], STEMS[0]))
    with pytest.raises(UsageError, match=f"{STEMS[0]} occurs twice"):
        PrivatePlaces365(path=tmp_path).find(allow_missing=True)


@pytest.mark.parametrize("layout", ["{}.jpg", "val_256/{}.jpg", "val_large/{}.JPG", "val/{}.png", "images/{}.webp"])
def test_layouts(tmp_path, layout):
    paths = touch(tmp_path, *map(layout.format, STEMS[:5]))
    touch(tmp_path, "val_256/Places365_val_00000001.jpg", "cat.png", f".val/{STEMS[9]}.jpg", f"test/{STEMS[9]}.jpg")
    photos = PrivatePlaces365(path=tmp_path).find(allow_missing=True)
    expected = [(path, stem, LABELS[stem]) for path, stem in zip(paths, STEMS, strict=False)]
    assert [(photo.path, photo.name, photo.label) for photo in photos] == expected
    assert [photo.key for photo in photos] == [layout.format(stem) for stem in STEMS[:5]]
    assert PrivatePlaces365(path=tmp_path, limit=3).find(allow_missing=True) == photos[:3]


def test_whole(tmp_path):
    touch(tmp_path, *(f"val_256/{stem}.jpg" for stem in STEMS))
    photos = PrivatePlaces365(path=tmp_path).find()
    assert [(photo.name, photo.label) for photo in photos] == list(LABELS.items())


def test_missing_images(tmp_path):
    touch(tmp_path, *(f"{stem}.jpg" for stem in STEMS[:-2]))
    message = (
        rf"^private-places365: 2 of 3,000 images are missing in '.*' \({STEMS[-2]}, {STEMS[-1]}\);"
        " allow_missing uses the 2,998 that are there$"
    )
    with pytest.raises(UsageError, match=message):
        PrivatePlaces365(path=tmp_path).find()
    assert len(PrivatePlaces365(path=tmp_path).find(allow_missing=True)) == 2998


def test_image_that_is_there_twice(tmp_path):
    touch(tmp_path, f"val_256/{STEMS[0]}.jpg", f"val_large/{STEMS[0]}.jpg")
    with pytest.raises(UsageError, match=f"{STEMS[0]} occurs twice: '.*val_256.*' and '.*val_large"):
        PrivatePlaces365(path=tmp_path).find(allow_missing=True)


def test_images_under_other_names_do_not_count(shared):
    with pytest.raises(UsageError, match="none of the 3,000 images is in"):
        PrivatePlaces365(path=shared / "images" / "places365_val" / "raw").find(allow_missing=True)


def test_an_address(store):
    for stem in STEMS[:3]:
        (store / f"val_256/{stem}.jpg").write(b"")
    dataset = PrivatePlaces365.model_validate({"path": str(store)})
    assert [(photo.path, photo.label) for photo in dataset.find(allow_missing=True)] == [
        (store / f"val_256/{stem}.jpg", LABELS[stem]) for stem in STEMS[:3]
    ]
    assert dataset.paths == (store,)
