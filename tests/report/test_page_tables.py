"""The tables of the page show the numbers, and mark the best."""

import math

import pandas as pd
import pytest

from edgefool.report import make_results
from edgefool.report.page_tables import COLUMNS, detectability_rows, known_columns, summary_rows
from edgefool.runs import Cell


def make(*methods):
    """Return results whose cells attack one classifier by these methods."""
    settings = {"constants": {}, "fingerprint": "f", "size": 32, "seed": 0, "classifier": "net", "num_classes": 5}
    cells = {f"d/{m}/net": Cell(dataset="d", method=m, label=m, **settings) for m in methods}
    nothing = {"squeezers": ("bits4", "bits1"), "false_positive_rate": 0.05, "label_classes": {}}
    return make_results(cells, [], [], [], **nothing)


def summarise(rows):
    """Return a summary of these rows; numbers that they lack are NaN."""
    names = [column.name for column in COLUMNS]
    columns = [
        *names,
        *(f"{name}_{end}" for name in ("misled", "transferred", "gain", "detected") for end in ("low", "high")),
    ]
    unknown = dict.fromkeys(columns, math.nan)
    first = {"dataset": "d", "classifier": "net", "images": 1234, "errors": 0}
    return pd.DataFrame([unknown | first | row for row in rows])


def best(rows, summary):
    """Return by column the methods whose number is marked."""
    return {
        column.name: [row.method for row in rows["d", "net"] if row.numbers[k].best]
        for k, column in enumerate(known_columns(summary))
    }


def test_only_attacks_that_mislead_can_be_the_best():
    results = make("cw", "nfgsm", "edgefool", "enhance")
    summary = summarise(
        [
            {"method": "cw", "misled": 0.1, "psnr": 70.0, "detected": 0.0},
            {"method": "nfgsm", "misled": 0.996, "psnr": 35.0, "detected": 0.3},
            {"method": "edgefool", "misled": 0.999, "psnr": 21.0, "detected": 0.1},
            {"method": "enhance", "misled": 1.0, "psnr": 40.0, "detected": 0.01},
        ]
    )
    rows = summary_rows(results, summary, known_columns(summary))
    assert best(rows, summary) == {
        "misled": ["N-FGSM", "EdgeFool"],  # equal as shown
        "detected": ["EdgeFool"],
        "psnr": ["N-FGSM"],
    }
    assert [row.null for row in rows["d", "net"]] == [False, False, False, True]
    assert rows["d", "net"][0].images == "1,234"


def test_a_single_method_is_not_the_best():
    summary = summarise([{"method": "cw", "misled": 1.0}])
    (row,) = summary_rows(make("cw"), summary, known_columns(summary))["d", "net"]
    assert not row.numbers[0].best


@pytest.mark.parametrize(
    ("low", "gain", "high", "sign", "text"),
    [
        (0.02, 0.1, 0.2, "▲", "+10"),
        (-0.3, -0.2, -0.1, "▼", "-20"),
        (-0.1, 0.001, 0.2, "", "0"),
        (0.0, 0.1, 0.2, "", "+10"),
    ],
)
def test_significant_gains_have_a_sign(low, gain, high, sign, text):
    summary = summarise([{"method": "cw", "misled": 1.0, "gain": gain, "gain_low": low, "gain_high": high}])
    columns = known_columns(summary)
    (row,) = summary_rows(make("cw"), summary, columns)["d", "net"]
    number = row.numbers[[column.name for column in columns].index("gain")]
    assert (number.text, number.sign) == (text, sign)
    assert number.interval.count(" to ") == 1


def test_unknown_numbers_are_empty_and_errors_are_counted():
    summary = summarise([{"method": "cw", "errors": 2, "misled": math.nan, "ssim": 0.5}])
    (row,) = summary_rows(make("cw"), summary, COLUMNS)["d", "net"]
    assert row.images == "1,234 + 2 errors"
    assert [number.text for number in row.numbers if number.text] == ["0.500"]


def test_table_1_has_the_papers_groups_and_figures():
    table = pd.DataFrame(
        [
            {"dataset": "d", "method": "cw", "classifier": "net", "images": 7, "squeezer": name, "detected": value}
            | {"detected_low": 0.0, "detected_high": 1.0, "paper": paper}
            for name, value, paper in (
                ("bits4", 0.5, 0.99),
                ("bits1", 0.25, math.nan),
                ("joint", 1.0, math.nan),
                ("mean", 0.375, math.nan),
            )
        ]
    )
    groups, rows = detectability_rows(make("cw"), table)
    assert groups == {"Quantisation": ["4b", "1b"], "": ["joint", "mean"]}
    (row,) = rows["d", "net"]
    assert [number.text for number in row.numbers] == [".50", ".25", "1.00", ".38"]
    assert [number.paper for number in row.numbers] == [".99", "", "", ""]
    assert row.numbers[0].interval == ".00 to 1.00"


def test_classifiers_stand_apart_in_the_order_of_their_cells():
    """A method that was added to the run later joins its classifier."""
    settings = {"constants": {}, "size": 32, "seed": 0, "num_classes": 5}
    pairs = [("cw", "b"), ("cw", "a"), ("nfgsm", "b")]
    cells = {
        f"d/{m}/{c}": Cell(dataset="d", method=m, label=m, fingerprint=c, classifier=c, **settings) for m, c in pairs
    }
    results = make_results(cells, [], [], [], squeezers=(), false_positive_rate=0.05, label_classes={})
    summary = summarise([{"method": m, "classifier": c, "misled": 1.0} for m, c in pairs])
    rows = summary_rows(results, summary, COLUMNS)
    assert [(key, [row.method for row in its]) for key, its in rows.items()] == [
        (("d", "b"), ["CW", "N-FGSM"]),
        (("d", "a"), ["CW"]),
    ]
