"""The classifiers that EdgeFool knows by name, as facts: what each is, where its weights are, what it was trained on.

Importing this module imports neither torch nor torchvision.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One classifier with one set of weights.

    Attributes
    ----------
    name : str
        Name in the catalogue.
    architecture : str
        ``torchvision:NAME`` or ``shipped:NAME``.
    weights : str
        Tag of the weights.
    url : str or None
        Where the weights are downloaded from; None: they come with the package.
    sha256 : str or None
        SHA-256 of the file, or its first digits; None: unpublished, remembered on first use.
    dataset : str
        What it was trained on: ``ImageNet``, ``Places365`` or ``Caltech-101``.
    num_classes : int
        Number of logits.
    input_size : int
        Height and width of the network's input, in pixels.
    interpolation : str
        How images are resized to it.
    mean, std : tuple of three floats
        Of R, G and B in [0, 1].
    licence : str
        Terms of the weights.
    about : str
        One line for people.
    """

    name: str
    architecture: str
    weights: str
    url: str | None
    sha256: str | None
    dataset: str
    num_classes: int
    licence: str
    about: str
    input_size: int = 224
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def _imagenet(name: str, file: str, about: str) -> Entry:
    return Entry(
        name=name,
        architecture=f"torchvision:{name}",
        weights="IMAGENET1K_V1",
        url=f"https://download.pytorch.org/models/{file}",
        sha256=file.removesuffix(".pth").rpartition("-")[2],
        dataset="ImageNet",
        num_classes=1000,
        licence="BSD-3-Clause (torchvision); ImageNet's terms of access",
        about=about,
    )


def _places365(network: str, about: str) -> Entry:
    return Entry(
        name=f"{network}-places365",
        architecture=f"torchvision:{network}",
        weights="Places365",
        url=f"http://places2.csail.mit.edu/models_places365/{network}_places365.pth.tar",
        sha256=None,
        dataset="Places365",
        num_classes=365,
        licence="CC BY (MIT CSAIL)",
        about=about,
    )


def _shipped(network: str, about: str) -> Entry:
    return Entry(
        name=f"caltech101-{network}",
        architecture=f"shipped:{network}",
        weights="Caltech-101",
        url=None,
        sha256=None,
        dataset="Caltech-101",
        num_classes=53,
        licence="Apache-2.0; images CC BY 4.0",
        about=about,
        input_size=112,
    )


CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
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
"""Every entry by its name."""
