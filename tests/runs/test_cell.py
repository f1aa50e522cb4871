"""A cell is its settings: any other makes it another cell, and nothing else does."""

import hashlib
import json
import math
from dataclasses import asdict

import pytest
from pydantic import ValidationError

from edgefool.attacks import EdgeFool, FromLabels, Misclassification, Targeted
from edgefool.errors import ImageError
from edgefool.runs.cell import Cell, CellMember

CELL = Cell(
    dataset="photos",
    method="edgefool",
    constants=asdict(EdgeFool()),
    fingerprint="ab" * 32,
    size=224,
    seed=0,
    label="EdgeFool",
    classifier="resnet18",
    num_classes=1000,
)
OTHERS = {
    "dataset": "places",
    "method": "enhance",
    "constants": asdict(EdgeFool(kappa=math.inf)),
    "fingerprint": "cd" * 32,
    "size": "native",
    "seed": 3,
    "criterion": "targeted",
    "targets": (7,),
    "groups": "ab" * 32,
}


def changed(**settings: object) -> Cell:
    return Cell.model_validate(CELL.model_dump() | settings)


def test_every_setting_makes_another_cell():
    ids = {CELL.id} | {changed(**{name: value}).id for name, value in OTHERS.items()}
    assert len(ids) == 1 + len(OTHERS)


def test_each_constant_makes_another_cell():
    ids = {changed(constants=CELL.constants | {name: 0.123}).id for name in CELL.constants}
    assert len(ids | {CELL.id}) == 1 + len(CELL.constants)


def test_names_do_not():
    member = CellMember(classifier="a", fingerprint="ef" * 32, num_classes=3)
    assert changed(label="x", classifier="y", num_classes=5, members=(member,)).id == CELL.id
    assert set(OTHERS) | {"label", "classifier", "num_classes", "members"} == set(Cell.model_fields)


def test_a_cell_of_0_1_0_is_still_the_same():
    """As `0.1.0` computed it: the hash of the settings that it knew."""
    settings = CELL.model_dump(include={"dataset", "method", "constants", "fingerprint", "size", "seed"})
    assert CELL.id == hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def test_the_criterion_of_a_photo():
    assert CELL.criterion_for(3) == Misclassification()
    assert changed(criterion="targeted", targets=(7, 8)).criterion_for(None) == Targeted([[7, 8]])
    assert changed(criterion="labels").criterion_for(3) == FromLabels(3)
    with pytest.raises(ImageError, match="has no label"):
        changed(criterion="labels").criterion_for(None)


def test_id_survives_a_file():
    for cell in (CELL, changed(**OTHERS)):
        again = Cell.model_validate_json(cell.model_dump_json())
        assert again == cell
        assert again.id == cell.id


def test_order_of_constants_does_not_matter():
    assert changed(constants=dict(reversed(CELL.constants.items()))).id == CELL.id


def test_differences_name_both_values():
    other = changed(size="native", seed=3, constants=asdict(EdgeFool(kappa=math.inf)), label="x")
    assert CELL.differences(other) == [
        "size: 224 there, native now",
        "seed: 0 there, 3 now",
        "kappa: 0.0 there, inf now",
    ]
    assert CELL.differences(changed()) == []


def test_differences_say_what_only_one_of_two_cells_has():
    older = {key: value for key, value in CELL.constants.items() if key != "kappa"}
    assert changed(constants=older).differences(CELL) == ["kappa: not set there, 0.0 now"]
    assert CELL.differences(changed(constants=older)) == ["kappa: 0.0 there, not set now"]


@pytest.mark.parametrize("size", [15, 10_001, 0, -1, "large", None, 30.5])
def test_size_out_of_range(size):
    with pytest.raises(ValidationError):
        changed(size=size)
