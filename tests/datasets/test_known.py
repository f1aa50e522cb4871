"""The facts about the datasets fit the datasets."""

from typing import get_args

import pytest

from edgefool.datasets import KNOWN, DatasetEntry, imagenet_labels, paper_subset
from edgefool.datasets.demo import DEMO_PHOTOS
from edgefool.datasets.places365 import _labels

KINDS = {kind.model_fields["kind"].default: kind for kind in get_args(get_args(DatasetEntry)[0])}


def test_every_kind_is_known():
    assert list(KNOWN) == list(KINDS)
    assert all(facts.kind == kind for kind, facts in KNOWN.items())


@pytest.mark.parametrize("kind", KINDS)
def test_fields(kind):
    fields = KINDS[kind].model_fields
    assert set(KNOWN[kind].needs) == {name for name, field in fields.items() if field.is_required()}
    assert set(KNOWN[kind].takes) == fields.keys() - {"kind", *KNOWN[kind].needs}


def test_numbers():
    assert len(paper_subset()) == KNOWN["imagenet"].images
    assert max(imagenet_labels().values()) + 1 == KNOWN["imagenet"].classes == KINDS["imagenet"].num_classes
    assert len(_labels()) == KNOWN["private-places365"].images
    assert KNOWN["private-places365"].classes == KINDS["private-places365"].num_classes
    assert len(DEMO_PHOTOS) == KNOWN["demo"].images
