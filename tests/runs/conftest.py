"""A cell, records, and images that are saved with hashes of their own."""

from collections.abc import Callable

import pytest

from edgefool.runs import Cell, Record, RunFolder
from edgefool.runs.records import sha256

CELL = Cell(
    dataset="photos",
    method="edgefool",
    constants={"alpha": 10.0},
    fingerprint="00",
    size=32,
    seed=0,
    label="edgefool",
    classifier="tiny",
    num_classes=5,
)


@pytest.fixture
def cell() -> Cell:
    return CELL


@pytest.fixture
def changed() -> Callable[..., Cell]:
    """Return what makes the cell with other settings."""
    return lambda **settings: Cell.model_validate(CELL.model_dump() | settings)


@pytest.fixture
def record() -> Callable[..., Record]:
    """Return what makes a record, not saved."""

    def make(image: str = "cat", cell: str = "photos/edgefool/tiny", **fields: object) -> Record:
        names = {"cell": cell, "dataset": "photos", "image": image, "source": f"{image}.png"}
        return Record(**names, method="edgefool", classifier="tiny", **fields)

    return make


@pytest.fixture
def saved(record: Callable[..., Record]) -> Callable[..., Record]:
    """Return what saves a record with files of its own."""

    def save(run: RunFolder, image: str = "cat", success: bool = True, **fields: object) -> Record:
        files = {kind: f"{kind} {image}".encode() for kind in ("originals", "images", "structure")}
        hashes = {"original_png": "originals", "png": "images", "structure_png": "structure"}
        one = record(image, success=success, **fields, **{name: sha256(files[kind]) for name, kind in hashes.items()})
        run.save(
            one, {run.image_path(one.kind if kind == "images" else kind, one): data for kind, data in files.items()}
        )
        return one

    return save
