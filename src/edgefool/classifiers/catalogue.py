"""The classifiers that EdgeFool knows by name: their architectures, weights and training data.

Importing this module does not import torch.
"""

from dataclasses import dataclass, replace
from typing import Literal

from edgefool.classifiers.preprocessing import IMAGENET, Preprocessing

TrainingData = Literal["ImageNet", "Places365", "Caltech-101"]

NUM_CLASSES: dict[TrainingData, int] = {"ImageNet": 1000, "Places365": 365, "Caltech-101": 53}
"""Number of classes of each training dataset."""


@dataclass(frozen=True)
class ClassifierInfo:
    """One classifier with one set of weights.

    Attributes
    ----------
    name : str
        Name in `CLASSIFIERS`.
    architecture : str
        ``torchvision:NAME`` or ``shipped:NAME``.
    url : str or None
        Address of the weights. None: they come with the package.
    sha256 : str or None
        SHA-256 of the file, or its first digits. None: not published; it is recorded at the first use.
    dataset : str
        Training data, a key of `NUM_CLASSES`.
    licence : str
        Terms of the weights.
    about : str
        One line for people.
    preprocessing : Preprocessing
        What the network expects.
    """

    name: str
    architecture: str
    dataset: TrainingData
    licence: str
    about: str
    url: str | None = None
    sha256: str | None = None
    preprocessing: Preprocessing = IMAGENET

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return NUM_CLASSES[self.dataset]


def _imagenet(name: str, file: str, about: str) -> ClassifierInfo:
    return ClassifierInfo(
        name=name,
        architecture=f"torchvision:{name}",
        url=f"https://download.pytorch.org/models/{file}",
        sha256=file.removesuffix(".pth").rpartition("-")[2],
        dataset="ImageNet",
        licence="BSD-3-Clause (torchvision); ImageNet's terms of access",
        about=about,
    )


def _places365(network: str, about: str) -> ClassifierInfo:
    return ClassifierInfo(
        name=f"{network}-places365",
        architecture=f"torchvision:{network}",
        url=f"http://places2.csail.mit.edu/models_places365/{network}_places365.pth.tar",
        dataset="Places365",
        licence="CC BY (MIT CSAIL)",
        about=about,
    )


def _shipped(network: str, about: str) -> ClassifierInfo:
    return ClassifierInfo(
        name=f"caltech101-{network}",
        architecture=f"shipped:{network}",
        dataset="Caltech-101",
        licence="Apache-2.0; images CC BY 4.0",
        about=about,
        preprocessing=replace(IMAGENET, input_size=112),
    )


CLASSIFIERS: dict[str, ClassifierInfo] = {
    info.name: info
    for info in (
        _imagenet("resnet50", "resnet50-0676ba61.pth", "the paper's ResNet-50; top-1 76.1 %"),
        _imagenet("resnet18", "resnet18-f37072fd.pth", "the paper's ResNet-18; top-1 69.8 %"),
        _imagenet("alexnet", "alexnet-owt-7be5be79.pth", "the paper's AlexNet; top-1 56.5 %"),
        _places365("resnet50", "scenes, the paper's ResNet-50"),
        _places365("resnet18", "scenes, the paper's ResNet-18"),
        _places365("alexnet", "scenes, the paper's AlexNet"),
        _shipped("resnet", "small residual network, needs no download"),
        _shipped("alexnet", "small plain network, needs no download"),
    )
}
"""Every classifier by its name."""
