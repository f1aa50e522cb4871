"""The tables of semantic groups and robustness, on made-up runs whose numbers are counted by hand."""

import numpy as np
import pandas as pd
import pytest

from edgefool.classifiers import SemanticGroups, imagenet_groups
from edgefool.report import make_results, make_tables, robustness_table, semantics_table
from edgefool.report.page_tables import known_columns, robustness_rows
from edgefool.runs import Cell, ClassGroups, Prediction, Record, TransformedClasses

GROUPS = SemanticGroups(
    ("animals", "vehicles"), (0, 0, 1, -1), (("x", "animal", "cat"), ("x", "animal", "dog"), ("x", "car"), ())
)
OWN = [ClassGroups(fingerprint=name, groups=GROUPS) for name in ("a", "b", "c")]
CELLS = {
    f"d/{method}/{victim}": Cell(
        dataset="d",
        method=method,
        constants={},
        fingerprint=victim,
        size=32,
        seed=0,
        label=method,
        classifier=victim,
        num_classes=4,
        members=[{"classifier": name, "fingerprint": name, "num_classes": 4} for name in victim]
        if victim == "ab"
        else [],
    )
    for victim in ("a", "ab")
    for method in ("enhance", "nfgsm")
}


def record(cell, image, before, after):
    """Return the record of an image, given the class before and after for each member."""
    pairs = [
        {
            "original_class": b,
            "original_name": f"class {b}",
            "original_probability": 1.0,
            "adversarial_class": a,
            "adversarial_name": f"class {a}",
            "adversarial_probability": 1.0,
        }
        for b, a in zip(before, after, strict=True)
    ]
    _, method, victim = cell.split("/")
    decided = (
        pairs[0]
        if len(pairs) == 1
        else {"members": [{"classifier": name} | pair for name, pair in zip(victim, pairs, strict=True)]}
    )
    return Record(
        cell=cell, dataset="d", image=image, source="/", method=method, classifier=victim,
        original_png=f"{image} before", png=f"{image} after", success=before != after, **decided,
    )  # fmt: skip


def prediction(judge, cell, image, index):
    return Prediction(
        cell=cell, dataset="d", image=image, png=f"{image} {'after' if cell else 'before'}", classifier=judge,
        fingerprint=judge, predicted=index, probability=1.0, scores={}, num_classes=4,
    )  # fmt: skip


def after(judge, cell, image, **classes):
    return TransformedClasses(
        cell=cell,
        dataset="d",
        image=image,
        png=f"{image} {'after' if cell else 'before'}",
        fingerprint=judge,
        classes=classes,
    )


def results(records, predictions=(), transformed=(), groups=OWN, transformations=(), cells=CELLS):
    return make_results(
        cells, records, predictions, [], transformed=transformed, groups=groups, squeezers=(),
        false_positive_rate=0.05, label_classes={"d": None}, transformations=transformations,
    )  # fmt: skip


def line(table, **keys):
    (found,) = table[(table[list(keys)] == pd.Series(keys)).all(axis=1)].to_dict("records")
    return found


SINGLE = [
    *(record("d/nfgsm/a", str(k), [b], [a]) for k, (b, a) in enumerate([(0, 1), (0, 2), (2, 3), (3, 0), (1, 1)])),
    *(record("d/enhance/a", str(k), [b], [a]) for k, (b, a) in enumerate([(0, 1), (0, 0), (2, 0), (3, 3), (1, 1)])),
]


def test_an_attacked_classifier_is_known_from_its_records():
    table = semantics_table(results(SINGLE, cells={name: CELLS[name] for name in ("d/enhance/a", "d/nfgsm/a")}))
    found = line(table, method="nfgsm")
    assert found["target"] == "a"
    assert found["images"] == 4  # class 3 has no group
    assert found["changed"] == 3 / 4
    assert found["left_group"] == 2 / 4  # to class 2 from 0, and out of all groups from 2
    assert found["null"] == 1 / 4
    assert found["gain"] == 1 / 4
    assert found["depth"] == np.mean([2, 1, 3])  # cat to dog, cat to car, dog to dog; class 3 has no hypernyms
    assert found["depth_changed"] == np.mean([2, 1])
    assert found["null_depth"] == np.mean([2, 3, 3])  # on the same images
    assert not found["member"]
    tables = make_tables(results(SINGLE))
    summary = line(tables["summary"], method="nfgsm", classifier="a")
    assert summary["left_group"] == 2 / 4
    assert np.isnan(summary["transferred_group"])


