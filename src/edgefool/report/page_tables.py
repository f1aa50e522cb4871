"""The tables of the page: numbers as text, with the best ones marked."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from edgefool.report.detection import JOINT, by_member
from edgefool.report.figures import titles
from edgefool.report.paper import format_share, squeezer_title
from edgefool.report.results import NULL_METHOD, Results
from edgefool.report.table_parts import MEAN

_MIN_RATE = 0.5  # an attack that misleads less often does not compete in the other columns


@dataclass(frozen=True)
class Column:
    """A column of the summary.

    Attributes
    ----------
    name : str
        Its name in the summary of `make_tables`, which may have an interval, ``name_low`` to ``name_high``.
    heading : str
        The heading on the page.
    about : str
        An explanation of the number.
    unit : str
        Shown beside the heading.
    form : str
        Python's format of the number; a final ``%`` marks a share.
    better : int
        1 if higher is better, -1 if lower is better, else 0.
    """

    name: str
    heading: str
    about: str
    unit: str = "%"
    form: str = ".0f%"
    better: int = 0


COLUMNS = (
    Column(
        "misled",
        "Misleading rate",
        "the share of images whose class changes for the attacked classifier, read from the saved 8-bit file (Eq. 1)",
        better=1,
    ),
    Column("misled_float", "Before rounding", "the same before the image is rounded to 8 bits"),
    Column(
        "transferred",
        "Transfer",
        "the share whose class changes for another classifier; the mean over the other classifiers",
        better=1,
    ),
    Column("null", "Enhancement only", "transfer of detail enhancement without an attack"),
    Column(
        "gain",
        "Gain",
        "transfer minus that of enhancement only, image by image; ▲ ▼: not 0 at the 95\u00a0% level",
        unit="points",
        form="+.0f%",
    ),
    Column(
        "left_group",
        "Leaves group",
        "the share of images whose class leaves its semantic group for the attacked classifier",
        better=1,
    ),
    Column("transferred_group", "Transfer, group", "the same for the other classifiers, their mean", better=1),
    Column("null_group", "Enhancement only, group", "the same by enhancement without an attack"),
    Column(
        "robust",
        "Robust",
        "the share whose class differs from that of the original for the attacked classifier when both have been "
        "transformed; the mean over the transformations",
        better=1,
    ),
    Column("robust_transferred", "Robust transfer", "the same for the other classifiers, their mean", better=1),
    Column("detected", "Detected", "the share that feature squeezing detects; the mean of Table 1", better=-1),
    Column("psnr", "PSNR", "mean over the images that differ from their originals", unit="dB", form=".1f", better=1),
    Column("ssim", "SSIM", "mean structural similarity", unit="", form=".3f", better=1),
    Column("lpips", "LPIPS", "mean learned perceptual distance", unit="", form=".3f", better=-1),
    Column("iterations", "Iterations", "of the attack", unit="median", form=".0f"),
    Column(
        "seconds", "Time", "wall time, including the effect of other load on the machine", unit="s/image", form=".2f"
    ),
)


@dataclass(frozen=True)
class Number:
    """A number as text, with its interval, the paper's figure and a sign; ``best`` marks it in bold."""

    text: str = ""
    interval: str = ""
    paper: str = ""
    sign: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table: a method, its number of images, and its numbers. ``null`` marks the null method."""

    method: str
    images: str
    numbers: list[Number]
    null: bool = False


Rows = Mapping[tuple[str, str], list[Row]]  # by dataset and classifier


def summary_rows(results: Results, summary: pd.DataFrame, columns: Sequence[Column]) -> Rows:
    """Return the rows of the summary.

    The best number of each classifier and column, after rounding, is marked. Enhancement without an attack does not
    compete, nor do attacks that mislead less than half of the time, except in the misleading rate itself.
    """
    by_name = titles(results)
    lines: dict[tuple[str, str], list[dict[Any, Any]]] = defaultdict(list)
    for cell, line in zip(results.cells.values(), summary.to_dict("records"), strict=True):
        lines[cell.dataset, cell.classifier].append(line | {"attack": cell.method})
    table: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for key, rivals in lines.items():
        best = [_best(rivals, column) for column in columns]
        for line in rivals:
            errors = f" + {line['errors']} error{'s' * (line['errors'] != 1)}" if line["errors"] else ""
            numbers = [_number(line, column, winner) for column, winner in zip(columns, best, strict=True)]
            count = f"{line['images']:,}{errors}"
            table[key].append(Row(by_name[line["method"]], count, numbers, line["attack"] == NULL_METHOD))
    return dict(table)


def known_columns(summary: pd.DataFrame) -> list[Column]:
    """Return the columns for which the run has at least one number."""
    return [column for column in COLUMNS if column.name in summary and summary[column.name].notna().any()]


def detectability_rows(results: Results, table: pd.DataFrame) -> tuple[dict[str, list[str]], Rows]:
    """Return the headings of Table 1, squeezers by their group, and its rows."""
    by_name = titles(results)
    groups: dict[str, list[str]] = defaultdict(list)  # squeezers
    for squeezer in [*results.squeezers, JOINT, MEAN]:
        groups[squeezer_title(squeezer)[0]].append(squeezer)
    nulls = _null_methods(results)
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for key, lines in by_member(table).groupby(["dataset", "classifier", "method"], sort=False):
        dataset, classifier, method = cast(tuple[str, str, str], key)
        line = lines.set_index("squeezer").to_dict("index")
        numbers = [
            Number(
                format_share(line[squeezer]["detected"]),
                _interval(line[squeezer], "detected", format_share),
                format_share(line[squeezer]["paper"]),
            )
            if squeezer in line
            else Number()  # of an ensemble, whose members have them
            for squeezers in groups.values()
            for squeezer in squeezers
        ]
        count = f"{lines['images'].max():,}"
        rows[dataset, classifier].append(Row(by_name[method], count, numbers, method in nulls))
    return {group: [squeezer_title(name)[1] for name in names] for group, names in groups.items()}, dict(rows)


def robustness_rows(results: Results, table: pd.DataFrame) -> Rows:
    """Return the rows of the table of robustness: for what was attacked, and means for the other classifiers.

    The columns are the transformations and their mean. The first row is the classifier's own instability.
    """
    names = [*results.transformations, MEAN]
    by_name = titles(results)
    nulls = _null_methods(results)
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for key, lines in table.groupby(["dataset", "classifier", "method"], sort=False):
        dataset, classifier, method = cast(tuple[str, str, str], key)
        own = lines[lines["target"] == classifier].set_index("transformation").reindex(names)
        others = lines[(lines["target"] != classifier) & ~lines["member"].astype(bool)]
        heads = [(classifier, own), (f"other classifiers, mean (made for {classifier})", _means(others, names))]
        for head, found in heads:
            if found["images"].notna().any():
                count = f"{found['images'].max():,.0f}"
                shares = found.to_dict("records")
                if not rows[dataset, head]:
                    unstable = [_share(line, "unstable") for line in shares]
                    rows[dataset, head].append(Row("Originals alone", count, unstable, null=True))
                numbers = [_share(line, "changed", _sign(line)) for line in shares]
                rows[dataset, head].append(Row(by_name[method], count, numbers, method in nulls))
    return {key: found for key, found in rows.items() if found}


def difference_rows(results: Results, table: pd.DataFrame) -> tuple[list[str], Rows]:
    """Return the titles of the methods, and a row per method with its difference to each of them.

    A difference is that of the mean over the classifiers that were not attacked.
    """
    by_name = titles(results)
    nulls = _null_methods(results)
    lines: dict[tuple[str, str], dict[str, dict[str, Mapping[Any, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for line in table[(table["target"] == MEAN) & (table["images"] > 0)].to_dict("records"):
        found = lines[line["dataset"], line["classifier"]]
        found[line["method"]][line["other"]] = line
        found[line["other"]][line["method"]] = {
            "images": line["images"],
            "difference": -line["difference"],
            "difference_low": -line["difference_high"],
            "difference_high": -line["difference_low"],
        }
    names = [name for name in dict.fromkeys(results.methods.values()) if any(name in own for own in lines.values())]
    rows = {
        key: [
            Row(
                by_name[name],
                f"{max(line['images'] for line in found[name].values()):,}",
                [_difference(found[name].get(other)) for other in names],
                name in nulls,
            )
            for name in names
            if name in found
        ]
        for key, found in lines.items()
    }
    return [by_name[name] for name in names], rows


def _null_methods(results: Results) -> set[str]:
    """Return the names of the null method in the tables."""
    return {name for folder, name in results.methods.items() if results.cells[folder].method == NULL_METHOD}


def _difference(line: Mapping[Any, Any] | None) -> Number:
    def points(share: float) -> str:
        text = f"{100 * share:+.0f}"
        return "0" if text in ("+0", "-0") else text

    if line is None:
        return Number()
    return Number(points(line["difference"]), _interval(line, "difference", points), sign=_sign(line, "difference"))


def _means(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the means over the targets, a row per transformation, without intervals."""
    return table.groupby("transformation")[["images", "changed", "unstable"]].mean().reindex(names)


