"""The page that a run is shown by: a folder that opens from disk and can be sent as it is."""

import hashlib
import shutil
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgefool.attacks import METHODS as ATTACKS
from edgefool.datasets import KNOWN
from edgefool.errors import EdgeFoolError
from edgefool.metrics import rate
from edgefool.report import paper
from edgefool.report.figures import draw_figure, encode_figure, titles
from edgefool.report.gallery import MAX_ITEMS, Gallery, make_gallery
from edgefool.report.latex import detectability_latex
from edgefool.report.page_tables import detectability_rows, known_columns, summary_rows
from edgefool.report.rates_figure import rates_figure
from edgefool.report.results import Results
from edgefool.runs import RunFolder
from edgefool.runs.run_folder import Session
from edgefool.storage.files import is_remote, real_path, upload_folder, write_atomically
from edgefool.text import plain

_MOST_ERRORS = 200  # images that are named, of each kind of error


@dataclass(frozen=True)
class Failure:
    """Images that failed for one reason."""

    reason: str
    images: list[str]
    more: int


def write_report(
    run: RunFolder, results: Results, tables: Mapping[str, pd.DataFrame], *, most_images: int = MAX_ITEMS
) -> Path:
    """Write the page of a run into ``RUN/report``, in place of the one there.

    In an object store, which cannot rename a folder, ``index.html`` comes after the files that it shows and before
    those are deleted that only the old page had.

    Parameters
    ----------
    run, results, tables
        The run, what `load_results` made of it, and `make_tables` of that.
    most_images : int
        How many images the gallery may show; every cell gets its share.

    Returns
    -------
    Path
        ``RUN/report/index.html``.

    Raises
    ------
    OSError
        If the folder cannot be written; the page that was there stays.
    """
    folder = run.path / "report"
    if is_remote(folder):
        with TemporaryDirectory(prefix="edgefool-") as temporary:
            _build(run, results, tables, Path(temporary), most_images)
            upload_folder(Path(temporary), folder, last="index.html")
        return run.path / "report/index.html"
    building, old = run.path / ".report", run.path / ".report-old"
    for leftover in (building, old):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    building.mkdir()
    try:
        _build(run, results, tables, building, most_images)
        if folder.exists():
            folder.rename(old)
        building.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (building, old):
            shutil.rmtree(leftover, ignore_errors=True)
    return folder / "index.html"


def _build(
    run: RunFolder, results: Results, tables: Mapping[str, pd.DataFrame], folder: Path, most_images: int
) -> None:
    """Write all files of the page into an empty folder on a disk."""
    gallery = make_gallery(run, results, folder / "images", most_images)
    figures = _write_figures(run, results, tables, folder / "figures")
    for name, data in _files(run, results, tables).items():
        write_atomically(folder / name, data)
    page = _render(run, results, tables, gallery, figures)
    write_atomically(folder / "index.html", page.encode(errors="replace"))


def _files(run: RunFolder, results: Results, tables: Mapping[str, pd.DataFrame]) -> dict[str, bytes]:
    """Return what a reader may want to go on with."""
    files = {f"{name}.csv": table.to_csv(index=False).encode(errors="replace") for name, table in tables.items()}
    files["plan.toml"] = (run.path / "plan.toml").read_bytes()
    if len(tables["detectability"]):
        files["table1.tex"] = detectability_latex(tables["detectability"], titles(results)).encode(errors="replace")
    return files


def _write_figures(
    run: RunFolder, results: Results, tables: Mapping[str, pd.DataFrame], folder: Path
) -> dict[int, tuple[list[str], str]]:
    """Write the figures that the run has; return the kinds of files of each, and whose images it shows."""
    folder.mkdir()
    written: dict[int, tuple[list[str], str]] = {}
    for number, kinds in {3: ["png", "pdf"], 4: ["png", "pdf"], 5: ["svg", "pdf", "png"], 6: ["png", "pdf"]}.items():
        try:
            figure = rates_figure(tables, titles(results)) if number == 5 else draw_figure(number, run, results)
        except EdgeFoolError:  # nothing to show, or no longer
            continue
        for kind in kinds:
            write_atomically(folder / f"figure{number}.{kind}", encode_figure(figure, kind))
        written[number] = kinds, str(figure.get_label())
    dark = rates_figure(tables, titles(results), dark=True)
    write_atomically(folder / "figure5-dark.svg", encode_figure(dark, "svg"))
    return written


