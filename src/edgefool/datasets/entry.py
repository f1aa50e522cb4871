"""All kinds of datasets: their entries ``[[datasets]]`` in a plan, and their descriptions."""

from typing import Annotated

from pydantic import Field

from edgefool.datasets.dataset import Dataset
from edgefool.datasets.demo_dataset import Demo
from edgefool.datasets.folder_dataset import Folder
from edgefool.datasets.huggingface import HuggingFace
from edgefool.datasets.imagenet import ImageNet
from edgefool.datasets.places365 import PrivatePlaces365
from edgefool.datasets.torch_dataset import TorchDataset

DatasetEntry = Annotated[
    ImageNet | PrivatePlaces365 | Folder | HuggingFace | Demo | TorchDataset, Field(discriminator="kind")
]
"""An entry of a plan; its ``kind`` selects the class."""

_KINDS: tuple[type[Dataset], ...] = (ImageNet, PrivatePlaces365, Folder, HuggingFace, Demo)

DATASETS = {info.kind: info for info in (kind.info() for kind in _KINDS)}
"""The description of each kind of dataset, by name."""
