"""The photos that come with scikit-image and scikit-learn, as a dataset."""

from typing import Annotated, ClassVar, Literal

from filelock import FileLock
from pydantic import Field

from edgefool.datasets.dataset import Dataset
from edgefool.datasets.photo import KnownNames, Photo

# Those of `DEMO_PHOTOS`, whose module imports torch and much else.
DemoName = Literal["cat", "coffee", "astronaut", "rocket", "motorcycle", "temple", "flower"]


class Demo(Dataset):
    """Seven photos for trying things offline, written to the user's cache when they are first looked for.

    Attributes
    ----------
    names : several or None
        Which, and in which order; by default all.
    """

    kind: Literal["demo"] = "demo"
    names: Annotated[tuple[DemoName, ...], Field(min_length=1)] | None = None

    num_classes: ClassVar[None] = None
    images: ClassVar[int] = 7
    source: ClassVar[str] = "come with scikit-image and scikit-learn, need no download"
    licence: ClassVar[str] = "free to use (see those packages)"
    about: ClassVar[str] = "photos for trying things offline"

    def _find_all(self, known: KnownNames, allow_missing: bool) -> list[Photo]:
        from edgefool.classifiers import cache_folder
        from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos  # these import torch
        from edgefool.datasets.folder import find_photos

        folder = cache_folder() / "demo-photos"
        names = list(self.names or DEMO_PHOTOS)
        paths = [folder / f"{name}.png" for name in names]
        if not all(path.exists() for path in paths):  # once they are, the cache may be read-only
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):  # other runs may write them at the same time
                write_demo_photos(folder, names)
        return find_photos(paths, known)
