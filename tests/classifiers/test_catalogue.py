import subprocess
import sys

import pytest

from edgefool.classifiers.catalogue import CATALOGUE
from edgefool.classifiers.vision import torchvision


def test_the_paper_s_classifiers_and_two_offline():
    assert set(CATALOGUE) == {
        *("resnet50", "resnet18", "alexnet"),
        *("resnet50-places365", "resnet18-places365", "alexnet-places365"),
        *("caltech101-resnet", "caltech101-alexnet"),
    }


def test_entries_agree_with_their_names():
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert len(entry.about) < 60
        assert (entry.url is None) == name.startswith("caltech101-")
        assert entry.num_classes == {"ImageNet": 1000, "Places365": 365, "Caltech-101": 53}[entry.dataset]


@pytest.mark.parametrize("name", ["resnet50", "resnet18", "alexnet"])
def test_imagenet_entries_are_torchvision_s_first_weights(name):
    entry, published = CATALOGUE[name], torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    images = published.transforms()
    assert entry.url == published.url
    assert entry.url.endswith(f"-{entry.sha256}.pth")
    assert len(entry.sha256) == 8
    assert [entry.input_size] == images.crop_size
    assert (list(entry.mean), list(entry.std)) == (images.mean, images.std)
    assert entry.interpolation == images.interpolation.value


@pytest.mark.parametrize("name", ["resnet50", "resnet18", "alexnet"])
def test_places365_entries_are_the_official_files(name):
    url = CATALOGUE[f"{name}-places365"].url
    assert url == f"http://places2.csail.mit.edu/models_places365/{name}_places365.pth.tar"


def test_listing_does_not_wait_for_torch():
    code = (
        "import sys; from edgefool.classifiers import CATALOGUE, Entry;"
        "assert len(CATALOGUE) > 5; assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
