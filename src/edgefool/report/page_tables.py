"""The tables of the page: which numbers stand where, as text, and which are the best."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pandas as pd

from edgefool.report.figures import titles
from edgefool.report.latex import squeezer_title
from edgefool.report.results import NULL_METHOD, Results
from edgefool.report.tables import JOINT, MEAN

_ENOUGH = 0.5  # an attack that misleads fewer images does not compete in the other columns


@dataclass(frozen=True)
class Column:
    """A column of the summary.

    Attributes
    ----------
    name : str
        In the summary of `make_tables`; with ``name_low`` and ``name_high`` if it has an interval.
    heading, unit : str
        What stands above it.
    form : str
        How Python formats it; with ``%`` at its end it is a share.
    better : int
        1: more is better; -1: less is; 0: neither.
    about : str
        What it is, in a sentence.
    """

    name: str
    heading: str
    unit: str
    form: str
    better: int
    about: str


COLUMNS = (
    Column(
        "misled", "Misled", "%", ".0f%", 1, "the attacked classifier's class changes, on the saved 8-bit file (Eq. 1)"
    ),
    Column("misled_float", "before rounding", "%", ".0f%", 0, "the same before the image is rounded to 8 bits"),
    Column(
        "transferred", "Transferred", "%", ".0f%", 1, "the class of another classifier changes: mean over the others"
    ),
    Column("null", "enhancement only", "%", ".0f%", 0, "the same for detail enhancement without an attack"),
    Column(
        "gain", "gain", "points", "+.0f%", 0, "transferred less enhancement only, image by image; ▲ ▼: not 0 at 95 %"
    ),
    Column("detected", "Detected", "%", ".0f%", -1, "told by feature squeezing: mean over the squeezers of Table 1"),
    Column("psnr", "PSNR", "dB", ".1f", 1, "mean, of images that differ from their originals"),
    Column("ssim", "SSIM", "", ".3f", 1, "mean structural similarity"),
    Column("lpips", "LPIPS", "", ".3f", -1, "mean learned perceptual distance"),
    Column("iterations", "Iterations", "median", ".0f", 0, "of the attack"),
    Column("seconds", "Time", "s/image", ".2f", 0, "as run, whatever else ran"),
)


@dataclass(frozen=True)
class Cell:
    """A number as text."""

    text: str = ""
    interval: str = ""
    paper: str = ""
    sign: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row: method and classifier, how many images, and the numbers."""

    method: str
    classifier: str
    images: str
    cells: list[Cell]
    null: bool = False


def summary_rows(results: Results, summary: pd.DataFrame, columns: tuple[Column, ...]) -> dict[str, list[Row]]:
    """Return the rows of the summary by dataset.

    The best number of each classifier and column, as it is shown, is marked. Enhancement without an attack does not
    compete, nor do attacks that mislead less than half of the images, but for the misleading rate itself.
    """
    called = titles(results)
    table: dict[str, list[Row]] = {}
    methods = [cell.method for cell in results.cells.values()]  # the summary has a row per cell, in their order
    rows = list(zip(methods, summary.to_dict("records"), strict=True))
    best = _best(rows, columns)
    for method, row in rows:
        cells = []
        for column in columns:
            cell = _number(row, column)
            wins = _competes(method, row, column) and float(cell.text) == best[_race(row, column)]
            cells.append(replace(cell, best=wins))
        errors = f" + {row['errors']} errors" if row["errors"] else ""
        table.setdefault(str(row["dataset"]), []).append(
            Row(called[row["method"]], row["classifier"], f"{row['images']:,}{errors}", cells, method == NULL_METHOD)
        )
    return table


def known_columns(summary: pd.DataFrame) -> tuple[Column, ...]:
    """Return the columns of which the run knows anything."""
    return tuple(column for column in COLUMNS if summary[column.name].notna().any())


def detectability_rows(
    results: Results, table: pd.DataFrame
) -> tuple[list[tuple[str, list[str]]], dict[str, list[Row]]]:
    """Return the headings of Table 1 (groups and their squeezers), and its rows by dataset."""
    called = titles(results)
    squeezers = [*results.squeezers, JOINT, MEAN]
    groups: dict[str, list[str]] = {}
    for squeezer in squeezers:
        group, name = squeezer_title(squeezer)
        groups.setdefault(group, []).append(name)
    rows: dict[str, list[Row]] = {}
    methods = {name: results.cells[folder].method for folder, name in results.methods.items()}
    for names, its in table.groupby(["dataset", "method", "classifier"], sort=False):
        dataset, method, classifier = cast(tuple[str, str, str], names)
        by_squeezer = {line["squeezer"]: line for line in its.to_dict("records")}
        cells = [
            Cell(
                _share(by_squeezer[squeezer]["detected"]),
                _interval(by_squeezer[squeezer]["detected_low"], by_squeezer[squeezer]["detected_high"], _share),
                _share(by_squeezer[squeezer]["paper"]),
            )
            for squeezer in sorted(squeezers, key=lambda name: list(groups).index(squeezer_title(name)[0]))
        ]
        count = f"{its['images'].max():,}"
        rows.setdefault(dataset, []).append(
            Row(called[method], classifier, count, cells, methods[method] == NULL_METHOD)
        )
    return list(groups.items()), rows


def _best(rows: Sequence[tuple[str, Mapping[Any, Any]]], columns: Sequence[Column]) -> dict[Any, float | None]:
    """Return the best number of each classifier and column, as it is shown; None if only one competes."""
    shown: dict[Any, list[float]] = defaultdict(list)
    better = {column.name: max if column.better > 0 else min for column in columns}
    for method, row in rows:
        for column in columns:
            if _competes(method, row, column):
                shown[_race(row, column)].append(float(_told(row[column.name], column.form)))
    return {race: better[race[-1]](numbers) if len(numbers) > 1 else None for race, numbers in shown.items()}


def _race(row: Mapping[Any, Any], column: Column) -> tuple[str, str, str]:
    return row["dataset"], row["classifier"], column.name


def _competes(method: str, row: Mapping[Any, Any], column: Column) -> bool:
    fair = column.name == "misled" or row["misled"] >= _ENOUGH
    return bool(column.better and method != NULL_METHOD and fair and row[column.name] == row[column.name])


def _number(row: Mapping[Any, Any], column: Column) -> Cell:
    value = row[column.name]
    if value != value:
        return Cell()
    low, high = row.get(f"{column.name}_low", float("nan")), row.get(f"{column.name}_high", float("nan"))
    sign = ("▲" if low > 0 else "▼" if high < 0 else "") if column.name == "gain" else ""
    return Cell(_told(value, column.form), _interval(low, high, lambda end: _told(end, column.form)), sign=sign)


def _told(value: float, form: str) -> str:
    told = format(100 * value, form[:-1]) if form.endswith("%") else format(value, form)
    return "0" if told in ("+0", "-0") else told


def _interval(low: float, high: float, tell: Callable[[float], str]) -> str:
    return "" if low != low or high != high else f"{tell(low)} to {tell(high)}"


def _share(value: float) -> str:
    """Return a share as the paper writes it: .32."""
    return "" if value != value else f"{value:.2f}".removeprefix("0")
