"""ImageNet's images are found in every layout, with the labels of the official list."""

import csv
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool.datasets import ImageNet, imagenet, imagenet_labels, imagenet_wnids, paper_subset
from edgefool.errors import UsageError
from edgefool.storage import StorePath, parse_path

STEMS = list(imagenet_labels())
SUBSET = paper_subset()


def wnid(stem: str) -> str:
    return imagenet_wnids()[imagenet_labels()[stem]]


LAYOUTS = {
    "flat": lambda stem: f"{stem}.JPEG",
    "images": lambda stem: f"images/{stem}.png",
    "flat val": lambda stem: f"val/{stem}.jpg",
    "torchvision": lambda stem: f"val/{wnid(stem)}/{stem}.JPEG",
    "classes": lambda stem: f"{wnid(stem)}/{stem}.WEBP",
    "Hugging Face": lambda stem: f"{stem}_{wnid(stem)}.JPEG",
    "Hugging Face by class": lambda stem: f"val/{wnid(stem)}/{stem}_{wnid(stem)}.JPEG",
    "images by class": lambda stem: f"images/{wnid(stem)}/{stem}.jpeg",
}


def touch(folder: Path, *names: str) -> list[StorePath]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [parse_path(folder.resolve() / name) for name in names]


def lay_out(folder: Path, stems: list[str], layout: str) -> list[StorePath]:
    return touch(folder, *map(LAYOUTS[layout], stems))


# Lists


def test_labels_are_the_official_ones(shared):
    with (shared / "reference" / "ilsvrc2012_val_labels.csv").open() as file:
        official = {Path(row["file"]).stem: int(row["label"]) for row in csv.DictReader(file)}
    assert imagenet_labels() == official


def test_labels_are_50_per_class():
    assert STEMS[0] == "ILSVRC2012_val_00000001"
    assert STEMS[-1] == "ILSVRC2012_val_00050000"
    assert Counter(imagenet_labels().values()) == dict.fromkeys(range(1000), 50)


def test_labels_are_read_once(monkeypatch):
    imagenet_labels.cache_clear()
    imagenet._read.cache_clear()
    read, genuine = [], Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **how: (read.append(self.name), genuine(self, **how))[1])
    assert imagenet_labels() is imagenet_labels()
    assert read == ["imagenet_val_labels.txt"]


def test_wnids_are_in_the_order_of_torchvision(shared):
    wnids = imagenet_wnids()
    assert len(set(wnids)) == 1000
    assert list(wnids) == sorted(wnids)
    words = (shared / "images" / "imagenet_val" / "synset_words.txt").read_text().splitlines()
    assert list(wnids) == [line.split()[0] for line in words]
    with (shared / "images" / "photos" / "labels.csv").open() as file:
        for row in csv.DictReader(file):
            assert wnids[int(row["label"])] == row["wnid"]


def test_subset_is_drawn_by_the_rule():
    drawn: dict[int, list[str]] = {}
    for stem in sorted(STEMS, key=lambda stem: sha256(f"edgefool:0:{stem}".encode("ascii")).digest()):
        drawn.setdefault(imagenet_labels()[stem], []).append(stem)
    assert sorted(stem for stems in drawn.values() for stem in stems[:3]) == SUBSET
    assert Counter(imagenet_labels()[stem] for stem in SUBSET) == dict.fromkeys(range(1000), 3)


# Where images are


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    stems = SUBSET[:5]
    paths = lay_out(tmp_path, stems, layout)
    for subset in ("paper", "all"):
        photos = ImageNet(path=tmp_path, subset=subset).find(allow_missing=True)
        assert [(photo.path, photo.name) for photo in photos] == [(path, path.stem) for path in paths]
        assert [photo.key for photo in photos] == [LAYOUTS[layout](stem) for stem in stems]
        assert [photo.label for photo in photos] == [imagenet_labels()[stem] for stem in stems]


@given(st.dictionaries(st.sampled_from(STEMS), st.sampled_from(list(LAYOUTS)), min_size=1, max_size=9))
def test_mixed_layouts_give_the_same_photos(tmp_path_factory, layouts):
    folder = tmp_path_factory.mktemp("imagenet")
    for stem, layout in layouts.items():
        lay_out(folder, [stem], layout)
    photos = ImageNet(path=folder, subset="all").find()
    assert [(photo.name[:23], photo.label) for photo in photos] == [
        (stem, imagenet_labels()[stem]) for stem in sorted(layouts)
    ]


def test_path_may_be_val_itself(tmp_path):
    lay_out(tmp_path, SUBSET[:3], "torchvision")
    assert len(ImageNet(path=tmp_path / "val", subset="all").find()) == 3


