"""Photos that come with scikit-image and scikit-learn, for trying EdgeFool offline."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_image
from torch import Tensor

from edgefool.images import encode_png
from edgefool.storage import parse_path

DEMO_PHOTOS: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "cat": data.chelsea,
    "coffee": data.coffee,
    "astronaut": data.astronaut,
    "rocket": data.rocket,
    "motorcycle": lambda: data.stereo_motorcycle()[0],  # type: ignore[no-untyped-call]
    "temple": lambda: load_sample_image("china.jpg"),
    "flower": lambda: load_sample_image("flower.jpg"),
}


def demo_photo(name: str) -> Tensor:
    """Return a photo of `DEMO_PHOTOS`, (3, H, W), RGB in [0, 1].

    >>> demo_photo("cat").shape
    torch.Size([3, 300, 451])
    """
    return torch.from_numpy(DEMO_PHOTOS[name]().copy()).permute(2, 0, 1).float() / 255


def write_demo_photos(folder: Path, names: list[str]) -> list[Path]:
    """Return the paths of the named photos in ``folder``, as PNG; those that are missing are written."""
    paths = [folder / f"{name}.png" for name in names]
    for name, path in zip(names, paths, strict=True):
        if not path.exists():
            parse_path(path).write(encode_png(demo_photo(name)))
    return paths
