"""The commands that make runs: `edgefool attack`, `edgefool run` and `edgefool demo`."""

import shlex
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefool.cli import options
from edgefool.cli.console import err, out, print_left_out, print_note, print_records, print_weights
from edgefool.cli.progress import track_run
from edgefool.cli.report import show_changes, show_results, write_page
from edgefool.errors import EdgeFoolError, UsageError
from edgefool.storage import StorePath, local_path, parse_path
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.classifiers import Classifier
    from edgefool.experiments import ClassifierEntry, Experiment
    from edgefool.runs import RunFolder

DEMO_PLAN = Path(__file__).with_name("demo.toml")
DEFAULT_CLASSIFIER = "efficientnet-lite0"
"""Works offline; until 0.1.0 it was ``resnet50``."""


def attack(
    context: typer.Context,
    images: Annotated[list[str], typer.Argument(help="Photos: files, folders or quoted patterns; also s3://...")],
    out_folder: options.OutFolder,
    method: Annotated[str, typer.Option(help="See `edgefool list methods`.")] = "edgefool",
    classifier: Annotated[str, typer.Option(metavar="NAME", help=options.CLASSIFIER_FORMS)] = DEFAULT_CLASSIFIER,
    ensemble: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Attack several classifiers together; repeat it for each, as --classifier."),
    ] = None,
    weights: Annotated[str | None, typer.Option(metavar="PATH", help="The same as @CHECKPOINT.")] = None,
    classes: Annotated[str | None, typer.Option(metavar="PATH", help="Your own class names, one per line.")] = None,
    groups: options.GroupsFile = None,
    size: Annotated[str, typer.Option(help="Side in pixels to which photos are resized, or `native`.")] = "224",
    target: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Aim at this class, by index or name; not for every method.")
    ] = None,
    from_labels: Annotated[
        str | None,
        typer.Option(metavar="CSV", help="True labels, in the columns file and label; success is any other class."),
    ] = None,
    constants: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a hyper-parameter of the method.")
    ] = None,
    robustness: options.Robustness = None,
    device: options.DeviceName = "auto",
    batch_size: options.BatchSize = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    executor: options.ExecutorName = None,
    workers: options.Workers = None,
    cores: options.Cores = None,
    max_megapixels: options.MaxMegapixels = None,
    retry: options.Retry = False,
) -> int:
    """Enhance the details of photos so that a classifier gets them wrong."""
    from edgefool.attacks import make_attack
    from edgefool.execution import RunState
    from edgefool.experiments import Experiment, make_classifier_entry, make_plan
    from edgefool.experiments.experiment import load_classifiers
    from edgefool.runs.tables import add_distances

    side, attacker = options.parse_size(size), make_attack(method, options.parse_constants(constants or []))
    chosen, folder = options.parse_executor(executor, workers, cores, device, batch_size), parse_path(out_folder)
    if ensemble:
        for name in ("classifier", "weights", "classes"):
            if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE":
                raise UsageError(f"--ensemble and --{name} are mutually exclusive")
        classifiers = options.parse_ensemble(ensemble)
    else:
        classifiers = [{**options.parse_classifier(classifier, weights), "classes": classes}]
    classifiers = [entry if "members" in entry else entry | {"groups": groups} for entry in classifiers]
    if target is not None and from_labels is not None:
        raise UsageError("--target and --from-labels are mutually exclusive")
    photos: dict[str, Any] = {"kind": "folder", "name": "photos", "path": images}
    loaded: dict[ClassifierEntry, Classifier] = {}
    if from_labels is not None:
        entry = make_classifier_entry(classifiers[0])
        (loaded[entry],) = load_classifiers("photos", [entry], chosen.device, side)
        photos |= {"labels": from_labels, "num_classes": loaded[entry].num_classes}
    criterion = "misclassification" if from_labels is None else "labels"
    settings = {
        "datasets": [photos],
        "classifiers": classifiers,
        "methods": [
            {"name": attacker.name, "constants": attacker.hyperparameters(), "criterion": criterion, "target": target}
        ],
        "size": side,
        "seed": seed,
        "robustness": options.parse_robustness(robustness),
        "max_megapixels": max_megapixels,
    }
    experiment = Experiment(make_plan(settings), chosen.device, allow_missing=True, loaded=loaded)
    _refuse_overlap(folder, experiment)
    _refuse_other_classifier(folder, experiment)
    with _open(folder, experiment, alone=True) as opened:
        state = RunState(experiment, opened, retry=retry, predict=False)
        for _ in track_run(state, chosen.run(state), [1.0]):
            pass
    (cell,) = state.cells
    done = state.records[cell.folder]
    records = [done[photo.name] for photo in cell.photos]
    print_records(add_distances(records, opened.qualities()))
    print_left_out(len(done) - len(records))
    fooled, converged, lost, errors = (
        sum(bool(getattr(record, field)) for record in records)
        for field in ("success", "converged", "lost_gradient", "error")
    )
    place = folder / "images" / cell.folder if fooled else folder
    victim = "all classifiers" if ensemble else "the classifier"
    reached = f"fool {victim}" if target is None else f"are {plain(target)} for {victim}"
    out.print(
        f"{fooled} of {len(records)} photos {reached}, {converged} of them converged, {errors} errors; "
        f"in {plain(str(place))}"
    )
    if target is not None or from_labels is not None:
        rest = [record for record in records if not record.error and not record.success_before]
        before = "wrong" if target is None else "of that class"
        out.print(
            f"{len(records) - errors - len(rest)} were {before} before the attack; of the other {len(rest)}, "
            f"{sum(record.success for record in rest)} {reached}"
        )
    show_changes(opened)
    if (floats := sum(record.success_float for record in records)) > fooled:
        out.print(f"{floats} fooled it before rounding to 8 bits")
    if lost:
        out.print(f"{lost} met a gradient that was zero or not finite; see lost_gradient in the records")
    return 1 if errors else 0


