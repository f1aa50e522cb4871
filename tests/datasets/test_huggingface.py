"""Datasets in the formats of the Hugging Face Hub: local files in each of them, and a Hub that does not answer."""

import pickle
import shutil
import sys
from pathlib import Path

import pytest
import tomli_w

from edgefool.datasets import HuggingFace
from edgefool.datasets.huggingface import is_hub_name
from edgefool.errors import RunError, UsageError
from edgefool.experiments import Experiment, make_plan, read_plan
from edgefool.report import load_results, make_tables
from edgefool.runs import load_records

hub = pytest.importorskip("datasets", reason="the extra huggingface is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="it comes with datasets")
pa = pytest.importorskip("pyarrow", reason="it comes with datasets")

NAMES = ["cat", "dog", "bird", "fish", "newt"]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Return an empty cache of the package datasets."""
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path, make_photo):
    """Return six photos, one of them a JPEG."""
    suffixes = ("png", "png", "jpg", "png", "png", "png")
    return [make_photo(tmp_path / "photos" / f"{n}.{suffix}", n) for n, suffix in enumerate(suffixes)]


@pytest.fixture
def write(tmp_path):
    """Return what writes columns, with the types of the Hub, into a Parquet file."""

    def write(columns, features=None, name="train.parquet"):
        table = hub.Dataset.from_dict(columns, features and hub.Features(features))
        table.to_parquet(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def parquet(write, photos):
    """Return a Parquet file of the photos, with labels of five named classes, one of them unknown."""
    columns = {"image": [str(path) for path in photos], "label": [0, 1, 2, 3, 4, -1], "text": ["?"] * 6}
    features = {"image": hub.Image(), "label": hub.ClassLabel(names=NAMES), "text": hub.Value("string")}
    return write(columns, features)


@pytest.fixture
def unreachable(monkeypatch):
    """Let nothing answer."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(hub.config, "HF_ENDPOINT", "http://127.0.0.1:9")


def files(dataset):
    return [photo.path.read() for photo in dataset.find()]


# What is read


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_are_the_files_with_their_labels(parquet, photos, streaming):
    dataset = HuggingFace(path=parquet, streaming=streaming)
    found = dataset.find()
    assert [photo.key for photo in found] == [f"train/{row:06}" for row in range(6)]
    assert [photo.name for photo in found] == [f"{row:06}" for row in range(6)]
    assert [photo.label for photo in found] == [0, 1, 2, 3, 4, None]
    assert files(dataset) == [path.read_bytes() for path in photos]
    assert dataset.pinned().num_classes == 5
    assert str(found[1].path) == f"{parquet}/train/000001"


@pytest.mark.parametrize("streaming", [False, True])
def test_limit(parquet, photos, streaming):
    dataset = HuggingFace(path=parquet, limit=2, streaming=streaming)
    assert files(dataset) == [path.read_bytes() for path in photos[:2]]


def test_a_stream_is_read_to_its_limit_and_once(parquet, monkeypatch):
    taken = []
    genuine = hub.IterableDataset.__iter__
    monkeypatch.setattr(
        hub.IterableDataset, "__iter__", lambda stream: (taken.append(row) or row for row in genuine(stream))
    )
    settings = {"path": parquet, "limit": 2, "streaming": True}
    first = files(HuggingFace(**settings))
    assert len(taken) == 2
    assert files(HuggingFace(**settings)) == first
    assert len(taken) == 2
    assert len(files(HuggingFace(**settings | {"limit": 3}))) == 3


@pytest.mark.parametrize("column", ["bytes", "struct", "path", "large"])
def test_columns_that_other_tools_write(tmp_path, photos, column):
    data = [path.read_bytes() for path in photos]
    images = {
        "bytes": pa.array(data),
        "large": pa.array(data, pa.large_binary()),
        "struct": pa.array([{"bytes": d, "path": None} for d in data]),
        "path": pa.array([str(path) for path in photos]),
    }[column]
    pq.write_table(pa.table({"picture": images, "class": pa.array([1, 2, 0, 0, 0, 4])}), tmp_path / "x.parquet")
    for streaming in (False, True):
        dataset = HuggingFace(path=tmp_path / "x.parquet", image="picture", label="class", streaming=streaming)
        assert files(dataset) == data
        assert [photo.label for photo in dataset.find()] == [1, 2, 0, 0, 0, 4]
        assert dataset.pinned().num_classes is None


def test_arrays_are_read_as_png(write):
    levels = [[[0, 128, 255]] * 20] * 16
    dataset = HuggingFace(path=write({"image": [levels]}, {"image": hub.List(hub.List(hub.List(hub.Value("uint8"))))}))
    assert files(dataset)[0].startswith(b"\x89PNG")


def test_folder_of_images_and_its_splits(tmp_path, make_photo):
    for split, name in (("train", "dog"), ("train", "cat"), ("test", "cat")):
        make_photo(tmp_path / "album" / split / name / "a.png", len(split + name))
    dataset = HuggingFace(path=tmp_path / "album", split="train")
    assert files(dataset) == [(tmp_path / f"album/train/{name}/a.png").read_bytes() for name in ("cat", "dog")]
    assert [photo.label for photo in dataset.find()] == [0, 1]
    with pytest.raises(UsageError, match=r"album has the splits train, test; choose one \(split\)"):
        HuggingFace(path=tmp_path / "album").find()
    with pytest.raises(UsageError, match=r"valid.*train"):
        HuggingFace(path=tmp_path / "album", split="valid").find()


def test_arrow_files_and_patterns(tmp_path, parquet, photos):
    table = hub.Dataset.from_parquet(str(parquet))
    for number in range(2):
        shard = table.shard(2, number)
        shard.to_parquet(tmp_path / f"part-{number}.parquet")
        shard.save_to_disk(tmp_path / f"disk-{number}")
    expected = [path.read_bytes() for path in photos]
    assert files(HuggingFace(path=str(tmp_path / "part-*.parquet"))) == expected
    assert files(HuggingFace(path=[tmp_path / "part-0.parquet", tmp_path / "part-1.parquet"])) == expected
    assert files(HuggingFace(path=str(tmp_path / "disk-*/*.arrow"))) == expected


def test_a_photo_that_is_missing_is_an_error_of_its_own(write, photos):
    images = [{"bytes": photos[0].read_bytes(), "path": None}, None, {"bytes": None, "path": "gone.png"}]
    images.append({"bytes": None, "path": "nowhere://cat.png"})
    first, *others = HuggingFace(path=write({"image": images})).find()
    assert first.path.read() == photos[0].read_bytes()
    for photo, message in zip(others, ("the row has no image", r"gone\.png", "nowhere"), strict=True):
        with pytest.raises(OSError, match=message):
            photo.path.read()


def test_workers_open_the_rows_again(parquet, photos):
    found = pickle.loads(pickle.dumps(HuggingFace(path=parquet).find()))
    assert [photo.path.read() for photo in found] == [path.read_bytes() for path in photos]
    assert found[0].path.store is found[1].path.store
    again = pickle.loads(pickle.dumps(found))
    assert again[0].path.store is found[0].path.store, "opened once in a process"


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": "imagee"}, "unknown column of .*train.parquet 'imagee'; did you mean image"),
        ({"image": "images; rm -rf /"}, "unknown column of .* 'images; rm -rf /'"),
        ({"image": ""}, "unknown column of .* ''"),
        ({"label": "lable"}, "unknown column of .* 'lable'; did you mean label"),
        ({"label": "text"}, "the column 'text' holds no class numbers"),
        ({"label": "image"}, "the column 'image' holds no class numbers"),
        ({"image": "label"}, "the column 'label' holds no images"),
        ({"split": "test"}, "test"),
        ({"num_classes": 3}, "there is a label 4, but num_classes is 3"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_what_does_not_fit_is_one_line(parquet, settings, message, streaming):
    with pytest.raises(UsageError, match=message) as caught:
        HuggingFace(path=parquet, streaming=streaming, **settings).find()
    assert "\n" not in str(caught.value)


def test_other_paths(tmp_path, parquet):
    with pytest.raises(UsageError, match=r"no such file or folder: '.*gone\.parquet'"):
        HuggingFace(path=tmp_path / "gone.parquet").find()
    with pytest.raises(UsageError, match=r"no such file or folder: '.*no-\*\.parquet'"):
        HuggingFace(path=str(tmp_path / "no-*.parquet")).find()
    (tmp_path / "a.csv").touch()
    with pytest.raises(UsageError, match=r"files of one kind: \.parquet, \.arrow"):
        HuggingFace(path=tmp_path / "a.csv").find()
    parquet.write_bytes(b"damaged")
    with pytest.raises(UsageError, match=r"train\.parquet cannot be loaded: ") as caught:
        HuggingFace(path=parquet).find()
    assert "\n" not in str(caught.value)


@pytest.fixture
def stub_hub(monkeypatch, parquet):
    """Return the calls of `datasets.load_dataset_builder`, which finds the Parquet file as a commit of the Hub."""
    calls, genuine = [], hub.load_dataset_builder

    def load(path, **arguments):
        calls.append({"path": path, **arguments})
        builder = genuine("parquet", data_files=str(parquet))
        builder.hash = 40 * "a"
        return builder

    monkeypatch.setattr(hub, "load_dataset_builder", load)
    return calls


@pytest.mark.parametrize("streaming", [False, True])
def test_a_dataset_of_the_hub(stub_hub, photos, streaming):
    dataset = HuggingFace(path="someone/photos", config="small", revision="v1", streaming=streaming)
    assert files(dataset) == [path.read_bytes() for path in photos]
    assert stub_hub == [{"path": "someone/photos", "name": "small", "revision": "v1"}]
    assert str(dataset.find()[0].path) == "someone/photos/train/000000"
    assert (dataset.pinned().revision, dataset.pinned().split) == (40 * "a", "train")
    pickle.loads(pickle.dumps(dataset.find()))[0].path.read()
    assert stub_hub[1]["revision"] == 40 * "a", "a worker reads the same commit"


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (
            hub.exceptions.DatasetNotFoundError("Dataset 'a/b' is a gated dataset on the Hub. Visit the page."),
            UsageError,
            r"^a/b cannot be loaded: Dataset 'a/b' is a gated dataset on the Hub\. Visit the page\.$",
        ),
        (
            ValueError("Config name is missing.\nPlease pick one among: ['x', 'y']"),
            UsageError,
            r"^a/b cannot be loaded: Config name is missing\. Please pick one among: \['x', 'y'\]$",
        ),
        (ConnectionError("Couldn't reach 'a/b'"), RunError, r"^cannot load a/b from .* \(Couldn't reach 'a/b'\); try"),
        (RuntimeError(), RunError, r"\(RuntimeError\)"),
    ],
)
def test_errors_of_the_hub_are_one_line(monkeypatch, raised, error, message):
    def load(*_, **__):
        raise raised

    monkeypatch.setattr(hub, "load_dataset_builder", load)
    with pytest.raises(error, match=message):
        HuggingFace(path="a/b").find()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_hub_that_cannot_be_reached(unreachable, streaming):
    with pytest.raises(RunError, match=r"cannot load someone/photos from the Hugging Face Hub \(.*\); try again"):
        HuggingFace(path="someone/photos", streaming=streaming).find()


