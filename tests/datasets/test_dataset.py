"""What all datasets share: names, limits, entries of a plan."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w
from pydantic import BaseModel, ValidationError

import edgefool.datasets
from edgefool.datasets import (
    DatasetEntry,
    Demo,
    Folder,
    HuggingFace,
    ImageNet,
    KnownNames,
    PrivatePlaces365,
    TorchDataset,
    find_photos,
)
from edgefool.datasets.dataset import list_images
from edgefool.errors import UsageError
from edgefool.storage import parse_path


class Plan(BaseModel):
    datasets: tuple[DatasetEntry, ...]


def entry(**settings):
    return Plan.model_validate({"datasets": [settings]}).datasets[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"kind": "imagenet", "path": "a"}, ImageNet(path=Path("a"))),
        ({"kind": "imagenet", "path": "a", "subset": "all"}, ImageNet(path=Path("a"), subset="all")),
        ({"kind": "private-places365", "path": "a", "limit": 7}, PrivatePlaces365(path=Path("a"), limit=7)),
        ({"kind": "folder", "path": "a*"}, Folder(path=(Path("a*"),))),
        ({"kind": "folder", "path": ["a", "b"]}, Folder(path=(Path("a"), Path("b")))),
        (
            {"kind": "folder", "path": "a", "labels": "l.csv", "num_classes": 5},
            Folder(path=(Path("a"),), labels=Path("l.csv"), num_classes=5),
        ),
        ({"kind": "huggingface", "path": "uoft-cs/cifar10"}, HuggingFace(path="uoft-cs/cifar10")),
        (
            {"kind": "huggingface", "path": ["a.parquet", "b.parquet"], "split": "test", "streaming": True},
            HuggingFace(path=(Path("a.parquet"), Path("b.parquet")), split="test", streaming=True),
        ),
        ({"kind": "torch", "name": "rows", "num_classes": 10}, TorchDataset(name="rows", num_classes=10)),
        ({"kind": "demo", "name": "A.b_c-1"}, Demo(name="A.b_c-1")),
        ({"kind": "demo", "names": ["temple", "cat"]}, Demo(names=("temple", "cat"))),
    ],
)
def test_entry_of_a_plan(settings, expected):
    dataset = entry(**settings)
    assert dataset == expected
    assert dataset.name == settings.get("name", settings["kind"])
    written = tomli_w.dumps(Plan(datasets=(dataset,)).model_dump(mode="json", exclude_none=True))
    assert Plan.model_validate(tomllib.loads(written)).datasets == (dataset,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "kind"),
        ({"kind": "cifar10"}, "'cifar10'.*'imagenet', 'private-places365', 'folder', 'huggingface', 'demo'"),
        ({"kind": "imagenet"}, "path\n.*required"),
        ({"kind": "imagenet", "path": "a", "subset": "train"}, "'paper' or 'all'"),
        ({"kind": "imagenet", "path": "a", "labels": "b"}, "labels\n.*not permitted"),
        ({"kind": "private-places365"}, "path\n.*required"),
        ({"kind": "folder"}, "path\n.*required"),
        ({"kind": "folder", "path": []}, "folder.path\n.*at least 1"),
        ({"kind": "folder", "path": 3}, r"folder.path\n"),
        ({"kind": "folder", "path": ["a", 3]}, r"folder.path.1\n"),
        ({"kind": "folder", "path": "a", "labels": "l.csv"}, "labels need num_classes"),
        ({"kind": "folder", "path": "a", "num_classes": 5}, "num_classes is the number of classes of labels"),
        ({"kind": "folder", "path": "a", "labels": "l.csv", "num_classes": 0}, "num_classes\n.*greater"),
        ({"kind": "huggingface"}, "path\n.*required"),
        ({"kind": "huggingface", "path": []}, "path\n.*at least 1"),
        ({"kind": "huggingface", "path": 3}, r"path\.0\n"),
        ({"kind": "huggingface", "path": "a", "labels": "b"}, "labels\n.*not permitted"),
        ({"kind": "demo", "names": ["dog"]}, "names.0\n.*'cat', 'coffee'"),
        ({"kind": "demo", "names": []}, "names\n.*at least 1"),
        ({"kind": "demo", "limit": 0}, "limit\n.*greater"),
    ],
)
def test_entry_that_is_not_valid(settings, message):
    with pytest.raises(ValidationError, match=message):
        entry(**settings)


@pytest.mark.parametrize("name", ["", ".hidden", "..", "-rf", "a/b", "a\\b", "a b", "a\n", "a\0", "é", "x" * 61])
def test_name_that_is_no_plain_name(name):
    with pytest.raises(ValidationError, match="name\n"):
        Demo(name=name)


def test_names_may_be_long():
    assert Demo(name="x" * 60).name == "x" * 60


def test_settings_stay_as_they_are():
    with pytest.raises(ValidationError, match="frozen"):
        Demo().limit = 3


@pytest.mark.parametrize(
    ("dataset", "count"),
    [
        (ImageNet(path=Path()), 1000),
        (PrivatePlaces365(path=Path()), 365),
        (Folder(path=(Path(),)), None),
        (Folder(path=(Path(),), labels=Path("l.csv"), num_classes=5), 5),
        (Demo(), None),
    ],
)
def test_classes_that_the_labels_count(dataset, count):
    assert dataset.num_classes == count


def test_limit_takes_the_first_and_changes_no_name(tmp_path):
    for name in ("a/cat.png", "a/dog.png", "b/cat.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    whole = Folder(path=(tmp_path,)).find()
    for limit in range(1, 5):
        assert Folder(path=(tmp_path,), limit=limit).find() == whole[:limit]
    assert whole == find_photos([tmp_path])


def test_names_given_before_are_kept(tmp_path):
    folder = parse_path(tmp_path).resolve()
    for name in ("cat.png", "dog.png"):
        (folder / name).write(b"")
    known = KnownNames({folder / "cat.png": "tom", folder / "elsewhere.png": "dog"})
    photos = Folder(path=(tmp_path,)).find(known)
    assert [photo.key for photo in photos] == ["cat.png", "dog.png"]
    assert photos[0].name == "tom"
    assert photos[1].name.startswith("dog-")


# Folders


def test_images_of_a_folder(tmp_path):
    for name in (
        "b.PNG",
        "a.Jpeg",
        "notes.txt",
        "._a.jpg",
        "val/c.webp",
        "val/deep/d.png",
        "other/e.png",
        ".val/f.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    folder = parse_path(tmp_path)
    files, folders = list_images(folder, ("val", ".val"))
    assert [path.relative_to(folder) for path in files] == ["a.Jpeg", "b.PNG", "val/c.webp"]
    assert [path.relative_to(folder) for path in folders] == ["folder.png", "other", "val", "val/deep"]


@pytest.mark.parametrize("dataset", [ImageNet, PrivatePlaces365])
@pytest.mark.parametrize(
    ("name", "reason"), [("gone", "No such file"), ("file", "Not a directory"), ("nul\0", "null byte")]
)
def test_folder_that_cannot_be_opened(tmp_path, dataset, name, reason):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"cannot open '.*{name.strip(chr(0))}.*{reason}") as caught:
        dataset(path=tmp_path / name).find(allow_missing=True)
    assert "\n" not in str(caught.value)


# The package


def test_every_name_is_there():
    for name in edgefool.datasets.__all__:
        assert getattr(edgefool.datasets, name) is not None
    with pytest.raises(AttributeError, match="cifar"):
        edgefool.datasets.cifar  # noqa: B018


def test_names_can_be_replaced_for_later_imports(monkeypatch):
    monkeypatch.setattr("edgefool.datasets.find_photos", len)
    from edgefool.datasets import find_photos as replaced

    assert replaced is len


def test_settings_do_not_wait_for_torch():
    modules = ", ".join(
        f"edgefool.datasets.{m}"
        for m in ("demo_dataset", "entry", "huggingface", "torch_dataset", "folder_dataset", "imagenet", "photo")
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
