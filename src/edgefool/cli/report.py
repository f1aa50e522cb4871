"""The commands that read runs (`edgefool report`, `figure` and `check`), and the output that other commands share."""

from typing import TYPE_CHECKING, Annotated

import typer

from edgefool.cli.console import err, out, print_robustness, print_summary
from edgefool.cli.options import RunArgument
from edgefool.storage import StorePath, parse_path
from edgefool.text import plain

if TYPE_CHECKING:
    import pandas as pd

    from edgefool.report import Results
    from edgefool.runs import RunFolder


def report(
    run_folder: RunArgument,
    images: Annotated[int, typer.Option(min=0, help="Maximum number of images in the gallery.")] = 3000,
) -> int:
    """Rewrite RUN/report/index.html: tables, figures and a gallery, in a self-contained folder."""
    from edgefool.report import load_results, make_tables
    from edgefool.runs import read_run

    run = read_run(run_folder)
    results = load_results(run.path)
    write_page(run, results, make_tables(results), images)
    return 0


def figure(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="3, 4, 5 or 6.")],
    run_folder: RunArgument,
    file: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="PATH", help="A .pdf, .png or .svg file.", show_default="RUN/figures/figureN.pdf and .png"
        ),
    ] = None,
    image: Annotated[str | None, typer.Option(help="Name of an image in the run.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    method: Annotated[str | None, typer.Option(help="Only this method.")] = None,
    classifier: Annotated[str | None, typer.Option(help="Only this classifier.")] = None,
) -> int:
    """Draw a figure of the paper: 3 intermediate images, 4 perturbations, 5 rates, 6 adversarial images."""
    from edgefool.report import draw_figure, load_results, save_figure
    from edgefool.runs import read_run

    run = read_run(run_folder)
    defaults = [run.path / "figures" / f"figure{number}.{kind}" for kind in ("pdf", "png")]
    selection = {"image": image, "dataset": dataset, "method": method, "classifier": classifier}
    drawing = draw_figure(number, run, load_results(run.path), **selection)
    for path in [parse_path(file)] if file else defaults:
        save_figure(drawing, path)
        out.print(plain(str(path)))
    return 0


def check(run_folder: RunArgument) -> int:
    """Verify the checksum of every line and the hash of every image of a run; change nothing."""
    from edgefool.runs import check_run

    folder = parse_path(run_folder)
    problems = check_run(folder)
    for problem in problems:
        out.print(plain(problem))
    out.print(f"{plain(str(folder))}: {'damaged' if problems else 'sound'}")
    return 1 if problems else 0


def show_results(results: "Results", folder: StorePath | None) -> "dict[str, pd.DataFrame]":
    """Print the summary of results, write all tables into ``folder`` as CSV, and return them."""
    from edgefool.report import make_tables

    tables = make_tables(results)
    print_summary(tables["summary"])
    if folder:
        for name, table in tables.items():
            (folder / f"{name}.csv").write(table.to_csv(index=False).encode())
        out.print(f"\ntables: {plain(str(folder))}")
    return tables


def show_changes(run: "RunFolder") -> None:
    """Print what a run of one cell says about semantic groups and robustness, if it does."""
    from edgefool.report import load_results, robustness_table, semantics_table

    results = load_results(run.path)
    semantics, robustness = semantics_table(results), robustness_table(results)
    for line in semantics[semantics["target"] == semantics["classifier"]].to_dict("records"):
        out.print(f"{line['left_group'] * line['images']:.0f} of {line['images']} photos left their semantic group")
    if len(robustness):
        print_robustness(robustness[robustness["target"] == robustness["classifier"]])


def write_page(run: "RunFolder", results: "Results", tables: "dict[str, pd.DataFrame]", images: int = 3000) -> None:
    """Write the page of a run and print its path."""
    from edgefool.report import write_report

    with err.status("writing the report"):
        page = write_report(run, results, tables, most_images=images)
    out.print(f"report: {plain(str(page))}")