def _render(
    run: RunFolder,
    results: Results,
    tables: Mapping[str, pd.DataFrame],
    gallery: Gallery,
    figures: Mapping[int, tuple[list[str], str]],
) -> str:
    templates = PackageLoader("edgefool.report")
    environment = Environment(
        loader=templates,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (templates.get_source(environment, name)[0] for name in ("report.css", "report.js"))
    columns = known_columns(tables["summary"])
    groups, detection = detectability_rows(results, tables["detectability"])
    sessions = run.session_lines.read()
    return environment.get_template("report.html").render(
        name=real_path(run.path).name,
        style=Markup(style),  # noqa: S704  # ours, and hashed in the page's policy
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
        failures=_failures(results),
        datasets=_datasets(results),
        classifiers=_classifiers(results),
        methods=_methods(results),
        sizes=sorted({_size(cell.size) for cell in results.cells.values()}),
        seeds=sorted({cell.seed for cell in results.cells.values()}),
        sessions=sessions,
        commands=_commands(sessions),
        plan=(run.path / "plan.toml").read_text(encoding="utf-8"),
        columns=columns,
        summary=summary_rows(results, tables["summary"], columns),
        groups=groups,
        detection=detection,
        false_positive_rate=results.false_positive_rate,
        has_paper=bool(tables["detectability"]["paper"].notna().any()),
        has_null=bool(tables["transferability"]["null"].notna().any()),
        platforms=list(dict.fromkeys(session.platform for session in sessions)),
        has_transfer=bool(tables["transferability"]["changed"].notna().any()),
        gallery=gallery,
        figures=figures,
        bibtex=paper.BIBTEX,
        references=[
            paper.METHODS[m].reference for m in paper.METHODS if m in {c.method for c in results.cells.values()}
        ],
        detection_reference=paper.DETECTION_REFERENCE,
        version=version("edgefool"),
    )


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _size(size: int | str) -> str:
    return "their own size" if size == "native" else f"{size} × {size} pixels"  # noqa: RUF001


def _failures(results: Results) -> list[Failure]:
    """Return the images that could not be attacked, by reason, the most frequent first."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for folder, records in results.errors.items():
        for record in records:
            reasons[str(record.error)].append(f"{record.source} ({folder})")
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    return [
        Failure(plain(reason), [plain(image) for image in images[:_MOST_ERRORS]], max(0, len(images) - _MOST_ERRORS))
        for reason, images in ordered
    ]


def _datasets(results: Results) -> list[dict[str, Any]]:
    told = []
    for dataset in dict.fromkeys(cell.dataset for cell in results.cells.values()):
        images = {
            record.image
            for folder, cell in results.cells.items()
            if cell.dataset == dataset
            for record in (*results.records.get(folder, ()), *results.errors.get(folder, ()))
        }
        kind = results.kinds.get(dataset, "")
        told.append(
            {"name": dataset, "images": len(images), "about": KNOWN[kind].about if kind in KNOWN else "", "kind": kind}
        )
    return told


def _classifiers(results: Results) -> list[dict[str, Any]]:
    """Return what is known of each classifier, with its accuracy on the originals where these have labels."""
    told = []
    for dataset, targets in results.targets.items():
        labels = {
            record.image: record.label
            for folder, cell in results.cells.items()
            if cell.dataset == dataset
            for record in results.records.get(folder, ())
            if record.label is not None
        }
        for cell in targets:
            answers = results.of_originals(dataset, cell.fingerprint) if results.fits(cell) else {}
            right = rate([answers[image].predicted == label for image, label in labels.items() if image in answers])
            told.append(
                {
                    "name": cell.classifier,
                    "dataset": dataset,
                    "network": plain(Path(results.networks.get((dataset, cell.classifier), "")).name),
                    "classes": cell.num_classes,
                    "fingerprint": cell.fingerprint,
                    "accuracy": right if right.count else None,
                }
            )
    return told


def _methods(results: Results) -> list[dict[str, Any]]:
    """Return the methods with those constants that are not the defaults."""
    called = titles(results)
    told: dict[str, dict[str, Any]] = {}
    for folder, cell in results.cells.items():
        if cell.method in ATTACKS:
            attack = ATTACKS[cell.method]()
            changed = {name: value for name, value in cell.constants.items() if value != getattr(attack, name, None)}
        else:
            changed = {}
        name = results.methods[folder]
        told[f"{name} {changed}"] = {"title": called[name], "method": cell.method, "changed": changed}
    return list(told.values())


def _commands(sessions: Sequence[Session]) -> list[str]:
    """Return the commands that made the run, each once, the last one first, with the program's name for its path."""
    commands = dict.fromkeys(session.command for session in reversed(sessions) if session.command)
    return [plain(_with_short_program(command)) for command in commands]


def _with_short_program(command: str) -> str:
    program, _, rest = command.partition(" ")
    return f"edgefool {rest}" if Path(program).name in ("edgefool", "__main__.py") else command
