"""The command line: a thin skin over the package. Nothing heavy is imported before a command needs it."""

import io
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.table import Table

from edgefool.console import Follower, err, out, print_records, print_summary
from edgefool.errors import EdgeFoolError, UsageError
from edgefool.storage.files import is_folder, is_inside, local_path, parse_path, real_path, write_atomically
from edgefool.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from edgefool.attacks import Attack
    from edgefool.execution import RunState, Step
    from edgefool.experiments import Experiment
    from edgefool.report import Results
    from edgefool.runs import RunFolder

app = typer.Typer(
    name="edgefool",
    help="Photos with sharper details that a classifier gets wrong (EdgeFool, ICASSP 2020).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_ClickError = cast(type[Exception], typer.BadParameter.__mro__[2])  # newer versions of typer carry a click of their own


DEMO: Mapping[str, object] = {
    "classifiers": [{"name": "caltech101-resnet"}, {"name": "caltech101-alexnet"}],
    "methods": [
        *({"name": name} for name in ("edgefool", "nfgsm", "pfgsm", "deepfool", "sparsefool")),
        {"name": "semanticadv", "constants": {"trials": 200}},
        {"name": "enhance"},
    ],
}  # CW takes too long to be tried


_Executor = Annotated[
    str | None,
    typer.Option(
        help="local: this process; ray: workers on this machine; ray://HOST:PORT or ray://auto: on a Ray cluster.",
        show_default="local, or ray with --workers",
    ),
]
_Workers = Annotated[
    int | None, typer.Option(min=1, help="How many workers.", show_default="one for each GPU, or for --cores cores")
]
_Cores = Annotated[
    int | None, typer.Option(min=1, help="CPU cores of each worker.", show_default="1, or their share with GPUs")
]


class Listing(StrEnum):
    """What `edgefool list` can show."""

    classifiers = "classifiers"
    datasets = "datasets"
    methods = "methods"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 something failed, 2 wrong usage, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where it cannot take a τ
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = int(app(args=arguments, standalone_mode=False) or 0)
    except UsageError as error:
        return _complain(str(error), 2)
    except EdgeFoolError as error:
        return _complain(str(error), 1)
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except _ClickError as error:
        return _complain(error.format_message(), 2)  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:  # newer versions of typer return it instead of passing the interruption on
        err.print("stopped; what is done is kept, repeat the command to go on")
    return code


def _complain(message: str, code: int) -> int:
    if message:  # none where the help was shown instead
        err.print(f"error: {plain(message)}")
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"edgefool {version('edgefool')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    pass


@app.command()
def attack(
    images: Annotated[list[str], typer.Argument(help="Photos: files, folders or quoted patterns; also s3://...")],
    out_folder: Annotated[
        str, typer.Option("--out", metavar="PATH", help="Folder of the run; the same command goes on with it.")
    ],
    method: Annotated[str, typer.Option(help="See `edgefool list methods`.")] = "edgefool",
    classifier: Annotated[
        str,
        typer.Option(help="See `edgefool list classifiers`; or torchvision:NAME, timm:NAME, path/to/file.py:factory."),
    ] = "resnet50",
    weights: Annotated[
        str | None, typer.Option(metavar="PATH", help="Checkpoint of your own: safetensors or torch.")
    ] = None,
    classes: Annotated[str | None, typer.Option(metavar="PATH", help="Class names of your own, one a line.")] = None,
    size: Annotated[str, typer.Option(help="Side in pixels that photos are resized to, or `native`.")] = "224",
    constants: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a constant of the method.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Photos attacked at a time.", show_default="by the free memory")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    executor: _Executor = None,
    workers: _Workers = None,
    cores: _Cores = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try the photos again that gave an error.")] = False,
) -> int:
    """Enhance the details of photos so that a classifier gets them wrong."""
    from edgefool.experiments import make_attack

    side = _parse_size(size)
    attacker = make_attack(method, _parse_constants(constants or []))
    victim = {"name": classifier, "weights": weights, "classes": classes}
    chosen = _parse_executor(executor, workers, cores, device)
    return _attack(images, parse_path(out_folder), attacker, victim, side, seed, chosen, batch_size, retry)


@app.command()
def run(
    plan_file: Annotated[str, typer.Argument(metavar="PLAN", help="TOML file; see `experiments/` and the docs.")],
    out_folder: Annotated[
        str, typer.Option("--out", metavar="PATH", help="Folder of the run; what is there already is not done again.")
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Photos attacked at a time.", show_default="by the free memory")
    ] = None,
    executor: _Executor = None,
    workers: _Workers = None,
    cores: _Cores = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on with those images of a dataset's list that are there.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try the photos again that gave an error.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the plan and estimate the work.")] = False,
) -> int:
    """Run a plan: every method on every classifier and dataset, with all measures; do only what is missing."""
    from edgefool.experiments import Experiment, read_plan

    folder, chosen = parse_path(out_folder), _parse_executor(executor, workers, cores, device)
    experiment = Experiment(read_plan(local_path(plan_file)), chosen.driver_device, allow_missing=allow_missing)
    _keep_apart(folder, experiment)
    for line in experiment.warnings():
        err.print(f"note: {plain(line)}")
    if dry_run:
        _foretell(folder, experiment)
        return 0
    return _carry_out(experiment, folder, chosen, batch_size, retry)


def _carry_out(
    experiment: "Experiment",
    folder: Path,
    executor: "_ExecutorChoice",
    batch_size: int | None = None,
    retry: bool = False,
) -> int:
    from edgefool.execution import RunState
    from edgefool.report import load_results
    from edgefool.runs import open_run

    with open_run(folder, experiment.plan.to_toml(), experiment.cells, command=shlex.join(sys.argv)) as opened:
        _tell_mended(opened)
        state = RunState(experiment, opened, retry=retry)
        costs = _costs(experiment, state)
        counts = [len(cell.photos) for cell in state.cells], [len(cell.waiting) for cell in state.cells]
        _tell_estimate(*counts, [] if executor.is_ray else costs)  # workers may be on faster machines
        with Follower(state, costs) as follower:
            for step in executor.steps(state, batch_size, measure=True):
                follower.step(step)
        for problem in state.evaluation.problems:
            err.print(f"not measured: {plain(problem)}")
        results = load_results(folder)
        _write_page(opened, results, _tell_results(results, folder / "tables"))
    done = [state.records[cell.folder][photo.name] for cell in state.cells for photo in cell.photos]
    if errors := sum(record.error is not None for record in done):
        out.print(f"{errors} errors; see the records, and --retry")
    return 1 if errors else 0


def _foretell(folder: Path, experiment: "Experiment") -> None:
    """Estimate what is missing in a folder, which need not exist, and leave it as it is."""
    from edgefool.runs import RunFolder

    run = RunFolder(folder)
    run.refuse_others(experiment.cells, alone=False)
    folders = {cell.id: name for name, cell in run.cells().items()}
    done = {record.key for record in run.records()}
    images, waiting = [], []
    for job in experiment.jobs:
        photos = experiment.photos[job.cell.dataset][: job.limit]
        images.append(len(photos))
        waiting.append(sum((folders.get(job.cell.id), photo.name) not in done for photo in photos))
    _tell_estimate(images, waiting, experiment.seconds_per_image(experiment.jobs))


def _costs(experiment: "Experiment", state: "RunState") -> list[float]:
    """Return roughly the seconds per image of each task that has any to do."""
    known = iter(experiment.seconds_per_image([cell.job for cell in state.cells if cell.waiting]))
    return [next(known) if cell.waiting else 0.0 for cell in state.cells]


def _tell_estimate(images: Sequence[int], waiting: Sequence[int], costs: Sequence[float]) -> None:
    told = f"{len(images)} cells, {sum(images):,} images, {sum(waiting):,} of them to attack"
    if seconds := sum(count * cost for count, cost in zip(waiting, costs, strict=False)):
        told += f": roughly {timedelta(seconds=round(seconds))}, by a timed step of each attack"
    err.print(told)


@app.command()
def evaluate(
    clean: Annotated[str, typer.Argument(help="Folder of the original images.")],
    adversarial: Annotated[str, typer.Argument(help="Folder of adversarial images of the same names.")],
    classifier: Annotated[list[str], typer.Option(help="As for `attack`; may be given several times.")],
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Checkpoints, one for each --classifier in their order."),
    ] = None,
    size: Annotated[str, typer.Option(help="Side in pixels that originals are resized to, or `native`.")] = "native",
    labels: Annotated[
        str | None, typer.Option(metavar="PATH", help="CSV file with the columns file and label.")
    ] = None,
    num_classes: Annotated[int | None, typer.Option(min=1, help="How many classes the labels count.")] = None,
    lpips: Annotated[
        str | None, typer.Option(metavar="PATH", help="Weights of SqueezeNet 1.1, to compute LPIPS with.")
    ] = None,
    out_folder: Annotated[
        str | None, typer.Option("--out", metavar="PATH", help="Folder for the tables, as CSV.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
) -> int:
    """Measure adversarial images that another tool made: misleading rate, transfer, detection and quality."""
    from rich.progress import track

    from edgefool.datasets import Folder
    from edgefool.execution import ExternalImages
    from edgefool.experiments import ClassifierEntry, LpipsEntry
    from edgefool.experiments.experiment import load_classifiers, load_lpips, unfit_labels
    from edgefool.metrics import PAPER_SQUEEZERS
    from edgefool.report import make_results
    from edgefool.runs import RunFolder

    side, place = _parse_size(size), _parse_device(device)
    files: Sequence[Path | None] = [local_path(file) for file in weights or ()] or [None] * len(classifier)
    if len(files) != len(classifier):
        raise UsageError(f"{len(classifier)} of --classifier and {len(files)} of --weights: give one for each, or none")
    if (labels is None) != (num_classes is None):
        raise UsageError("--labels and --num-classes go together")
    dataset = Folder(
        name="originals",
        path=(parse_path(clean),),
        labels=None if labels is None else parse_path(labels),
        num_classes=num_classes,
    )
    images = ExternalImages(dataset, parse_path(adversarial), side)
    entries = [ClassifierEntry(name=name, weights=file) for name, file in zip(classifier, files, strict=True)]
    classifiers = load_classifiers(dataset.name, entries, place)
    distance = load_lpips(LpipsEntry(backbone="squeeze", weights=local_path(lpips)), place) if lpips else None
    for line in unfit_labels(dataset, classifiers):
        err.print(f"note: {plain(line)}")
    with TemporaryDirectory(prefix="edgefool-") as temporary:
        run = RunFolder(Path(temporary))
        steps = images.measure(run, classifiers, PAPER_SQUEEZERS, distance)
        for _ in track(steps, "measuring", console=err, total=(2 * len(classifiers) + 1) * len(images.pairs)):
            pass
        records = run.records()
        results = make_results(
            run.cells(),
            records,
            run.prediction_lines.read(),
            run.quality_lines.read(),
            squeezers=PAPER_SQUEEZERS,
            false_positive_rate=0.05,
            label_classes={dataset.name: num_classes},
        )
    if images.unpaired:
        err.print(f"note: {images.unpaired} originals have no adversarial image")
    for record in (errors := [record for record in records if record.error]):
        err.print(plain(f"{record.source}: {record.error}"))
    _tell_results(results, None if out_folder is None else parse_path(out_folder))
    return 1 if errors else 0


@app.command()
def demo(
    out_folder: Annotated[str, typer.Option("--out", metavar="PATH", help="Folder of the run.")] = "edgefool-demo",
    everything: Annotated[bool, typer.Option("--all/--three", help="All seven photos or three.")] = True,
) -> int:
    """Compare all methods on photos that come with scikit-image and scikit-learn, offline; make a page of it."""
    from edgefool.experiments import Experiment, make_plan
    from edgefool.report import intermediate_figure, save_figure
    from edgefool.runs import RunFolder

    folder = parse_path(out_folder)
    names = {} if everything else {"names": ["cat", "coffee", "astronaut"]}
    experiment = Experiment(make_plan({**DEMO, "datasets": [{"kind": "demo", **names}]}))
    _keep_apart(folder, experiment)
    code = _carry_out(experiment, folder, _ExecutorChoice())
    run, sheets = RunFolder(folder), folder / "contact_sheets"
    for record in run.records():
        if record.success and record.cell == "demo/edgefool/caltech101-resnet":
            save_figure(intermediate_figure(run, record), sheets / f"{record.image}.png")
    out.print(f"contact sheets of EdgeFool (Fig. 3): {plain(str(sheets))}")
    return code


@app.command()
def report(
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run.")],
    images: Annotated[int, typer.Option(min=0, help="Most images that the gallery shows.")] = 3000,
) -> int:
    """Make the page of a run anew, RUN/report/index.html: tables, figures and a gallery, to send as it is."""
    from edgefool.report import load_results, make_tables
    from edgefool.runs import RunFolder

    folder = parse_path(run_folder)
    results = load_results(folder)
    _write_page(RunFolder(folder), results, make_tables(results), images)
    return 0


@app.command()
def figure(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="3, 4, 5 or 6.")],
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run.")],
    file: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="PATH", help="A .pdf, .png or .svg.", show_default="RUN/figures/figureN.pdf and .png"
        ),
    ] = None,
    image: Annotated[str | None, typer.Option(help="Name of an image in the run.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only of this dataset.")] = None,
    method: Annotated[str | None, typer.Option(help="Only of this method.")] = None,
    classifier: Annotated[str | None, typer.Option(help="Only of this classifier.")] = None,
) -> int:
    """Draw a figure of the paper: 3 intermediate images, 4 perturbations, 5 rates, 6 adversarial images."""
    from edgefool.report import draw_figure, load_results, save_figure
    from edgefool.runs import RunFolder

    folder = parse_path(run_folder)
    own = folder / "figures" / f"figure{number}"
    files = [parse_path(file)] if file else [own.with_suffix(suffix) for suffix in (".pdf", ".png")]
    wanted = {"image": image, "dataset": dataset, "method": method, "classifier": classifier}
    drawn = draw_figure(number, RunFolder(folder), load_results(folder), **wanted)
    for path in files:
        save_figure(drawn, path)
        out.print(plain(str(path)))
    return 0