def test_other_names_count_in_folders_of_classes(tmp_path):
    touch(
        tmp_path, "n01443537/b.png", "n01443537/a.png", "n01440764/fish 2.jpg", f"val/{wnid(STEMS[5])}/{STEMS[5]}.JPEG"
    )
    photos = ImageNet(path=tmp_path, subset="all").find()
    expected = [(STEMS[5], imagenet_labels()[STEMS[5]]), ("fish 2", 0), ("a", 1), ("b", 1)]
    assert [(photo.name, photo.label) for photo in photos] == expected
    with pytest.raises(UsageError, match="none of the 3,000 images"):
        ImageNet(path=tmp_path).find(allow_missing=True)


def test_training_images_of_hugging_face(tmp_path):
    touch(tmp_path, "n01440764_18_n01440764.JPEG", "n01443537/n01443537_2_n01443537.JPEG", "fish 2_n01443537.png")
    photos = ImageNet(path=tmp_path, subset="all").find()
    expected = {"n01440764_18_n01440764": 0, "n01443537_2_n01443537": 1, "fish 2_n01443537": 1}
    assert {photo.name: photo.label for photo in photos} == expected


def test_other_folders_are_not_searched(tmp_path):
    names = [f".trash/{STEMS[0]}.JPEG", f"train/{STEMS[1]}.JPEG", f"val/.old/{STEMS[2]}.JPEG", f"x/val/{STEMS[3]}.JPEG"]
    touch(tmp_path, *names, f"{wnid(STEMS[4])}/more/{STEMS[4]}.JPEG", f"{STEMS[5]}.JPEG.txt", f"._{STEMS[5]}.JPEG")
    with pytest.raises(
        UsageError, match=r"imagenet: no images in '.*', its subfolders val and images, or class folders"
    ):
        ImageNet(path=tmp_path, subset="all").find()


def test_links_give_the_names(tmp_path):
    blobs = touch(tmp_path, ".blobs/0123", ".blobs/4567")
    for stem, blob in zip(SUBSET[:2], blobs, strict=True):
        (tmp_path / f"{stem}.JPEG").symlink_to(str(blob))
    photos = ImageNet(path=tmp_path).find(allow_missing=True)
    assert [(photo.path, photo.name) for photo in photos] == list(zip(blobs, SUBSET[:2], strict=True))
    assert [photo.label for photo in photos] == [imagenet_labels()[stem] for stem in SUBSET[:2]]


def test_limit_counts_the_images_that_are_there(tmp_path):
    lay_out(tmp_path, SUBSET[4:9], "flat")
    photos = ImageNet(path=tmp_path, limit=2).find(allow_missing=True)
    assert [photo.name for photo in photos] == SUBSET[4:6]


def test_whole_subset(tmp_path):
    lay_out(tmp_path, [*SUBSET, STEMS[0]], "flat")
    assert [photo.name for photo in ImageNet(path=tmp_path).find()] == SUBSET
    (tmp_path / f"{SUBSET[7]}.JPEG").unlink()
    message = rf"^imagenet: 1 of 3,000 images is missing in '.*' \({SUBSET[7]}\); allow_missing .* the 2,999 that are"
    for limit in (None, 3):
        with pytest.raises(UsageError, match=message):
            ImageNet(path=tmp_path, limit=limit).find()


# What is refused


def test_missing_images(tmp_path):
    lay_out(tmp_path, SUBSET[1:79], "flat")
    message = (
        rf"^here: 2,922 of 3,000 images are missing in '.*' \({SUBSET[0]}, {SUBSET[79]}, {SUBSET[80]} and 2,919 more\);"
        " allow_missing uses the 78 that are there$"
    )
    with pytest.raises(UsageError, match=message):
        ImageNet(path=tmp_path, name="here").find()
    assert len(ImageNet(path=tmp_path).find(allow_missing=True)) == 78


@pytest.mark.parametrize("subset", ["paper", "all"])
@pytest.mark.parametrize("allow_missing", [False, True])
def test_no_images_at_all(tmp_path, subset, allow_missing):
    with pytest.raises(UsageError, match=r"^imagenet: (none of the 3,000 images is in|no images in)"):
        ImageNet(path=tmp_path, subset=subset).find(allow_missing=allow_missing)


