"""Every method against a real classifier and real photos."""

import pytest
import torch

from edgefool.attacks import CW, METHODS, SparseFool
from edgefool.classifiers import load_classifier
from edgefool.images import read_image, resize_image

QUICK = {"cw": CW(max_iterations=20), "sparsefool": SparseFool(max_iterations=50)}


@pytest.fixture(scope="module", params=["resnet18", "resnet50"])
def classifier(request, shared):
    return load_classifier(request.param, weights=shared / "classifiers" / f"{request.param}.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_real_photos(name, classifier, shared):
    paths = sorted((shared / "images" / "nips2017").glob("*.png"))[:4]
    images = torch.stack([resize_image(read_image(path), 224) for path in paths])
    result = QUICK.get(name, METHODS[name]())(classifier, images, batch_size=4)
    if name not in ("enhance", "semanticadv"):  # these do not follow the classifier
        assert result.success_float.all()
    with torch.no_grad():
        assert torch.equal(classifier(result.adversarial).argmax(1), result.adversarial_class)
