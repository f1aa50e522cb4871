from .dataset import Dataset, DatasetInfo
from .demo import DEMO_PHOTOS, demo_photo
from .demo_dataset import Demo
from .entry import DATASETS, DatasetEntry
from .folder import find_photos
from .folder_dataset import Folder
from .huggingface import HuggingFace
from .imagenet import ImageNet, imagenet_labels, imagenet_wnids, paper_subset
from .pairs import Pairs, pair_photos
from .photo import KnownNames, Photo
from .places365 import PrivatePlaces365, private_classes
from .torch_dataset import TorchDataset

__all__ = [
    "DATASETS",
    "DEMO_PHOTOS",
    "Dataset",
    "DatasetEntry",
    "DatasetInfo",
    "Demo",
    "Folder",
    "HuggingFace",
    "ImageNet",
    "KnownNames",
    "Pairs",
    "Photo",
    "PrivatePlaces365",
    "TorchDataset",
    "demo_photo",
    "find_photos",
    "imagenet_labels",
    "imagenet_wnids",
    "pair_photos",
    "paper_subset",
    "private_classes",
]
