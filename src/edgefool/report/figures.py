"""The paper's figures by their numbers: what a run can show in each, and files of them."""

import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from edgefool.errors import UsageError, unknown
from edgefool.report.image_figures import comparison_figure, intermediate_figure, perturbation_figure
from edgefool.report.paper import METHODS, method_title
from edgefool.report.rates_figure import rates_figure
from edgefool.report.results import Results
from edgefool.report.tables import misleading_table, transferability_table
from edgefool.runs import Record, RunFolder
from edgefool.storage.files import write_atomically

FIGURES = {
    3: "intermediate images of EdgeFool",
    4: "perturbations of all methods",
    5: "misleading rate and transferability",
    6: "adversarial images of all methods",
}
"""What each shows."""

FORMATS = ("pdf", "png", "svg")

# Reproducible files; letters that stay letters in a PDF, as publishers ask.
_SAVING: Any = {"svg.hashsalt": "edgefool", "pdf.fonttype": 42}
_ROWS = 4  # of Fig. 6


def draw_figure(
    number: int,
    run: RunFolder,
    results: Results,
    *,
    image: str | None = None,
    dataset: str | None = None,
    method: str | None = None,
    classifier: str | None = None,
) -> Figure:
    """Draw a figure of the paper from a run.

    Parameters
    ----------
    number : int
        3, 4, 5 or 6; see `FIGURES`.
    run, results
        The run, and what `load_results` made of it.
    image : str, optional
        Name of an image in the run. By default one with as many methods as possible, of which most mislead; in Fig. 6
        four of them.
    dataset, method, classifier : str, optional
        Only images of these; by default any, in Fig. 4 and 6 of the classifier that is attacked first.

    Returns
    -------
    Figure
        Its label says whose images it shows.

    Raises
    ------
    UsageError
        If the number or a name is unknown, or the run holds no such image.
    """
    if number not in FIGURES:
        raise UsageError(f"figure {number}: the figures are {', '.join(map(str, FIGURES))}")
    if number == 5:
        if image is not None:
            raise UsageError("Fig. 5 is of all images; leave --image out")
        tables = {"misleading": misleading_table(results), "transferability": transferability_table(results)}
        for kind, name in {"dataset": dataset, "method": method, "classifier": classifier}.items():
            tables = {key: table if name is None else _only(table, kind, name) for key, table in tables.items()}
        return rates_figure(tables, titles(results))
    chosen = list(chain.from_iterable(results.records.get(folder, ()) for folder in results.cells))
    for kind, name in {"dataset": dataset, "method": method, "classifier": classifier, "image": image}.items():
        if name is not None:
            known = [_name(results, record, kind) for record in chosen]
            _check(kind, name, known)
            chosen = [record for record, its in zip(chosen, known, strict=True) if its == name]
    if number == 3:
        chosen = [record for record in chosen if record.structure_png]
        if not chosen:
            raise UsageError("no such image of EdgeFool misleads, so that there is no Fig. 3")
        record = min(chosen, key=lambda record: results.cells[record.cell].method != "edgefool")
        figure = intermediate_figure(run, record)
        figure.set_label(f"{record.image}, {titles(results)[results.methods[record.cell]]} on {record.classifier}")
        return figure
    if not chosen:
        raise UsageError(f"no image has been attacked, so that there is no Fig. {number}")
    rows = _rows(results, chosen)
    figure = perturbation_figure(run, rows[0]) if number == 4 else comparison_figure(run, rows[:_ROWS])
    first = next(iter(rows[0].values()))
    figure.set_label((f"{first.image}, " if number == 4 else "") + f"{first.dataset} on {first.classifier}")
    return figure


def titles(results: Results) -> dict[str, str]:
    """Return what people call the methods, by their names in the tables; no two alike."""
    found = {name: method_title(results.cells[folder].method, name) for folder, name in results.methods.items()}
    alike = Counter(found.values())
    return {name: title if alike[title] == 1 else name for name, title in found.items()}


def _check(kind: str, name: str, known: Iterable[str]) -> None:
    """Complain of a name that the run does not have."""
    if name not in (names := list(dict.fromkeys(known))):
        raise unknown(f"{kind} of the run", name, names)


def _name(results: Results, record: Record, kind: str) -> str:
    return results.methods[record.cell] if kind == "method" else str(getattr(record, kind))


def _only(table: pd.DataFrame, kind: str, name: str) -> pd.DataFrame:
    if len(table):
        _check(kind, name, table[kind])
    return table[table[kind] == name]


def _rows(results: Results, records: list[Record]) -> list[dict[str, Record]]:
    """Return a row per original of the first classifier; those that most methods attacked and misled come first."""
    called, order = titles(results), list(METHODS)
    first = results.cells[records[0].cell]
    rows: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: order.index(results.cells[record.cell].method)):
        cell = results.cells[record.cell]
        if (cell.dataset, cell.fingerprint) == (first.dataset, first.fingerprint):
            rows[record.image][called[results.methods[record.cell]]] = record
    return sorted(rows.values(), key=lambda row: (-len(row), -sum(record.success for record in row.values())))


def encode_figure(figure: Figure, kind: str) -> bytes:
    """Return the bytes of a figure as ``pdf``, ``png`` or ``svg``; the same figure gives the same bytes."""
    file = io.BytesIO()
    with rc_context(_SAVING):
        dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        figure.savefig(file, format=kind, dpi=200, metadata=dates.get(kind))
    return file.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file whose suffix says how, and make its folder.

    Raises
    ------
    UsageError
        If it is none of `FORMATS`.
    """
    kind = path.suffix[1:].lower()
    if kind not in FORMATS:
        raise UsageError(f"{path}: a figure is a file .{', .'.join(FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encode_figure(figure, kind))
