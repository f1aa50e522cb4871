"""The two streams of the terminal, and the tables printed to them."""

import math
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from edgefool.errors import EdgeFoolWarning
from edgefool.text import plain

if TYPE_CHECKING:
    import pandas as pd

    from edgefool.classifiers import Classifier
    from edgefool.runs import Record

# A closed stdout is None. A table in a file or pipe need not fit the width of a terminal.
out = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout and sys.stdout.isatty() else 200)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def print_note(text: str) -> None:
    """Print a remark that is not an error."""
    err.print(f"note: {plain(text)}")


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print the warnings of the library as notes, each once."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", EdgeFoolWarning)
        show, shown = warnings.showwarning, set[str]()

        def show_note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, EdgeFoolWarning):
                show(message, category, *where, **more)
            elif (text := str(message)) not in shown:
                shown.add(text)
                print_note(text)

        warnings.showwarning = show_note
        yield


def print_weights(classifiers: "Iterable[Classifier]") -> None:
    """Print which published weights were loaded by name, and their terms; those of the catalogue are in its list."""
    for classifier in classifiers:
        if classifier.tag:
            terms = f"licence {classifier.licence}" if classifier.licence else "licence not stated by the library"
            err.print(plain(f"loaded {classifier.name}: weights {classifier.tag}, {terms}"))


def describe_error(record: "Record") -> str:
    """Return the error of a record, with options instead of the arguments of the library."""
    return plain(with_options(record.error or ""))


def with_options(message: str) -> str:
    """Return a message of the library with options instead of its arguments.

    >>> with_options("a smaller batch_size")
    'a smaller --batch-size'
    """
    return re.sub(r"\b(batch_size|max_megapixels)\b", lambda name: f"--{name[0].replace('_', '-')}", message)


def print_left_out(count: int) -> None:
    """Print how many records are ignored because their photos are no longer in the plan."""
    if count:
        records, their = ("record is", "its photo is") if count == 1 else ("records are", "their photos are")
        print_note(f"{count} {records} left out: {their} no longer in the datasets of the plan")


def print_records(records: Sequence["Record"], limit: int = 50) -> None:
    """Print a row for each image."""
    table = Table("image", "original", "adversarial", "success", "converged", "iterations", "seconds", "PSNR", box=None)
    for record in records[:limit]:
        if record.error:
            table.add_row(plain(record.image), "", "", f"error: {describe_error(record)}")
            continue
        table.add_row(
            plain(record.image),
            "\n".join(f"{plain(str(name))} {share:.0%}" for name, share in record.decisions("original")),
            "\n".join(f"{plain(str(name))} {share:.0%}" for name, share in record.decisions("adversarial")),
            "yes" if record.success else "no",
            "yes" if record.converged else "no",
            str(record.iterations),
            f"{record.seconds:.1f}",
            "" if record.psnr is None else f"{record.psnr:.1f} dB",
        )
    out.print(table)
    if len(records) > limit:
        out.print(f"… and {len(records) - limit} more in the records")


_NUMBERS = {
    "of the rest": ("misled_rest", ".1%"),
    "before rounding": ("misled_float", ".1%"),
    "transferred": ("transferred", ".1%"),
    "by enhancing": ("null", ".1%"),
    "leaves group": ("left_group", ".1%"),
    "others leave": ("transferred_group", ".1%"),
    "robust": ("robust", ".1%"),
    "detected": ("detected", ".1%"),
    "PSNR": ("psnr", ".1f"),
    "SSIM": ("ssim", ".3f"),
    "LPIPS": ("lpips", ".3f"),
    "iterations": ("iterations", ".0f"),
    "s/image": ("seconds", ".2f"),
}


def print_summary(summary: "pd.DataFrame", limit: int = 60) -> None:
    """Print the summary of `edgefool.report.make_tables`; rates are shares of the images."""
    # Some columns are there for some runs only.
    numbers = {heading: number for heading, number in _NUMBERS.items() if number[0] in summary}
    for dataset, rows in summary.head(limit).groupby("dataset", sort=False):
        table = Table("method", "classifier", "images", "misleading", "95 %", *numbers, box=None)
        for row in rows.to_dict("records"):
            table.add_row(
                plain(row["method"]),
                plain(row["classifier"]),
                str(row["images"]) + (f" + {row['errors']} errors" if row["errors"] else ""),
                _format(row["misled"], ".1%"),
                f"{row['misled_low']:.0%} to {row['misled_high']:.0%}" if row["images"] else "",
                *(_format(row[column], spec) for column, spec in numbers.values()),
            )
        out.print(f"\n{plain(str(dataset))}")
        out.print(table)
    if len(summary) > limit:
        out.print(f"… and {len(summary) - limit} more in the tables")


def print_robustness(table: "pd.DataFrame") -> None:
    """Print how often the classes still differ after transformations, from `edgefool.report.robustness_table`."""
    shown = Table("after", "images", "class differs", "95 %", "by enhancing", "originals alone", box=None)
    for row in table.to_dict("records"):
        shown.add_row(
            row["transformation"],
            str(row["images"]),
            _format(row["changed"], ".1%"),
            f"{row['changed_low']:.0%} to {row['changed_high']:.0%}",
            _format(row["null"], ".1%"),
            _format(row["unstable"], ".1%"),
        )
    out.print(shown)


def _format(value: float, spec: str) -> str:
    return "" if math.isnan(value) else format(value, spec)  # NaN was not measured