@pytest.mark.parametrize("subset", ["paper", "all"])
@pytest.mark.parametrize(
    "other", [f"{SUBSET[0]}.png", f"images/{SUBSET[0]}.JPEG", f"{wnid(SUBSET[0])}/{SUBSET[0]}.JPEG"]
)
def test_image_that_is_there_twice(tmp_path, subset, other):
    paths = touch(tmp_path, f"{SUBSET[0]}.JPEG", other)
    with pytest.raises(UsageError, match=f"imagenet: {SUBSET[0]} occurs twice") as caught:
        ImageNet(path=tmp_path.resolve(), subset=subset).find(allow_missing=True)
    assert all(repr(str(path)) in str(caught.value) for path in paths)


def test_twice_does_not_matter_where_the_image_is_not_wanted(tmp_path):
    unwanted = next(stem for stem in STEMS if stem not in SUBSET)
    touch(tmp_path, f"{unwanted}.JPEG", f"{unwanted}.png", f"{SUBSET[0]}.JPEG", "cat.png")
    assert [photo.name for photo in ImageNet(path=tmp_path).find(allow_missing=True)] == [SUBSET[0]]


def test_two_names_of_one_file(tmp_path):
    first, second = (tmp_path / f"{stem}.JPEG" for stem in SUBSET[:2])
    first.touch()
    second.symlink_to(first.name)
    with pytest.raises(UsageError, match=f"imagenet: '.*{SUBSET[0]}.JPEG' and '.*{SUBSET[1]}.JPEG' are the same file"):
        ImageNet(path=tmp_path).find(allow_missing=True)


@pytest.mark.parametrize("place", ["{}.JPEG", "n01443537/{}.JPEG"])
@pytest.mark.parametrize("wrong", ["n01440764", "n99999999"])
def test_name_that_contradicts_the_list_or_its_folder(tmp_path, place, wrong):
    stem = next(stem for stem in SUBSET if imagenet_labels()[stem] == 1)
    touch(tmp_path, place.format(f"{stem}_{wrong}"))
    with pytest.raises(UsageError, match=r"is named after the wrong class; its class is n01443537$"):
        ImageNet(path=tmp_path).find(allow_missing=True)
    (tmp_path / place.format(f"{stem}_{wrong}")).unlink()
    touch(tmp_path, f"n01440764/cat_{wnid(stem)}.png")
    with pytest.raises(UsageError, match=r"is in the wrong folder; its class is n01443537$"):
        ImageNet(path=tmp_path, subset="all").find()


@pytest.mark.parametrize("subset", ["paper", "all"])
@pytest.mark.parametrize("folder", ["n01440764", "n99999999"])
def test_folder_that_contradicts_the_list(tmp_path, subset, folder):
    stem = next(stem for stem in SUBSET if imagenet_labels()[stem] == 1)
    (path,) = touch(tmp_path, f"val/{folder}/{stem}.JPEG")
    with pytest.raises(UsageError, match=r"is in the wrong folder; its class is n01443537$") as caught:
        ImageNet(path=tmp_path.resolve(), subset=subset).find(allow_missing=True)
    assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "cat.png",
        "cat_n99999999.png",
        "n01440764_10026.JPEG",
        "ILSVRC2012_val_00050001.JPEG",
        "n99999999/a.png",
        "val/line\nbreak.png",
    ],
)
def test_image_without_a_label(tmp_path, name):
    lay_out(tmp_path, SUBSET[:2], "flat")
    touch(tmp_path, name, "zebra.png")
    with pytest.raises(UsageError, match="imagenet: 2 of 4 images have no label, first '") as caught:
        ImageNet(path=tmp_path, subset="all").find()
    assert "\n" not in str(caught.value)


# The real images


def test_real_images(shared):
    folder = shared / "images" / "imagenet_val"
    with (folder / "labels.csv").open() as file:
        official = {Path(row["file"]).stem: int(row["label"]) for row in csv.DictReader(file)}
    for path in (folder, folder / "images"):
        photos = ImageNet(path=path, subset="all").find()
        assert {photo.name: photo.label for photo in photos} == official
        assert len(photos) == 1300
    photos = ImageNet(path=folder).find(allow_missing=True)
    assert [photo.name for photo in photos] == sorted(set(SUBSET) & official.keys())
    with pytest.raises(UsageError, match=f"{3000 - len(photos):,} of 3,000 images are missing"):
        ImageNet(path=folder).find()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_at_an_address(memory, layout):
    for stem in SUBSET[:6]:
        (memory / LAYOUTS[layout](stem)).write(b"")
    (memory / f".hidden/{SUBSET[7]}.JPEG").write(b"")
    photos = ImageNet.model_validate({"path": str(memory)}).find(allow_missing=True)
    assert [(photo.path, photo.label) for photo in photos] == [
        (memory / LAYOUTS[layout](stem), imagenet_labels()[stem]) for stem in SUBSET[:6]
    ]