@app.command("list")
def show(what: Annotated[Listing, typer.Argument(help="What to list.")] = Listing.classifiers) -> None:
    """List classifiers, datasets or methods."""
    if what is Listing.classifiers:
        from edgefool.classifiers import CLASSIFIERS

        table = Table("name", "trained on", "classes", "weights", "about", box=None)
        for entry in CLASSIFIERS.values():
            source = "in the package" if entry.url is None else "downloaded"
            table.add_row(entry.name, entry.dataset, str(entry.num_classes), source, f"{entry.about} ({entry.licence})")
        table.columns[0].no_wrap = True
        out.print(table)
        out.print("\nYour own: torchvision:NAME or timm:NAME with --weights FILE, or path/to/file.py:factory")
        return
    if what is Listing.datasets:
        from edgefool.datasets import KNOWN

        for facts in KNOWN.values():
            out.print(f"{facts.kind}: {facts.about}")
            counts = f"{facts.images:,} images" if facts.images else "your images"
            counts += f", labels of {facts.classes:,} classes" if facts.classes else ""
            out.print(f"  {counts}; licence: {facts.licence}")
            out.print(f"  needs in a plan: {', '.join(facts.needs) or 'nothing'}; takes: {', '.join(facts.takes)}")
            out.print(f"  images: {facts.source}\n")
        return
    from edgefool.attacks import METHODS

    table = Table("name", "field", "default", box=None)
    for name, method in METHODS.items():
        defaults = method()
        for number, field in enumerate(fields(method)):
            table.add_row(name if number == 0 else "", field.name, str(getattr(defaults, field.name)))
    out.print(table)


