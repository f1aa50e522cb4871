"""Rates, tables and words, against counting by hand."""

import io
import json

import pandas as pd
import pytest
from scipy.stats import binomtest

from edgefool.protection.findings import Answers, Finding, Said, VerifiedPhoto
from edgefool.protection.verification import Judge, Verification
from edgefool.protection.verification_page import render

GROUPS = ["pets", "pets", "cars", ""]


def said(index):
    return Said(index=index, name=f"class {index}", probability=0.5, group=GROUPS[index])


def photo(name, before, after, alone=None, pillow=None):
    own = Answers(before=said(before), after=said(after), alone=None if alone is None else said(alone))
    other = Answers(before=said(before), after=said(after if pillow is None else pillow))
    finding = Finding(classifier="f1", version="file", own=own, pillow=other)
    return VerifiedPhoto(photo=name, result=f"r/{name}", photo_size=(8, 9), previews="p", findings=(finding,))


@pytest.fixture
def found():
    photos = [
        photo("a.jpg", 0, 2, alone=0),
        photo("b.jpg", 0, 1, alone=1, pillow=0),
        photo("c.jpg", 3, 0),
        photo("d.jpg", 2, 2, alone=3),
        VerifiedPhoto(photo="e.jpg", result="e.jpg", error="is broken"),
    ]
    return Verification((Judge("net", "f1", False),), tuple(photos))


def test_rates(found):
    rates = found.rates[0]
    counts = {
        name: (round(rate.value * rate.count), rate.count) for name, rate in vars(rates).items() if hasattr(rate, "low")
    }
    assert counts == {
        "changed": (3, 4),
        "alone": (2, 3),
        "left_group": (1, 3),
        "alone_left_group": (1, 3),
        "pillow": (2, 4),
    }
    assert rates.disagree == 1
    interval = binomtest(3, 4).proportion_ci(method="wilson")
    assert (rates.changed.low, rates.changed.high) == pytest.approx((interval.low, interval.high))
    assert str(rates) == "net (not attacked), the file itself: changed class in 3 of 4 photos, 75 % (30 to 96 %)"
    assert found.rates[1].changed.count == 0, "no photo was judged after JPEG"


def test_table(found):
    table = pd.read_csv(io.StringIO(found.table().to_csv(index=False)))
    assert list(table["photo"]) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    assert table["changed"].tolist()[:4] == [True, True, True, False]
    assert table["left_group"].fillna("").tolist()[:4] == [True, False, "", False]
    assert table["resizers_disagree"].tolist()[:4] == [False, True, False, False]
    assert table["pillow_after"].tolist()[1] == "class 0"
    assert table["alone"].isna().tolist() == [False, False, True, False, True]
    assert table["error"].tolist()[4] == "is broken"


def test_json(found):
    data = json.loads(found.to_json())
    assert data["rates"][0]["changed"]["photos"] == 3
    assert data["rates"][1]["changed"] is None
    assert [entry["photo"] for entry in data["photos"]] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    assert data["classifiers"] == [{"name": "net", "fingerprint": "f1", "attacked": False}]


def test_what_is_complete(found):
    assert not found.is_complete
    judges, photos = found.judges, found.photos[:4]
    assert Verification(judges, photos).is_complete
    assert not Verification(judges, photos, ("a.jpg: it has no original",)).is_complete


def test_the_page_says_what_was_weakened_and_how_files_grew(found):
    first, *others = found.photos
    assert "weakened" not in render(found, "out", "previews")
    changed = first.model_copy(update={"factor": 0.834, "photo_bytes": 1000, "result_bytes": 1120})
    page = render(Verification(found.judges, (changed, *others)), "out", "previews")
    assert "the file is 1.12 times as large; weakened to 83&nbsp;%" in page
    assert "The change of 1 photo was weakened" in page
