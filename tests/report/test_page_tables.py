"""What the page's tables say of the numbers."""

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
    """Return a summary of these rows; what they leave open is not known."""
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
        column.name: [row.method for row in rows["d"] if row.cells[k].best]
        for k, column in enumerate(known_columns(summary))
    }


def test_the_best_of_those_that_mislead():
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
        "misled": ["N-FGSM", "EdgeFool"],  # the same as they are shown
        "detected": ["EdgeFool"],
        "psnr": ["N-FGSM"],
    }
    assert [row.null for row in rows["d"]] == [False, False, False, True]
    assert rows["d"][0].images == "1,234"


def test_a_single_method_is_not_the_best():
    summary = summarise([{"method": "cw", "misled": 1.0}])
    (row,) = summary_rows(make("cw"), summary, known_columns(summary))["d"]
    assert not row.cells[0].best


@pytest.mark.parametrize(
    ("low", "gain", "high", "sign", "told"),
    [
        (0.02, 0.1, 0.2, "▲", "+10"),
        (-0.3, -0.2, -0.1, "▼", "-20"),
        (-0.1, 0.001, 0.2, "", "0"),
        (0.0, 0.1, 0.2, "", "+10"),
    ],
)
def test_gains_that_are_not_chance(low, gain, high, sign, told):
    summary = summarise([{"method": "cw", "misled": 1.0, "gain": gain, "gain_low": low, "gain_high": high}])
    columns = known_columns(summary)
    (row,) = summary_rows(make("cw"), summary, columns)["d"]
    cell = row.cells[[column.name for column in columns].index("gain")]
    assert (cell.text, cell.sign) == (told, sign)
    assert cell.interval.count(" to ") == 1


def test_what_is_not_known_is_empty_and_errors_are_told():
    summary = summarise([{"method": "cw", "errors": 2, "misled": math.nan, "ssim": 0.5}])
    (row,) = summary_rows(make("cw"), summary, COLUMNS)["d"]
    assert row.images == "1,234 + 2 errors"
    assert [cell.text for cell in row.cells if cell.text] == ["0.500"]


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
    assert groups == [("Quantisation", ["4b"]), ("", ["bits1", "joint", "mean"])]
    (row,) = rows["d"]
    assert [cell.text for cell in row.cells] == [".50", ".25", "1.00", ".38"]
    assert [cell.paper for cell in row.cells] == [".99", "", "", ""]
    assert row.cells[0].interval == ".00 to 1.00"