def test_without_the_extra_is_one_line(monkeypatch, parquet):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'edgefool\[huggingface\]'$"):
        HuggingFace(path=parquet).find()


# Plans and runs


def test_names_of_the_hub_and_paths_in_a_plan(tmp_path, settings, parquet):
    def read(path):
        entry = {"kind": "huggingface", "path": path}
        (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings | {"datasets": [entry]}))
        return read_plan(tmp_path / "plan.toml").datasets[0].path

    assert read("uoft-cs/cifar10") == read(["uoft-cs/cifar10"]) == ("uoft-cs/cifar10",)
    assert read("mnist") == ("mnist",)
    assert read("train.parquet") == (str(parquet),)
    assert read("photos") == (str(tmp_path / "photos"),), "a folder that exists is no name"
    assert read("../train-*.parquet") == (str(tmp_path.parent / "train-*.parquet"),)
    assert is_hub_name("photos", Path())
    assert not is_hub_name("photos", tmp_path)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_run_is_recorded_resumed_and_reported(
    carry_out, settings, parquet, streaming, monkeypatch, no_figures, tmp_path
):
    entry = {"kind": "huggingface", "name": "pics", "path": str(parquet), "streaming": streaming}
    plan = settings | {"datasets": [entry]}
    done = carry_out(plan)
    records = load_records(done.run.path)
    assert set(records["source"]) == {f"train/{row:06}" for row in range(6)}
    assert records["sha256"].nunique() == 6
    assert carry_out(plan).steps == []
    # The file may be elsewhere, and the same rows are the same photos.
    moved = shutil.move(parquet, tmp_path / "moved.parquet")
    assert carry_out(settings | {"datasets": [entry | {"path": str(moved)}]}).steps == []
    monkeypatch.setitem(sys.modules, "datasets", None)  # the report needs neither the package nor the files
    tables = make_tables(load_results(done.run.path))
    assert tables["transferability"]["truth_clean"].notna().all()


