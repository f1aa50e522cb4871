"""The photos that come with scikit-image and scikit-learn, as a dataset."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from edgefool.datasets.dataset import Dataset
from edgefool.datasets.photo import KnownNames, Photo

# The names in `DEMO_PHOTOS`, whose module imports torch and more.
DemoName = Literal["cat", "coffee", "astronaut", "rocket", "motorcycle", "temple", "flower"]


class Demo(Dataset):
    """Seven photos for trying EdgeFool offline, written to the user's cache at the first use.

    Attributes
    ----------
    names : tuple of str or None
        The photos, in this order; by default all.
    """

    kind: Literal["demo"] = "demo"
    names: Annotated[tuple[DemoName, ...], Field(min_length=1)] | None = None

    num_classes: ClassVar[None] = None
    images: ClassVar[int] = 7
    source: ClassVar[str] = "come with scikit-image and scikit-learn, need no download"
    licence: ClassVar[str] = "free to use (see those packages)"
    about: ClassVar[str] = "photos for trying things offline"

    def _find_all(self, known: KnownNames, allow_missing: bool) -> list[Photo]:
        from edgefool.classifiers.downloads import cache_folder, writing_cache
        from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos  # these import torch
        from edgefool.datasets.folder import find_photos

        folder = cache_folder() / "demo-photos"
        with writing_cache(folder):
            paths = write_demo_photos(folder, list(self.names or DEMO_PHOTOS))
        return find_photos(paths, known)
