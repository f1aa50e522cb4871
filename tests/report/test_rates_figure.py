"""Fig. 5 draws the numbers of the tables."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from edgefool.report import rates_figure
from edgefool.report.figures import encode_figure


def make(methods=("cw", "enhance"), classifiers=("a", "b", "c"), datasets=("things", "scenes"), transfer=True):
    misleading, other = [], []
    random = np.random.default_rng(0)

    def share(name):
        low, value, high = np.sort(random.random(3))
        return {f"{name}_low": low, name: value, f"{name}_high": high}

    for dataset in datasets:
        for method in methods:
            for classifier in classifiers:
                key = {"dataset": dataset, "method": method, "classifier": classifier}
                misleading.append(key | share("misled"))
                other += [key | {"target": t, "null": 0.25} | share("changed") for t in classifiers if t != classifier]
    columns = ["dataset", "method", "classifier", "target", "null", "changed_low", "changed", "changed_high"]
    columns = {"misleading": None, "transferability": columns}
    rows = {"misleading": misleading, "transferability": other if transfer else []}
    return {name: pd.DataFrame(rows[name], columns=columns[name]) for name in rows}


def marks(axis, filled):
    """Return the heights of the marks that are filled, or those that are not."""
    lines = [line for line in axis.get_lines() if line.get_marker() not in ("None", None)]
    return sorted(float(line.get_ydata()[0]) for line in lines if (line.get_markerfacecolor() != "none") == filled)


def test_every_number_has_its_mark():
    tables = make()
    figure = rates_figure(tables, {"cw": "CW", "enhance": "Enhancement only"})
    assert [axis.get_title("left") for axis in figure.axes] == ["things", "scenes"]
    for axis, dataset in zip(figure.axes, ("things", "scenes"), strict=True):
        for table, name, filled in (("misleading", "misled", True), ("transferability", "changed", False)):
            expected = tables[table].loc[tables[table]["dataset"] == dataset, name]
            assert marks(axis, filled) == pytest.approx(sorted(expected))
        assert [label.get_text() for label in axis.get_xticklabels()] == ["CW", "Enhancement\nonly"]
        assert sum(list(line.get_ydata()) == [0.25, 0.25] for line in axis.get_lines()) == 12, (
            "the null method's dashes"
        )
        keys = [text.get_text() for text in axis.get_legend().get_texts()]
        assert keys == ["a", "b", "c", "attacked", "transferred to", "enhancement only"]


def test_classifiers_differ_in_colour_and_shape():
    axis = rates_figure(make(classifiers=[f"net{k}" for k in range(20)], datasets=["x"])).axes[0]
    looks = {(handle.get_color(), handle.get_marker()) for handle in axis.get_legend().legend_handles[:20]}
    assert len(looks) == 20


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_missing_is_left_out(dark):
    tables = make(transfer=False)
    tables["misleading"].loc[0, "misled"] = np.nan
    figure = rates_figure(tables, dark=dark)
    assert len(marks(figure.axes[0], True)) == 5
    assert "transferred to" not in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    figure.savefig(io.BytesIO(), format="svg")
    assert plt.rcParams["text.color"] == "black", "the user's settings stay"


def test_names_are_plain_text():
    figure = rates_figure(make(methods=["$x^", "\x1b[1m"], classifiers=["$\\frac{", "b"], datasets=["$d^"]))
    (axis,) = figure.axes
    labels, keys = axis.get_xticklabels(), axis.get_legend().get_texts()
    assert axis.get_title("left") == "$d^"
    assert [label.get_text() for label in labels] == ["$x^", "?[1m"]
    assert [key.get_text() for key in keys][:2] == ["$\\frac{", "b"]
    assert not any(text.get_parse_math() for text in (*labels, *keys))
    figure.savefig(io.BytesIO(), format="png")  # fails on mathematics that is not closed


def test_no_cells():
    empty = {name: table[:0] for name, table in make().items()}
    figure = rates_figure(empty)
    assert figure.axes == []
    assert [text.get_text() for text in figure.texts] == ["no cells"]


@pytest.mark.parametrize(("kind", "classifiers"), [("png", "a"), ("png", "abc"), ("svg", "abc"), ("pdf", "a")])
def test_a_file_does_not_depend_on_what_was_written_before(kind, classifiers):
    tables = make(classifiers=classifiers, datasets=["x"])
    figure = rates_figure(tables)
    encode_figure(figure, "svg")
    assert encode_figure(figure, kind) == encode_figure(rates_figure(tables), kind)