def run(
    plan_file: Annotated[str, typer.Argument(metavar="PLAN", help="A TOML file; see `plans/` and docs/plans.md.")],
    out_folder: options.OutFolder,
    device: options.DeviceName = "auto",
    batch_size: options.BatchSize = None,
    executor: options.ExecutorName = None,
    workers: options.Workers = None,
    cores: options.Cores = None,
    max_megapixels: options.MaxMegapixels = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Use the images that are there, even if some are missing.")
    ] = False,
    retry: options.Retry = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the plan and estimate the work.")] = False,
) -> int:
    """Run a plan: every method on every classifier and dataset, with all metrics; compute only what is missing."""
    from edgefool.experiments import Experiment, read_plan

    folder, chosen = parse_path(out_folder), options.parse_executor(executor, workers, cores, device, batch_size)
    plan = read_plan(local_path(plan_file))
    if max_megapixels:
        plan = plan.model_copy(update={"max_megapixels": max_megapixels})
    experiment = Experiment(plan, chosen.device, allow_missing=allow_missing)
    _refuse_overlap(folder, experiment)
    for line in experiment.warnings():
        print_note(line)
    if dry_run:
        _estimate(folder, experiment)
        return 0
    return _run(experiment, folder, chosen, retry=retry)


def demo(
    out_folder: options.OutFolder = "edgefool-demo",
    everything: Annotated[bool, typer.Option("--all/--three", help="All four photos or three.")] = True,
) -> int:
    """Compare methods offline, on photos that come with scikit-image and scikit-learn, and write a report."""
    from edgefool.experiments import Experiment, make_plan
    from edgefool.report import intermediate_figure, save_figure
    from edgefool.runs import RunFolder

    folder, settings = parse_path(out_folder), tomllib.loads(DEMO_PLAN.read_text(encoding="utf-8"))
    if not everything:
        settings["datasets"][0]["names"] = ["cat", "coffee", "motorcycle"]
    experiment = Experiment(make_plan(settings))
    _refuse_overlap(folder, experiment)
    code = _run(experiment, folder, options.Executor())
    opened, sheets = RunFolder(folder), folder / "contact_sheets"
    for record in opened.records():
        if record.success and record.cell == f"demo/edgefool/{DEFAULT_CLASSIFIER}":
            save_figure(intermediate_figure(opened, record), sheets / f"{record.image}.png")
    out.print(f"contact sheets of EdgeFool (Fig. 3): {plain(str(sheets))}")
    return code