@pytest.mark.parametrize("streaming", [False, True])
def test_changed_bytes_are_refused(carry_out, settings, write, photos, streaming):
    def plan(order):
        path = write({"image": [str(photos[n]) for n in order]}, {"image": hub.Image()})
        entry = {"kind": "huggingface", "name": "pics", "path": str(path), "streaming": streaming}
        return settings | {"datasets": [entry]}

    carry_out(plan([0, 1, 2]))
    with pytest.raises(UsageError, match=r"train\.parquet/train/000001 has changed since this run attacked it"):
        carry_out(plan([0, 2, 1]))


def test_the_plan_of_the_run_holds_what_was_found(settings, parquet):
    entry = {"kind": "huggingface", "path": str(parquet)}
    (dataset,) = Experiment(make_plan(settings | {"datasets": [entry]})).plan.datasets
    assert (dataset.split, dataset.num_classes, dataset.revision) == ("train", 5, None)


def test_from_the_command_line(edgefool, tmp_path, settings, parquet, no_figures):
    def run(**keys):
        entry = {"kind": "huggingface", "path": "train.parquet", "limit": 2} | keys
        (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings | {"datasets": [entry]}))
        return edgefool("run", tmp_path / "plan.toml", "--out", tmp_path / "run")

    code, _, stderr = run()
    assert (code, "8 images, 8 of them to attack" in stderr) == (0, True)
    code, _, stderr = run(streaming=True)  # the same rows are the same photos
    assert (code, "8 images, 0 of them to attack" in stderr) == (0, True)
    code, stdout, stderr = run(image="img")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert "'img'; did you mean image" in stderr