def _attack(
    images: Sequence[str],
    folder: Path,
    attacker: "Attack",
    classifier: Mapping[str, object],
    size: int | str,
    seed: int,
    executor: "_ExecutorChoice",
    batch_size: int | None,
    retry: bool,
) -> int:
    from edgefool.execution import RunState
    from edgefool.experiments import Experiment, make_plan
    from edgefool.runs import open_run

    plan = make_plan(
        {
            "datasets": [{"kind": "folder", "name": "photos", "path": images}],
            "classifiers": [{key: value for key, value in classifier.items() if value is not None}],
            "methods": [{"name": attacker.name, "constants": asdict(attacker)}],
            "size": size,
            "seed": seed,
        }
    )
    experiment = Experiment(plan, executor.driver_device)
    _keep_apart(folder, experiment)
    with open_run(folder, plan.to_toml(), experiment.cells, command=shlex.join(sys.argv), alone=True) as opened:
        _tell_mended(opened)
        state = RunState(experiment, opened, retry=retry)
        with Follower(state, [1.0]) as follower:
            for step in executor.steps(state, batch_size, measure=False):
                follower.step(step)
    (task,) = state.cells
    records = [state.records[task.folder][photo.name] for photo in task.photos]
    print_records(records)
    misled = sum(record.success for record in records)
    failed = sum(record.error is not None for record in records)
    converged = sum(record.converged for record in records)
    where = folder / "images" / task.folder if misled else folder
    out.print(
        f"{misled} of {len(records)} misled, {converged} of them converged, {failed} errors; in {plain(str(where))}"
    )
    if (floats := sum(record.success_float for record in records)) > misled:
        out.print(f"{floats} were misled before rounding to 8 bits")
    if lost := sum(record.lost_gradient for record in records):
        out.print(f"{lost} met a gradient that was zero or not finite; see lost_gradient in the records")
    return 1 if failed else 0


