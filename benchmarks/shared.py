"""What benchmarks run on: real classifiers and photos where they are at hand, else those of the package."""

import csv
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from edgefool.classifiers import CLASSIFIERS, Classifier, load_classifier
from edgefool.classifiers.architectures import build_network, build_shapes, find_builder
from edgefool.classifiers.checkpoints import load_exactly, read_state_dict
from edgefool.classifiers.class_names import DATA
from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos
from edgefool.images import read_image, resize_image

# `EDGEFOOL_SHARED`, or `shared` beside the checkout.
SHARED = Path(os.environ.get("EDGEFOOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def load(name: str, count: int, device: str = "cpu", side: int = 224) -> tuple[Classifier, list[str], Tensor]:
    """Return a classifier and ``count`` photos, (N, 3, side, side), with their names.

    A shipped classifier gets the demo's photos, again and again if more are asked for; others the first of NIPS 2017.
    """
    if CLASSIFIERS[name].url is None:
        classifier = load_classifier(name, device=device)
        with tempfile.TemporaryDirectory() as folder:
            paths = write_demo_photos(Path(folder), list(DEMO_PHOTOS))
            photos = [(path.name, read_image(path)) for path in paths]
    else:
        classifier = load_classifier(name, weights=SHARED / "classifiers" / f"{name}.safetensors", device=device)
        nips2017 = SHARED / "images" / "nips2017"
        with (nips2017 / "labels.csv").open() as table:
            files = [row["file"] for row in csv.DictReader(table)][:count]
        photos = [(file, read_image(nips2017 / file)) for file in files]
    photos = [photos[index % len(photos)] for index in range(count)]
    images = torch.stack([resize_image(photo, side) for _, photo in photos])
    return classifier, [name for name, _ in photos], images.to(device)


class PlainClassifier(nn.Module):
    """A network as users of other libraries have it: as it was built, behind layers that resize and normalise.

    Parameters
    ----------
    name
        In `CLASSIFIERS`, of a network that is not from timm.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str):
        super().__init__()
        info = CLASSIFIERS[name]
        build = find_builder(info.architecture)
        shipped, published = (
            DATA / f"{name.replace('-', '_')}.safetensors",
            SHARED / "classifiers" / f"{name}.safetensors",
        )
        file = shipped if info.url is None else published
        self.net = build_network(build, info.num_classes)
        load_exactly(self.net, read_state_dict(file, build_shapes(build)), file, name)
        self.preprocessing = info.preprocessing
        self.register_buffer("mean", torch.tensor(self.preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(self.preprocessing.std).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images (N, 3, H, W) in [0, 1]."""
        logits: Tensor = self.net((self.preprocessing.resize(images) - self.mean) / self.std)
        return logits
