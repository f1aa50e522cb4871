import subprocess
import sys

import pytest
import torch

from edgefool.classifiers.architectures import count_classes, find_builder, published_preprocessing
from edgefool.classifiers.catalogue import CLASSIFIERS
from edgefool.classifiers.class_names import class_names
from edgefool.classifiers.vision import torchvision


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_builds_with_its_number_of_classes_which_all_have_names(name):
    info = CLASSIFIERS[name]
    build = find_builder(info.architecture)
    with torch.device("meta"):
        net = build(info.num_classes)
        size = info.preprocessing.input_size
        assert net.eval()(torch.zeros(2, 3, size, size)).shape == (2, info.num_classes)
    assert count_classes(build, net.state_dict()) == info.num_classes
    names = class_names(info.num_classes, dataset=info.dataset)
    assert len(names) == info.num_classes
    assert not any(class_name.isdigit() or class_name != class_name.strip() for class_name in names)


@pytest.mark.parametrize("name", ["resnet50", "resnet18", "alexnet"])
def test_imagenet_weights_are_torchvision_s_first(name):
    info, published = CLASSIFIERS[name], torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    assert info.url == published.url
    assert info.url.endswith(f"-{info.sha256}.pth")
    assert len(info.sha256) == 8
    assert info.preprocessing == published_preprocessing(info.architecture)


@pytest.mark.parametrize("name", ["resnet50", "resnet18", "alexnet"])
def test_places365_weights_are_the_official_files(name):
    url = CLASSIFIERS[f"{name}-places365"].url
    assert url == f"http://places2.csail.mit.edu/models_places365/{name}_places365.pth.tar"


def test_listing_does_not_import_torch():
    code = (
        "import sys; from edgefool.classifiers import CLASSIFIERS, ClassifierInfo, Preprocessing, cache_folder;"
        "assert len(CLASSIFIERS) > 5; assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
