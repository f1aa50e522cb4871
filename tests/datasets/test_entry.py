"""What people read of the datasets is true: a plan takes what it says, and as many images are found."""

from typing import Any

import pytest

from edgefool.datasets import DATASETS, Dataset
from edgefool.errors import UsageError
from edgefool.experiments import make_plan

VALUES = {
    "path": "photos",
    "subset": "all",
    "labels": "labels.csv",
    "num_classes": 5,
    "names": ["cat"],
    "config": "small",
    "split": "test",
    "revision": "v1",
    "image": "picture",
    "label": "class",
    "streaming": True,
    "name": "mine",
    "limit": 3,
}
"""A value of each field of any entry."""

PAIRS = {("folder", "labels"): ("num_classes",), ("folder", "num_classes"): ("labels",)}
"""Fields that come together."""

FIELDS = [(kind, field) for kind, info in DATASETS.items() for field in info.takes]


def entry(kind: str, *fields: str) -> dict[str, Any]:
    return {"kind": kind} | {field: VALUES[field] for field in fields}


def plan_dataset(settings: dict[str, Any]) -> Dataset:
    """Return the dataset of a plan with this entry."""
    plan = make_plan(
        {"datasets": [settings], "classifiers": [{"name": "resnet18"}], "methods": [{"name": "enhance"}], "size": 32}
    )
    (dataset,) = plan.datasets
    return dataset


@pytest.mark.parametrize("kind", DATASETS)
def test_a_plan_takes_an_entry_with_what_it_needs(kind):
    dataset = plan_dataset(entry(kind, *DATASETS[kind].needs))
    assert (dataset.kind, dataset.name) == (kind, kind)


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_plan_takes_each_field_that_it_may_give(kind, field):
    fields = [*DATASETS[kind].needs, field, *PAIRS.get((kind, field), ())]
    without = plan_dataset(entry(kind, *DATASETS[kind].needs))
    assert getattr(plan_dataset(entry(kind, *fields)), field) != getattr(without, field), "the field does nothing"


@pytest.mark.parametrize(("kind", "need"), [(kind, need) for kind, info in DATASETS.items() for need in info.needs])
def test_a_plan_refuses_an_entry_without_a_need(kind, need):
    with pytest.raises(UsageError, match=need):
        plan_dataset(entry(kind, *(field for field in DATASETS[kind].needs if field != need)))


@pytest.mark.parametrize("kind", DATASETS)
def test_a_plan_refuses_every_other_field(kind):
    info = DATASETS[kind]
    for field in (VALUES.keys() | {"colour"}) - {*info.needs, *info.takes}:
        with pytest.raises(UsageError, match=field):
            plan_dataset(entry(kind, *info.needs) | {field: VALUES.get(field, "x")})


@pytest.mark.parametrize("kind", [kind for kind, info in DATASETS.items() if info.images is not None])
def test_as_many_images_and_classes_as_they_say(kind, tmp_path, monkeypatch):
    """The lists name the missing ones, up to the number that is listed."""
    monkeypatch.setenv("EDGEFOOL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    info = DATASETS[kind]
    settings = entry(kind, *info.needs) | ({"path": str(tmp_path / "photos")} if "path" in info.needs else {})
    dataset = plan_dataset(settings)
    assert dataset.num_classes == info.classes
    if info.needs:
        with pytest.raises(UsageError, match=f"none of the {info.images:,} images is in"):
            dataset.find()
    else:
        assert len(dataset.find()) == info.images
