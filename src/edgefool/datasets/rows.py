"""Photos that are rows of a table, not files."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from edgefool.datasets.photo import KnownNames, Photo, PhotoFile, name_photos
from edgefool.storage import StorePath
from edgefool.storage.read_only_store import ReadOnlyStore


class RowStore(ReadOnlyStore):
    """The images of a table by keys that end with the number of the row, such as ``train/000012``."""

    @abstractmethod
    def read_row(self, row: int) -> bytes:
        """Return the image file in a row, counted from 0; raise `OSError` if it cannot be read."""

    def read(self, key: str) -> bytes:
        """Return the image file of a key."""
        return self.read_row(int(key.rpartition("/")[2]))

    def photos(self, split: str, labels: Sequence[int | None], known: KnownNames) -> list[Photo]:
        """Return the first rows of a split as photos, as many as there are labels."""
        keys = [f"{split}/{row:06}" for row in range(len(labels))]
        found = name_photos([PhotoFile(StorePath(self, key), key) for key in keys], known)
        return [replace(photo, label=label) for photo, label in zip(found, labels, strict=True)]
