"""A dataset of any kind, as an entry ``[[datasets]]`` of a plan."""

from typing import Annotated

from pydantic import Field

from edgefool.datasets.demo_dataset import Demo
from edgefool.datasets.folder_dataset import Folder
from edgefool.datasets.imagenet import ImageNet
from edgefool.datasets.places365 import PrivatePlaces365

DatasetEntry = Annotated[ImageNet | PrivatePlaces365 | Folder | Demo, Field(discriminator="kind")]
"""What its ``kind`` says: `ImageNet`, `PrivatePlaces365`, `Folder` or `Demo`."""