def test_other_classifiers_are_known_from_their_predictions():
    clean = [prediction("c", None, str(k), 0) for k in range(4)]
    fooled = [prediction("c", "d/nfgsm/a", str(k), index) for k, index in enumerate([0, 1, 2, 2])]
    null = [prediction("c", "d/enhance/a", str(k), index) for k, index in enumerate([0, 0, 2, 0])]
    made = results(
        SINGLE, [*clean, *fooled, *null], cells={f"d/{name}/a": CELLS[f"d/{name}/a"] for name in ("enhance", "nfgsm")}
    )
    found = line(semantics_table(made), method="nfgsm", classifier="a", target="c")
    assert (found["images"], found["changed"], found["left_group"], found["null"]) == (4, 3 / 4, 2 / 4, 1 / 4)
    summary = line(make_tables(made)["summary"], method="nfgsm", classifier="a")
    assert (summary["transferred_group"], summary["null_group"]) == (2 / 4, 1 / 4)


def test_an_ensemble_is_left_when_all_members_leave():
    pairs = [((0, 2), (2, 2)), ((0, 0), (2, 2)), ((0, 0), (2, 1)), ((3, 0), (0, 2))]
    records = [record("d/nfgsm/ab", str(k), b, a) for k, (b, a) in enumerate(pairs)]
    table = semantics_table(results(records))
    together = line(table, method="nfgsm", classifier="ab", target="ab")
    assert (together["images"], together["changed"], together["left_group"]) == (3, 2 / 3, 1 / 3)
    b = line(table, method="nfgsm", classifier="ab", target="b")
    assert (b["images"], b["left_group"], b["member"]) == (4, 2 / 4, True)
    assert not together["member"]


@pytest.mark.parametrize("groups", [[], [ClassGroups(fingerprint="a", groups=None)]])
def test_without_groups_there_is_no_table(groups):
    tables = make_tables(results(SINGLE, groups=groups))
    assert "semantics" not in tables
    assert "left_group" not in tables["summary"]
    assert "left_group" not in [column.name for column in known_columns(tables["summary"])]


def imagenet_run(name):
    cells = {"d/nfgsm/a": CELLS["d/nfgsm/a"].model_copy(update={"num_classes": 1000})}
    shepherd = record("d/nfgsm/a", "0", [235], [817]).model_copy(update={"original_name": name})
    return {"records": [shepherd], "cells": cells}


def test_runs_before_groups_were_kept():
    """1,000 classes are those of ImageNet, unless the records name them otherwise."""
    table = semantics_table(results(groups=[], **imagenet_run("German shepherd")))
    assert table["left_group"].tolist() == [1.0]
    groups = imagenet_groups()
    assert table["depth"].tolist() == [groups.lowest_common_depth(235, 817)]
    assert semantics_table(results(groups=[], **imagenet_run("class 235"))).empty
    known = [ClassGroups(fingerprint="a", groups="imagenet")]
    assert len(semantics_table(results(groups=known, **imagenet_run("class 235")))) == 1


# Robustness

TWO = ("half", "jpeg75")


def transformed(judge, cell, **classes):
    """Return lines for images by position, for each transformation."""
    count = len(next(iter(classes.values())))
    return [after(judge, cell, str(k), **{name: found[k] for name, found in classes.items()}) for k in range(count)]


ORIGINALS = transformed("a", None, half=[0, 1, 2, 0, 1], jpeg75=[0, 0, 2, 3, 1])
FOOLED = transformed("a", "d/nfgsm/a", half=[1, 1, 2, 2, 1], jpeg75=[2, 2, 1, 0, 1])
ENHANCED = transformed("a", "d/enhance/a", half=[0, 1, 2, 2, 1], jpeg75=[0, 0, 1, 3, 1])


