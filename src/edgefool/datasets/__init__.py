"""Where the photos come from: datasets by name, or files, folders and patterns.

Names are resolved on first use, so that listing the datasets does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgefool.datasets.dataset import Dataset
    from edgefool.datasets.demo_dataset import Demo
    from edgefool.datasets.entry import DatasetEntry
    from edgefool.datasets.folder import Photo, find_photos
    from edgefool.datasets.folder_dataset import Folder
    from edgefool.datasets.imagenet import ImageNet, imagenet_labels, imagenet_wnids, paper_subset
    from edgefool.datasets.known import KNOWN, Facts
    from edgefool.datasets.places365 import PrivatePlaces365, private_classes

__all__ = [
    "KNOWN",
    "Dataset",
    "DatasetEntry",
    "Demo",
    "Facts",
    "Folder",
    "ImageNet",
    "Photo",
    "PrivatePlaces365",
    "find_photos",
    "imagenet_labels",
    "imagenet_wnids",
    "paper_subset",
    "private_classes",
]

_HOMES = {
    "KNOWN": "known",
    "Dataset": "dataset",
    "DatasetEntry": "entry",
    "Demo": "demo_dataset",
    "Facts": "known",
    "Folder": "folder_dataset",
    "ImageNet": "imagenet",
    "Photo": "folder",
    "PrivatePlaces365": "places365",
    "find_photos": "folder",
    "imagenet_labels": "imagenet",
    "imagenet_wnids": "imagenet",
    "paper_subset": "imagenet",
    "private_classes": "places365",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
