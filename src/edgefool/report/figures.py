"""The paper's figures, by number."""

import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgefool.errors import UsageError, unknown
from edgefool.plotting import Figure, default_style
from edgefool.report.image_figures import comparison_figure, intermediate_figure, perturbation_figure
from edgefool.report.paper import WORKS, method_title
from edgefool.report.rates_figure import rates_figure
from edgefool.report.results import NULL_METHOD, Results
from edgefool.report.tables import misleading_table, transferability_table
from edgefool.runs import Record, RunFolder
from edgefool.storage import StorePath, parse_path

FIGURES = {
    3: "intermediate images of EdgeFool",
    4: "perturbations of all methods",
    5: "misleading rate and transferability",
    6: "adversarial images of all methods",
}
"""The content of each figure."""

FORMATS = ("pdf", "png", "svg")

_MOST_ROWS = 4  # of Fig. 6


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
        The run and its results, as `load_results` returns them.
    image : str, optional
        The name of an image in the run. By default the image that most methods attacked, with most successes; Fig. 6
        shows the first four.
    dataset, method, classifier : str, optional
        Show only images of these. By default Fig. 4 and 6 show the first attacked classifier.

    Returns
    -------
    Figure
        Its label names the image or dataset and the classifier.

    Raises
    ------
    UsageError
        If the number or a name is unknown, or the run has no such image.
    """
    if number not in FIGURES:
        raise UsageError(f"figure {number}: the figures are {', '.join(map(str, FIGURES))}")
    options = {"dataset": dataset, "method": method, "classifier": classifier, "image": image}
    wanted = {kind: name for kind, name in options.items() if name is not None}
    if number == 5:
        return _draw_rates(results, wanted)
    records = _select(results, wanted)
    if number == 3:
        return _draw_intermediate(run, results, records)
    if not records:
        raise UsageError(f"no image has been attacked, so there is no Fig. {number}")
    rows = _rows(results, records)
    first = next(iter(rows[0].values()))
    label = f"{first.dataset} on {first.classifier}"
    if number == 4:
        figure, label = perturbation_figure(run, rows[0]), f"{first.image}, {label}"
    else:
        figure = comparison_figure(run, rows[:_MOST_ROWS])
    figure.set_label(label)
    return figure


def titles(results: Results) -> dict[str, str]:
    """Return the titles of the methods, which are unique, by their names in the tables."""
    found = {name: method_title(results.cells[folder].method, name) for folder, name in results.methods.items()}
    counts = Counter(found.values())
    return {name: title if counts[title] == 1 else name for name, title in found.items()}


def encode_figure(figure: Figure, kind: str) -> bytes:
    """Return the bytes of a figure as ``pdf``, ``png`` or ``svg``; the same figure gives the same bytes."""
    file = io.BytesIO()
    with default_style():
        dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        figure.savefig(file, format=kind, dpi=200, metadata=dates.get(kind))
    return file.getvalue()


def save_figure(figure: Figure, path: StorePath | Path | str) -> None:
    """Write a figure to a file, in the format of its suffix.

    Raises
    ------
    UsageError
        If the suffix is not one of `FORMATS`.
    """
    file = parse_path(path)
    kind = file.suffix[1:].lower()
    if kind not in FORMATS:
        raise UsageError(f"{path}: the suffix of a figure must be .{', .'.join(FORMATS)}")
    file.write(encode_figure(figure, kind))


def _draw_rates(results: Results, wanted: Mapping[str, str]) -> Figure:
    if "image" in wanted:
        raise UsageError("Fig. 5 shows all images, not a single image")
    tables = {"misleading": misleading_table(results), "transferability": transferability_table(results)}
    for kind, name in wanted.items():
        for key, table in tables.items():
            if len(table):
                _check(kind, name, table[kind].tolist())
            tables[key] = table[table[kind] == name]
    return rates_figure(tables, titles(results))


def _draw_intermediate(run: RunFolder, results: Results, records: Sequence[Record]) -> Figure:
    """Draw Fig. 3 of the first record with a structure image, preferring EdgeFool to the null method."""
    structured = [record for record in records if record.structure_png]
    if not structured:
        raise UsageError("no such image of EdgeFool fools its classifier, so there is no Fig. 3")
    record = min(structured, key=lambda record: results.cells[record.cell].method == NULL_METHOD)
    figure = intermediate_figure(run, record)
    figure.set_label(f"{record.image}, {titles(results)[results.methods[record.cell]]} on {record.classifier}")
    return figure


def _select(results: Results, wanted: Mapping[str, str]) -> list[Record]:
    """Return the records that match the wanted image, dataset, method and classifier."""
    records = [record for folder in results.cells for record in results.records.get(folder, ())]
    for kind, name in wanted.items():
        names = [results.methods[r.cell] if kind == "method" else str(getattr(r, kind)) for r in records]
        _check(kind, name, names)
        records = [record for record, its_name in zip(records, names, strict=True) if its_name == name]
    return records


def _check(kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise unknown(f"{kind} of the run", name, list(dict.fromkeys(known)))


def _rows(results: Results, records: Sequence[Record]) -> list[dict[str, Record]]:
    """Return the records of the first classifier: a row per original, by the titles of the methods.

    Rows with most methods come first, then those with most successes.
    """
    by_name = titles(results)
    order = [*WORKS, *sorted({cell.method for cell in results.cells.values()} - set(WORKS))]
    first = results.cells[records[0].cell]
    rows: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: order.index(results.cells[record.cell].method)):
        cell = results.cells[record.cell]
        if (cell.dataset, cell.fingerprint) == (first.dataset, first.fingerprint):
            rows[record.image][by_name[results.methods[record.cell]]] = record
    return sorted(rows.values(), key=lambda row: (-len(row), -sum(record.success for record in row.values())))
