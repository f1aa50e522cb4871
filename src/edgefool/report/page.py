"""The page of a run: a self-contained folder that opens from disk."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from edgefool.errors import EdgeFoolError
from edgefool.report import paper
from edgefool.report.figures import draw_figure, encode_figure, titles
from edgefool.report.gallery import MAX_IMAGES, Gallery, make_gallery
from edgefool.report.html import render_page
from edgefool.report.latex import detectability_latex
from edgefool.report.page_facts import run_facts
from edgefool.report.page_tables import (
    detectability_rows,
    difference_rows,
    known_columns,
    robustness_rows,
    summary_rows,
)
from edgefool.report.rates_figure import rates_figure
from edgefool.report.results import Results
from edgefool.runs import RunFolder
from edgefool.storage import StorePath

_FIGURES = {3: ("png", "pdf"), 4: ("png", "pdf"), 5: ("svg", "pdf", "png"), 6: ("png", "pdf")}

Tables = Mapping[str, pd.DataFrame]


def write_report(run: RunFolder, results: Results, tables: Tables, *, most_images: int = MAX_IMAGES) -> StorePath:
    """Write the page of a run to ``RUN/report``, replacing the old one.

    Parameters
    ----------
    run, results, tables
        The run, its results as `load_results` returns them, and their tables as `make_tables` does.
    most_images : int
        The most images that the gallery shows, divided among the cells.

    Returns
    -------
    StorePath
        ``RUN/report/index.html``.

    Raises
    ------
    OSError
        If the folder cannot be written. The old page remains.
    """
    folder = run.path / "report"
    folder.replace_folder(lambda new: _build(run, results, tables, new, most_images), last="index.html")
    return folder / "index.html"


def _build(run: RunFolder, results: Results, tables: Tables, folder: Path, most_images: int) -> None:
    """Write all files of the page to an empty folder on the disk."""
    gallery = make_gallery(run, results, folder / "images", most_images)
    figures = _write_figures(run, results, tables, folder / "figures")
    texts = {f"{name}.csv": table.to_csv(index=False) for name, table in tables.items()}
    if len(tables["detectability"]):
        texts["table1.tex"] = detectability_latex(tables["detectability"], titles(results))
    texts["index.html"] = _render(run, results, tables, gallery, figures)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode(errors="replace"))
    (folder / "plan.toml").write_bytes(run.plan.read())


def _write_figures(
    run: RunFolder, results: Results, tables: Tables, folder: Path
) -> dict[int, tuple[tuple[str, ...], str]]:
    """Write the figures that the run has; return the formats and the label of each."""
    folder.mkdir()
    written: dict[int, tuple[tuple[str, ...], str]] = {}
    for number, kinds in _FIGURES.items():
        try:
            figure = rates_figure(tables, titles(results)) if number == 5 else draw_figure(number, run, results)
        except EdgeFoolError:  # no image to show, or its file is missing
            continue
        for kind in kinds:
            (folder / f"figure{number}.{kind}").write_bytes(encode_figure(figure, kind))
        written[number] = kinds, str(figure.get_label())
    dark = rates_figure(tables, titles(results), dark=True)
    (folder / "figure5-dark.svg").write_bytes(encode_figure(dark, "svg"))
    return written


def _render(
    run: RunFolder,
    results: Results,
    tables: Tables,
    gallery: Gallery,
    figures: Mapping[int, tuple[tuple[str, ...], str]],
) -> str:
    columns = known_columns(tables["summary"])
    groups, detection = detectability_rows(results, tables["detectability"])
    rivals, differences = difference_rows(results, tables["differences"]) if "differences" in tables else ([], {})
    methods = {cell.method for cell in results.cells.values()}
    return render_page(
        "report",
        name=run.path.resolve().name,
        **run_facts(run, results),
        left_out=results.left_out,
        columns=columns,
        summary=summary_rows(results, tables["summary"], columns),
        groups=groups,
        detection=detection,
        tables=list(tables),
        rivals=rivals,
        differences=differences,
        transformations=results.transformations,
        robustness=robustness_rows(results, tables["robustness"]) if "robustness" in tables else {},
        false_positive_rate=results.false_positive_rate,
        has_paper=_has(tables["detectability"], "paper"),
        has_null=_has(tables["transferability"], "null"),
        has_transfer=_has(tables["transferability"], "changed"),
        gallery=gallery,
        figures=figures,
        bibtex=paper.BIBTEX,
        references=[work.reference for method, work in paper.WORKS.items() if method in methods],
        detection_reference=paper.DETECTION_REFERENCE,
    )


def _has(table: pd.DataFrame, column: str) -> bool:
    return bool(table[column].notna().any())
