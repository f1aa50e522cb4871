"""The demo photos as a dataset."""

from typing import get_args

import pytest

from edgefool.datasets import Demo
from edgefool.datasets.demo import DEMO_PHOTOS
from edgefool.datasets.demo_dataset import DemoName
from edgefool.storage import parse_path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEFOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_names_are_those_of_the_photos():
    assert get_args(DemoName) == tuple(DEMO_PHOTOS)


def test_all_in_their_order(cache, monkeypatch):
    photos = Demo().find()
    assert [photo.name for photo in photos] == list(DEMO_PHOTOS)
    assert all(
        photo.label is None and photo.path.parent == parse_path(cache / "demo-photos").resolve() for photo in photos
    )
    monkeypatch.setattr("edgefool.datasets.demo.encode_png", None)  # they are there
    assert Demo().find() == photos
    assert Demo(limit=2).find() == photos[:2]


def test_some_in_the_order_given(cache):
    assert [photo.name for photo in Demo(names=("temple", "cat")).find()] == ["temple", "cat"]
    assert not (cache / "demo-photos" / "coffee.png").exists()
