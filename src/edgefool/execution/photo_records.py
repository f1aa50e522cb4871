"""What the record of a photo says before it is attacked, and if it cannot be."""

import hashlib
from typing import Any

from edgefool.datasets import Photo
from edgefool.runs import Cell, Record
from edgefool.runs.records import source_text


def error_record(folder: str, cell: Cell, photo: Photo, reason: str, sha256: str | None = None) -> Record:
    """Return the record of a photo that could not be attacked."""
    return Record(**photo_fields(folder, cell, photo), sha256=sha256, error=reason)


def photo_fields(folder: str, cell: Cell, photo: Photo) -> dict[str, Any]:
    """Return the fields of a record that follow from its cell and its photo."""
    return {
        "cell": folder,
        "dataset": cell.dataset,
        "image": photo.name,
        "source": source_text(photo.key),
        "label": photo.label,
        "method": cell.label,
        "classifier": cell.classifier,
    }


def image_seed(seed: int, sha256: str) -> int:
    """Return an image's own seed, in [0, 2^63), from the run's seed and the SHA-256 of the photo's bytes."""
    digest = hashlib.sha256(f"{seed}:{sha256}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
