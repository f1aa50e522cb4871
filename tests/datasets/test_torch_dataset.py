"""Datasets of torch: images and labels, from `find` to a run."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset, TensorDataset
from torchvision.datasets import FakeData, ImageFolder

from edgefool.datasets import TorchDataset
from edgefool.errors import UsageError
from edgefool.execution.distributed.driver import run_distributed
from edgefool.experiments import Experiment, make_plan
from edgefool.images import read_image
from edgefool.report import load_results, make_tables
from edgefool.runs import load_records

LEVELS = torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Numbered:
    """Images without labels, which count how often they are read."""

    def __init__(self, images):
        self.images, self.reads = images, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        self.reads += 1
        return self.images[row]


def pixels(levels):
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def with_profile(image):
    image.info["icc_profile"] = b"of some screen"
    return image


@pytest.mark.parametrize(
    "image",
    [
        LEVELS,
        LEVELS / 255,
        (LEVELS / 255).double(),
        pixels(LEVELS),
        pixels(LEVELS).convert("RGBA"),
        with_profile(pixels(LEVELS)),
    ],
    ids=["uint8", "float32", "float64", "Pillow", "alpha", "profile"],
)
def test_every_kind_of_image_is_read_as_its_levels(image):
    (photo,) = TorchDataset([image]).find()
    assert (photo.key, photo.name, photo.label) == ("rows/000000", "000000", None)
    assert torch.equal(read_image(photo.path), LEVELS / 255)


@pytest.mark.parametrize("image", [LEVELS[:1], pixels(LEVELS).convert("L"), pixels(LEVELS).convert("LAB")])
def test_grey_and_other_colours(image):
    (photo,) = TorchDataset([image]).find()
    expected = image.expand(3, -1, -1).permute(1, 2, 0) if isinstance(image, torch.Tensor) else image.convert("RGB")
    assert np.array_equal(Image.open(io.BytesIO(photo.path.read())).convert("RGB"), np.asarray(expected))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ((LEVELS / 255 - 0.5) / 0.25, r"pics, row 0: .*\[0, 1\]; found -2"),
        (LEVELS.float(), r"\[0, 1\]; found 255"),
        (LEVELS.int(), "float32 or float64, not torch.int32"),
        (LEVELS[:2] / 255, r"not \(1, 2, 20, 24\)"),
        (LEVELS.numpy(), "a tensor or a Pillow image, not ndarray"),
    ],
)
def test_image_of_another_kind_is_refused_at_once(image, message):
    with pytest.raises(UsageError, match=message):
        TorchDataset([(image, 0)], name="pics").find()


@pytest.mark.parametrize("label", [3, np.int64(3), torch.tensor(3), None])
def test_labels(label):
    (photo,) = TorchDataset([(LEVELS, label)]).find()
    assert photo.label == (None if label is None else 3)
    assert label is None or type(photo.label) is int


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (10, "row 1: the label 10 is not a whole number from 0 to 9"),
        (-1, "row 1: the label -1"),
        ("cat", "row 1: the label 'cat' is not"),
        (0.5, "row 1: the label 0.5 is not"),
    ],
)
def test_label_that_is_no_class(label, message):
    with pytest.raises(UsageError, match=message):
        TorchDataset([(LEVELS, 1), (LEVELS, label)], num_classes=10).find()


@pytest.mark.parametrize(
    ("data", "message"), [([], "empty"), (iter([LEVELS]), "map-style"), (None, "no file can hold")]
)
def test_dataset_that_cannot_be_used(data, message):
    with pytest.raises(UsageError, match=f"torch.*{message}"):
        TorchDataset(data).find()


def test_limit_reads_no_more_than_it_needs():
    data = Numbered([LEVELS] * 9)
    photos = TorchDataset(data, limit=2).find()
    assert [photo.name for photo in photos] == ["000000", "000001"]
    assert data.reads == 3  # two labels, and an image to check
    photos[1].path.read()
    assert data.reads == 4


def test_datasets_of_torch_and_torchvision(tmp_path, make_photo):
    fake = FakeData(size=4, image_size=(3, 16, 16), num_classes=7)
    assert [photo.label for photo in TorchDataset(Subset(fake, [2, 0])).find()] == [int(fake[2][1]), int(fake[0][1])]
    tensors = TensorDataset(torch.rand(2, 3, 16, 16), torch.tensor([4, 0]))
    assert [photo.label for photo in TorchDataset(tensors).find()] == [4, 0]
    files = [make_photo(tmp_path / f"{name}/{seed}.png", seed) for seed, name in enumerate(("cat", "dog", "dog"))]
    folder = TorchDataset(ImageFolder(str(tmp_path)))
    photos = folder.find()
    assert (folder.num_classes, [photo.label for photo in photos]) == (2, [0, 1, 1])
    assert all(torch.equal(read_image(p.path), read_image(f)) for p, f in zip(photos, files, strict=True))
    files[1].write_bytes(b"damaged")
    assert [photo.label for photo in TorchDataset(ImageFolder(str(tmp_path))).find()] == [0, None, 1]


# Runs


@pytest.fixture
def rows(settings, album):
    """Return the photos of the plan as tensors with labels of five classes."""
    return [(read_image(path), row % 5) for row, path in enumerate(sorted(album.iterdir()))]


def test_a_run_is_that_of_the_files_and_is_resumed(carry_out, settings, rows, no_figures):
    plan = settings | {"datasets": [TorchDataset(rows, name="pics", num_classes=5)]}
    done = carry_out(plan)
    assert not done.state.experiment.warnings()
    files = load_records(carry_out(settings, "files").run.path)
    records = load_records(done.run.path)
    assert len(records) == 24
    assert all(records["label"] == records["image"].astype(int) % 5)
    assert set(records["original_png"]) == set(files["original_png"])
    assert records["sha256"].nunique() == 6
    assert carry_out(plan).steps == []
    tables = make_tables(load_results(done.run.path))  # by the plan's file, without the dataset
    assert tables["transferability"]["truth_clean"].notna().all()


def test_changed_images_are_refused(carry_out, settings, rows):
    carry_out(settings | {"datasets": [TorchDataset(rows, name="pics")]})
    rows[2] = (1 - rows[2][0], 2)
    with pytest.raises(UsageError, match="pics/rows/000002 has changed since this run attacked it"):
        carry_out(settings | {"datasets": [TorchDataset(rows, name="pics")]})


def test_labels_without_the_number_of_classes_are_recorded_and_noted(settings, rows):
    experiment = Experiment(make_plan(settings | {"datasets": [TorchDataset(rows, name="pics")]}))
    assert [photo.label for photo in experiment.photos["pics"]] == [0, 1, 2, 3, 4, 0]
    (line,) = [line for line in experiment.warnings() if "num_classes" in line]
    assert line.startswith("pics has labels")


def test_workers_are_refused(settings, rows, carry_out):
    settings["datasets"] = [TorchDataset(rows, name="pics")]
    state = carry_out(settings).state
    with pytest.raises(UsageError, match=r"pics is a dataset of torch.*one process"):
        next(run_distributed(state, None))