def _run(experiment: "Experiment", folder: StorePath, executor: options.Executor, *, retry: bool = False) -> int:
    from edgefool.execution import RunState
    from edgefool.report import load_results

    with _open(folder, experiment) as opened:
        state = RunState(experiment, opened, retry=retry)
        seconds = iter(experiment.seconds_per_image([cell.job for cell in state.cells if cell.waiting]))
        costs = [next(seconds) if cell.waiting else 0.0 for cell in state.cells]
        counts = [len(cell.photos) for cell in state.cells], [len(cell.waiting) for cell in state.cells]
        _print_estimate(*counts, [] if executor.pool else costs)  # workers may run on faster machines
        for _ in track_run(state, executor.run(state), costs):
            pass
        for problem in state.evaluation.problems:
            err.print(f"not measured: {plain(problem)}")
        results = load_results(folder)
        print_left_out(results.left_out)
        write_page(opened, results, show_results(results, folder / "tables"))
    records = (state.records[cell.folder][photo.name] for cell in state.cells for photo in cell.photos)
    if errors := sum(record.error is not None for record in records):
        out.print(f"{errors} errors; see the records, and use --retry to try these photos again")
    return 1 if errors else 0


def _refuse_overlap(folder: StorePath, experiment: "Experiment") -> None:
    """Refuse a folder whose images would be attacked as photos when the run is resumed."""
    home = folder.resolve()
    paths = [path for dataset in experiment.plan.datasets for path in dataset.paths]
    searched = [path for path in paths if home.is_inside(path.resolve()) and path.kind() == "folder"]
    inside = [photo for photos in experiment.photos.values() for photo in photos if photo.path.is_inside(home)]
    if searched or inside:
        raise UsageError(f"--out {folder} is inside a folder of photos, or contains photos; choose another folder")


def _refuse_other_classifier(folder: StorePath, experiment: "Experiment") -> None:
    """Refuse a run that differs in its classifier alone, and name the option that continues it."""
    from edgefool.experiments.plan import reread_plan
    from edgefool.runs import RunFolder

    run, (cell,), made = RunFolder(folder), experiment.cells, None
    with suppress(EdgeFoolError, OSError):  # `open_run` says what is wrong with the run, or repairs it
        different = [line.partition(":")[0] for other in run.cells().values() for line in other.differences(cell)]
        if set(different) == {"fingerprint"}:
            made = reread_plan(run.plan)
    if made:
        option = "--ensemble" if made.ensembles else "--classifier"
        names = [f"{entry.name}@{entry.weights}" if entry.weights else entry.name for entry in made.networks]
        command = shlex.join(word for name in names for word in (option, name))
        raise UsageError(f"{folder} was made with another classifier; continue it with {command}, or name a new folder")


@contextmanager
def _open(folder: StorePath, experiment: "Experiment", *, alone: bool = False) -> Iterator["RunFolder"]:
    """Open the run of an experiment and print what was repaired."""
    from edgefool.runs import open_run

    plan, command = experiment.plan.to_toml(), shlex.join(sys.argv)
    print_weights(experiment.all_classifiers)
    with open_run(
        folder, plan, experiment.cells, command=command, alone=alone, classifiers=experiment.all_classifiers
    ) as opened:
        for line in opened.repaired[:5]:
            err.print(f"repaired: {plain(line)}")
        if len(opened.repaired) > 5:
            err.print(f"... and {len(opened.repaired) - 5} more")
        yield opened


def _estimate(folder: StorePath, experiment: "Experiment") -> None:
    """Print an estimate of the missing work in a folder, which may not exist and is not changed."""
    from edgefool.runs import RunFolder
    from edgefool.runs.formats import check_format
    from edgefool.runs.opening import refuse_other_settings
    from edgefool.runs.source_hashes import SourceHashes

    check_format(folder)
    cells, records = RunFolder(folder).cells(), RunFolder(folder).records()
    refuse_other_settings(folder, cells.values(), experiment.cells, alone=False)
    folders, done = {cell.id: name for name, cell in cells.items()}, {record.key for record in records}
    photos = experiment.named_as_before(records, SourceHashes())
    images, waiting = [], []
    for job in experiment.jobs:
        chosen = photos[job.cell.dataset][: job.limit]
        images.append(len(chosen))
        waiting.append(sum((folders.get(job.cell.id), photo.name) not in done for photo in chosen))
    _print_estimate(images, waiting, experiment.seconds_per_image(experiment.jobs))


def _print_estimate(images: Sequence[int], waiting: Sequence[int], costs: Sequence[float]) -> None:
    text = f"{len(images)} cells, {sum(images):,} images, {sum(waiting):,} of them to attack"
    if seconds := sum(count * cost for count, cost in zip(waiting, costs, strict=False)):
        text += f": roughly {timedelta(seconds=round(seconds))}, estimated from a timed step of each attack"
    err.print(text)
