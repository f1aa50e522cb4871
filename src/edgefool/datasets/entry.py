"""Every kind of dataset: as an entry ``[[datasets]]`` of a plan, and what people need to know of it."""

from typing import Annotated

from pydantic import Field

from edgefool.datasets.dataset import Dataset
from edgefool.datasets.demo_dataset import Demo
from edgefool.datasets.folder_dataset import Folder
from edgefool.datasets.imagenet import ImageNet
from edgefool.datasets.places365 import PrivatePlaces365

DatasetEntry = Annotated[ImageNet | PrivatePlaces365 | Folder | Demo, Field(discriminator="kind")]
"""What its ``kind`` says."""

_KINDS: tuple[type[Dataset], ...] = (ImageNet, PrivatePlaces365, Folder, Demo)

DATASETS = {info.kind: info for info in (kind.info() for kind in _KINDS)}
"""What people need to know of every kind of dataset, by its name."""