def _keep_apart(folder: Path, experiment: "Experiment") -> None:
    """Refuse a run whose own images would be taken for photos when it goes on."""
    home = real_path(folder)
    paths = [path for dataset in experiment.plan.datasets for path in dataset.paths]
    searched = [path for path in paths if is_inside(home, real_path(path)) and is_folder(path)]
    inside = [photo for photos in experiment.photos.values() for photo in photos if is_inside(photo.path, home)]
    if searched or inside:
        raise UsageError(f"--out {folder} lies where photos are searched; name a folder outside")


def _tell_mended(run: "RunFolder", most: int = 5) -> None:
    for line in run.mended[:most]:
        err.print(f"damaged, so done again: {plain(line)}")
    if len(run.mended) > most:
        err.print(f"... and {len(run.mended) - most} more")


def _tell_results(results: "Results", folder: Path | None) -> "dict[str, pd.DataFrame]":
    """Print the gist of results, and write their tables as CSV; return the tables."""
    from edgefool.report import make_tables

    tables = make_tables(results)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            write_atomically(folder / f"{name}.csv", table.to_csv(index=False).encode())
    print_summary(tables["summary"])
    if folder:
        out.print(f"\ntables: {plain(str(folder))}")
    return tables


def _write_page(run: "RunFolder", results: "Results", tables: "dict[str, pd.DataFrame]", images: int = 3000) -> None:
    from edgefool.report import write_report

    with err.status("making the page"):
        page = write_report(run, results, tables, most_images=images)
    out.print(f"report: {plain(str(page))}")


