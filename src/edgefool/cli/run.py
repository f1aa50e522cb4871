"""`edgefool run` and `edgefool demo`."""

import tomllib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefool.cli import options
from edgefool.cli.console import err, out, print_note
from edgefool.cli.progress import ProgressDisplay
from edgefool.cli.report import show_results, write_page
from edgefool.cli.running import open_folder, refuse_overlap
from edgefool.storage import StorePath, local_path, parse_path
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.experiments import Experiment

DEMO_PLAN = Path(__file__).with_name("demo.toml")


def run(
    plan_file: Annotated[str, typer.Argument(metavar="PLAN", help="A TOML file; see `plans/` and docs/plans.md.")],
    out_folder: options.OutFolder,
    device: options.DeviceName = "auto",
    batch_size: options.BatchSize = None,
    executor: options.ExecutorName = None,
    workers: options.Workers = None,
    cores: options.Cores = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Use the images of a dataset's list that are there.")
    ] = False,
    retry: options.Retry = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the plan and estimate the work.")] = False,
) -> int:
    """Run a plan: every method on every classifier and dataset, with all metrics; compute only what is missing."""
    from edgefool.experiments import Experiment, read_plan

    folder, chosen = parse_path(out_folder), options.parse_executor(executor, workers, cores, device)
    experiment = Experiment(read_plan(local_path(plan_file)), chosen.driver_device, allow_missing=allow_missing)
    refuse_overlap(folder, experiment)
    for line in experiment.warnings():
        print_note(line)
    if dry_run:
        _estimate(folder, experiment)
        return 0
    return _run(experiment, folder, chosen, batch_size, retry)


def demo(
    out_folder: options.OutFolder = "edgefool-demo",
    everything: Annotated[bool, typer.Option("--all/--three", help="All seven photos or three.")] = True,
) -> int:
    """Compare all methods offline, on photos that come with scikit-image and scikit-learn, and write a report."""
    from edgefool.experiments import Experiment, make_plan
    from edgefool.report import intermediate_figure, save_figure
    from edgefool.runs import RunFolder

    folder, settings = parse_path(out_folder), tomllib.loads(DEMO_PLAN.read_text(encoding="utf-8"))
    if not everything:
        settings["datasets"][0]["names"] = ["cat", "coffee", "astronaut"]
    experiment = Experiment(make_plan(settings))
    refuse_overlap(folder, experiment)
    code = _run(experiment, folder, options.Executor())
    opened, sheets = RunFolder(folder), folder / "contact_sheets"
    for record in opened.records():
        if record.success and record.cell == "demo/edgefool/caltech101-resnet":
            save_figure(intermediate_figure(opened, record), sheets / f"{record.image}.png")
    out.print(f"contact sheets of EdgeFool (Fig. 3): {plain(str(sheets))}")
    return code


def _run(
    experiment: "Experiment",
    folder: StorePath,
    executor: options.Executor,
    batch_size: int | None = None,
    retry: bool = False,
) -> int:
    from edgefool.report import load_results

    with open_folder(folder, experiment) as opened:
        execution = executor.execution(experiment, opened, batch_size, retry)
        seconds = iter(experiment.seconds_per_image([task.work for task in execution.tasks if task.waiting]))
        costs = [next(seconds) if task.waiting else 0.0 for task in execution.tasks]
        counts = [len(t.photos) for t in execution.tasks], [len(t.waiting) for t in execution.tasks]
        _print_estimate(*counts, [] if executor.is_ray else costs)  # workers may run on faster machines
        with ProgressDisplay(execution, costs) as progress:
            for step in execution:
                progress.step(step)
        for problem in execution.evaluation.problems:
            err.print(f"not measured: {plain(problem)}")
        results = load_results(folder)
        write_page(opened, results, show_results(results, folder / "tables"))
    done = [execution.done[task.folder][photo.name] for task in execution.tasks for photo in task.photos]
    if errors := sum(record.error is not None for record in done):
        out.print(f"{errors} errors; see the records, and use --retry to try these photos again")
    return 1 if errors else 0


def _estimate(folder: StorePath, experiment: "Experiment") -> None:
    """Estimate what is missing in a folder, which need not exist and is not changed."""
    from edgefool.runs import RunFolder
    from edgefool.runs.formats import check_format
    from edgefool.runs.opening import refuse_other_settings

    check_format(folder)
    run = RunFolder(folder)
    cells, records = run.cells(), run.records()
    refuse_other_settings(folder, cells.values(), experiment.cells, alone=False)
    folders, done = {cell.id: name for name, cell in cells.items()}, {record.key for record in records}
    photos_by_dataset = experiment.named_as_before(records)
    images, waiting = [], []
    for work in experiment.works:
        photos = photos_by_dataset[work.cell.dataset][: work.limit]
        images.append(len(photos))
        waiting.append(sum((folders.get(work.cell.id), photo.name) not in done for photo in photos))
    _print_estimate(images, waiting, experiment.seconds_per_image(experiment.works))


def _print_estimate(images: Sequence[int], waiting: Sequence[int], costs: Sequence[float]) -> None:
    text = f"{len(images)} cells, {sum(images):,} images, {sum(waiting):,} of them to attack"
    if seconds := sum(count * cost for count, cost in zip(waiting, costs, strict=False)):
        text += f": roughly {timedelta(seconds=round(seconds))}, by a timed step of each attack"
    err.print(text)
