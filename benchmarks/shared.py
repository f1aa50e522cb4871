"""What benchmarks run on: real classifiers and photos where they are at hand, else those of the package."""

import csv
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from edgefool.classifiers import CLASSIFIERS, Classifier, load_classifier
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