def _parse_size(text: str) -> int | Literal["native"]:
    if text == "native":
        return "native"
    from edgefool.images import MAX_SIDE, MIN_SIDE

    if not text.isdecimal() or not MIN_SIDE <= int(text) <= MAX_SIDE:
        raise UsageError(f"--size {text}: a number of pixels from {MIN_SIDE} to {MAX_SIDE}, or native")
    return int(text)


def _parse_constants(texts: list[str]) -> dict[str, str]:
    constants = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: give FIELD=VALUE")
        constants[name.strip()] = value.strip()
    return constants


@dataclass(frozen=True)
class _ExecutorChoice:
    """Which executor was asked for; ``address`` of None is this process, "" Ray on this machine."""

    device: str = "cpu"
    address: str | None = None
    workers: int | None = None
    cores: int | None = None

    @property
    def is_ray(self) -> bool:
        return self.address is not None

    @property
    def driver_device(self) -> str:
        """Where this process has its classifiers; with Ray only to know them."""
        return "cpu" if self.is_ray else self.device

    def steps(self, state: "RunState", batch_size: int | None, *, measure: bool) -> "Iterator[Step]":
        from edgefool.execution import make_ray_pool, run_distributed, run_local

        if self.address is None:
            return run_local(state, batch_size=batch_size, measure=measure)
        pool = make_ray_pool(
            state,
            self.address,
            workers=self.workers,
            cores=self.cores,
            device=self.device,
            batch_size=batch_size,
        )
        return run_distributed(state, pool, measure=measure)


def _parse_executor(executor: str | None, workers: int | None, cores: int | None, device: str) -> _ExecutorChoice:
    name = executor or ("ray" if workers or cores else "local")
    if name == "local":
        if workers or cores:
            raise UsageError("--workers and --cores are for --executor ray")
        return _ExecutorChoice(_parse_device(device))
    if not re.fullmatch(r"ray(://(auto|[^\s:/]+:[0-9]+))?", name):
        raise UsageError(f"--executor {name}: local, ray, ray://HOST:PORT or ray://auto")
    address = name.removeprefix("ray").removeprefix("://")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: workers are given theirs; auto, cpu or cuda")
    if not address and device == "cuda":
        _parse_device(device)
    if not address and cores and cores > (os.cpu_count() or 1):
        raise UsageError(f"--cores {cores}: there are {os.cpu_count()} here")
    from edgefool.execution.distributed.ray_pool import import_ray

    import_ray(address)  # it is missed before anything is done
    return _ExecutorChoice(device, address, workers, cores)


def _parse_device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: not at hand here ({str(error).splitlines()[0]})") from error
    return name
