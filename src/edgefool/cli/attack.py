"""`edgefool attack`."""

from dataclasses import asdict
from typing import Annotated

import typer

from edgefool.cli import options
from edgefool.cli.console import out, print_left_out, print_records
from edgefool.cli.progress import ProgressDisplay
from edgefool.cli.running import open_folder, refuse_overlap
from edgefool.storage import parse_path
from edgefool.text import plain


def attack(
    images: Annotated[list[str], typer.Argument(help="Photos: files, folders or quoted patterns; also s3://...")],
    out_folder: options.OutFolder,
    method: Annotated[str, typer.Option(help="See `edgefool list methods`.")] = "edgefool",
    classifier: Annotated[
        str,
        typer.Option(help="See `edgefool list classifiers`; or torchvision:NAME, timm:NAME, path/to/file.py:factory."),
    ] = "resnet50",
    weights: Annotated[
        str | None, typer.Option(metavar="PATH", help="Your own checkpoint: safetensors or torch.")
    ] = None,
    classes: Annotated[str | None, typer.Option(metavar="PATH", help="Your own class names, one per line.")] = None,
    size: Annotated[str, typer.Option(help="Side in pixels to which photos are resized, or `native`.")] = "224",
    constants: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a hyper-parameter of the method.")
    ] = None,
    device: options.DeviceName = "auto",
    batch_size: options.BatchSize = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    executor: options.ExecutorName = None,
    workers: options.Workers = None,
    cores: options.Cores = None,
    retry: options.Retry = False,
) -> int:
    """Enhance the details of photos so that a classifier gets them wrong."""
    from edgefool.experiments import Experiment, make_attack, make_plan
    from edgefool.runs.tables import add_distances

    side, attacker = options.parse_size(size), make_attack(method, options.parse_constants(constants or []))
    chosen, folder = options.parse_executor(executor, workers, cores, device), parse_path(out_folder)
    entry = {"name": classifier, "weights": weights, "classes": classes}
    plan = make_plan(
        {
            "datasets": [{"kind": "folder", "name": "photos", "path": images}],
            "classifiers": [{key: value for key, value in entry.items() if value is not None}],
            "methods": [{"name": attacker.name, "constants": asdict(attacker)}],
            "size": side,
            "seed": seed,
        }
    )
    experiment = Experiment(plan, chosen.driver_device)
    refuse_overlap(folder, experiment)
    with open_folder(folder, experiment, alone=True) as run:
        execution = chosen.execution(experiment, run, batch_size, retry)
        with ProgressDisplay(execution, [1.0]) as progress:
            for step in execution.attack():
                progress.step(step)
    (task,) = execution.tasks
    records = [execution.done[task.folder][photo.name] for photo in task.photos]
    print_records(add_distances(records, run.qualities()))
    print_left_out(len(execution.done[task.folder]) - len(records))
    fooled, converged, lost, errors = (
        sum(bool(getattr(record, field)) for record in records)
        for field in ("success", "converged", "lost_gradient", "error")
    )
    place = folder / "images" / task.folder if fooled else folder
    out.print(
        f"{fooled} of {len(records)} photos fool the classifier, {converged} of them converged, {errors} errors; "
        f"in {plain(str(place))}"
    )
    if (floats := sum(record.success_float for record in records)) > fooled:
        out.print(f"{floats} fooled it before rounding to 8 bits")
    if lost:
        out.print(f"{lost} met a gradient that was zero or not finite; see lost_gradient in the records")
    return 1 if errors else 0