def _share(line: Mapping[Any, Any], name: str, sign: str = "") -> Number:
    def percent(share: float) -> str:
        return "" if pd.isna(share) else f"{100 * share:.0f}"

    return Number(percent(line[name]), _interval(line, name, percent), sign=sign)


def _sign(line: Mapping[Any, Any], name: str = "gain") -> str:
    """Return whether a difference, by default the gain over the null method, is not 0 at the 95 % level."""
    return "▲" if line.get(f"{name}_low", 0) > 0 else "▼" if line.get(f"{name}_high", 0) < 0 else ""


def _best(rows: Sequence[Mapping[Any, Any]], column: Column) -> str:
    """Return the best number of the rows as text, empty if fewer than two compete."""
    shown = [_format(row[column.name], column) for row in rows if _competes(row, column)]
    return (max if column.better > 0 else min)(shown, key=float) if len(shown) > 1 else ""


def _competes(row: Mapping[Any, Any], column: Column) -> bool:
    fair = column.name == "misled" or row["misled"] >= _MIN_RATE
    return bool(column.better and row["attack"] != NULL_METHOD and fair and pd.notna(row[column.name]))


def _number(row: Mapping[Any, Any], column: Column, best: str) -> Number:
    text = _format(row[column.name], column)
    interval = _interval(row, column.name, lambda end: _format(end, column))
    sign = _sign(row) if column.name == "gain" else ""
    return Number(text, interval, sign=sign, best=_competes(row, column) and text == best)


def _format(value: float, column: Column) -> str:
    if pd.isna(value):
        return ""
    form = column.form
    text = format(100 * value, form[:-1]) if form.endswith("%") else format(value, form)
    return "0" if text in ("+0", "-0") else text


def _interval(row: Mapping[Any, Any], name: str, form: Callable[[float], str]) -> str:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return "" if pd.isna(low) or pd.isna(high) else f"{form(low)} to {form(high)}"