def test_shares_after_transformations():
    table = robustness_table(results(SINGLE, (), [*ORIGINALS, *FOOLED, *ENHANCED], transformations=TWO))
    assert table["transformation"].tolist() == [*TWO, "mean"] * 2
    half, jpeg, mean = (line(table, method="nfgsm", transformation=name) for name in (*TWO, "mean"))
    assert (half["images"], jpeg["images"]) == (5, 5)
    assert (half["changed"], jpeg["changed"], mean["changed"]) == (2 / 5, 4 / 5, pytest.approx(3 / 5))
    assert (half["null"], jpeg["null"]) == (1 / 5, 1 / 5)
    assert (half["gain"], jpeg["gain"]) == (1 / 5, pytest.approx(3 / 5))
    assert (half["unstable"], jpeg["unstable"]) == (2 / 5, 0)  # of 0, 0, 2, 3, 1
    assert (half["left_group"], jpeg["left_group"]) == (1 / 5, 3 / 4)  # class 3 has no group
    assert 0 < half["changed_low"] < half["changed"] < half["changed_high"] <= 1 or half["changed_low"] == 0
    assert half["target"] == "a"


def test_what_is_not_measured_is_left_out():
    part = [found for found in FOOLED if found.image != "0"]
    stale = after("a", "d/nfgsm/a", "0", half=3).model_copy(update={"png": "of another file"})
    made = results(SINGLE, (), [*ORIGINALS, *part, stale], transformations=(*TWO, "blur1"))
    table = robustness_table(made)
    assert table["transformation"].tolist() == list(TWO), "no image has all three"
    assert table["images"].tolist() == [4, 4]
    assert table["null"].isna().all()


def test_ensembles_and_judges():
    pairs = [((0, 0), (1, 1)), ((0, 0), (1, 0))]
    records = [record("d/nfgsm/ab", str(k), b, a) for k, (b, a) in enumerate(pairs)]
    lines = [
        *transformed("a", None, half=[0, 0]),
        *transformed("b", None, half=[0, 1]),
        *transformed("c", None, half=[2, 2]),
        *transformed("a", "d/nfgsm/ab", half=[1, 1]),
        *transformed("b", "d/nfgsm/ab", half=[1, 1]),
        *transformed("c", "d/nfgsm/ab", half=[2, 0]),
    ]
    clean = [prediction("c", None, str(k), 2) for k in range(2)]
    made = results(records, clean, lines, transformations=["half"])
    table = robustness_table(made)
    shares = {row.target: row.changed for row in table[table["transformation"] == "half"].itertuples()}
    assert shares == {"ab": 1 / 2, "a": 1.0, "b": 1 / 2, "c": 1 / 2}
    assert line(table, target="b", transformation="half")["unstable"] == 1 / 2
    assert table["member"].tolist() == [False, False, True, True, True, True, False, False]
    summary = line(make_tables(made)["summary"], method="nfgsm", classifier="ab")
    assert (summary["robust"], summary["robust_transferred"]) == (1 / 2, 1 / 2)


def test_the_summary_has_the_mean_and_the_page_a_table():
    made = results(SINGLE, (), [*ORIGINALS, *FOOLED, *ENHANCED], transformations=TWO)
    tables = make_tables(made)
    row = line(tables["summary"], method="nfgsm", classifier="a")
    assert (row["robust"], row["robust_null"]) == (pytest.approx(3 / 5), pytest.approx(1 / 5))
    assert row["robust_low"] < row["robust"] < row["robust_high"]
    assert {"robust", "left_group"} <= {column.name for column in known_columns(tables["summary"])}
    ((originals, enhance, nfgsm),) = robustness_rows(made, tables["robustness"]).values()
    assert [number.text for number in originals.numbers] == ["40", "0", "20"]
    assert [number.text for number in enhance.numbers] == ["20", "20", "20"]
    assert [number.text for number in nfgsm.numbers] == ["40", "80", "60"]
    assert (originals.null, enhance.null, nfgsm.null) == (True, True, False)


def test_without_transformations_there_is_no_table():
    assert "robustness" not in make_tables(results(SINGLE, (), ORIGINALS))
