"""The command line: a thin skin over the package. Nothing heavy is imported before a command needs it."""

import io
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.table import Table

from edgefool.errors import EdgeFoolError, UsageError

if TYPE_CHECKING:
    from edgefool.attacks import Attack
    from edgefool.classifiers import Classifier
    from edgefool.experiments import Plan, Record, RunFolder

app = typer.Typer(
    name="edgefool",
    help="Photos with sharper details that a classifier gets wrong (EdgeFool, ICASSP 2020).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Tables that go to a file or a pipe have no terminal to fit into.
out = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
_ClickError = cast(type[Exception], typer.BadParameter.__mro__[2])  # newer versions of typer carry a click of their own


class Listing(StrEnum):
    """What `edgefool list` can show."""

    classifiers = "classifiers"
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
    except (EdgeFoolError, OSError) as error:
        return _complain(str(error), 1)
    except _ClickError as error:
        return _complain(error.format_message(), 2)  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:  # newer versions of typer return it instead of passing the interruption on
        err.print("stopped; what is done is kept, repeat the command to go on")
    return code


def _complain(message: str, code: int) -> int:
    if message:  # none where the help was shown instead
        err.print(f"error: {_plain(message)}")
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
    images: Annotated[list[str], typer.Argument(help="Photos: files, folders or quoted patterns.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run; the same command goes on with it.")],
    method: Annotated[str, typer.Option(help="See `edgefool list methods`.")] = "edgefool",
    classifier: Annotated[
        str,
        typer.Option(help="See `edgefool list classifiers`; or torchvision:NAME, timm:NAME, path/to/file.py:factory."),
    ] = "resnet50",
    weights: Annotated[Path | None, typer.Option(help="Checkpoint of your own: safetensors or torch.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Class names of your own, one a line.")] = None,
    size: Annotated[str, typer.Option(help="Side in pixels that photos are resized to, or `native`.")] = "224",
    constants: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a constant of the method.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Photos attacked at a time.", show_default="by the free memory")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    retry: Annotated[bool, typer.Option("--retry", help="Try the photos again that gave an error.")] = False,
) -> int:
    """Enhance the details of photos so that a classifier gets them wrong."""
    from edgefool.experiments import make_attack

    side = _parse_size(size)
    attacker = make_attack(method, _parse_constants(constants or []))
    return _attack(images, folder, attacker, classifier, weights, classes, side, device, batch_size, seed, retry)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run.")] = Path("edgefool-demo"),
    everything: Annotated[bool, typer.Option("--all/--three", help="All seven photos or three.")] = True,
) -> int:
    """Attack photos that come with scikit-image and scikit-learn, offline, and draw a contact sheet of each."""
    from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos
    from edgefool.experiments import RunFolder, make_attack
    from edgefool.report import contact_sheet

    names = list(DEMO_PHOTOS) if everything else list(DEMO_PHOTOS)[:3]
    photos = [str(path) for path in write_demo_photos(Path(f"{os.path.realpath(folder)}-photos"), names)]
    code = _attack(photos, folder, make_attack("edgefool", {}), "caltech101-resnet", None, None, 224, "auto", None, 0)
    run = RunFolder(folder)
    sheets = folder / "contact_sheets"
    sheets.mkdir(exist_ok=True)
    for record in run.records():
        if record.success:
            contact_sheet(run, record).savefig(sheets / f"{record.image}.png")
    out.print(f"contact sheets (Fig. 3 of the paper): {_plain(str(sheets))}")
    return code


@app.command("list")
def show(what: Annotated[Listing, typer.Argument(help="What to list.")] = Listing.classifiers) -> None:
    """List classifiers or methods."""
    if what is Listing.classifiers:
        from edgefool.classifiers import CATALOGUE

        table = Table("name", "trained on", "classes", "weights", "about", box=None)
        for entry in CATALOGUE.values():
            source = "in the package" if entry.url is None else "downloaded"
            table.add_row(entry.name, entry.dataset, str(entry.num_classes), source, f"{entry.about} ({entry.licence})")
        table.columns[0].no_wrap = True
        out.print(table)
        out.print("\nYour own: torchvision:NAME or timm:NAME with --weights FILE, or path/to/file.py:factory")
        return
    from edgefool.attacks import METHODS

    table = Table("name", "field", "default", box=None)
    for name, method in METHODS.items():
        defaults = method()
        for number, field in enumerate(fields(method)):
            table.add_row(name if number == 0 else "", field.name, str(getattr(defaults, field.name)))
    out.print(table)


def _attack(
    images: list[str],
    folder: Path,
    attacker: "Attack",
    name: str,
    weights: Path | None,
    classes: Path | None,
    size: int | str,
    device: str,
    batch_size: int | None,
    seed: int,
    retry: bool = False,
) -> int:
    from edgefool.classifiers import load_classifier
    from edgefool.datasets import find_photos
    from edgefool.experiments import Plan, open_run

    _keep_apart(folder, images, [photo.path for photo in find_photos(images)])
    classifier = load_classifier(name, weights=weights, classes=classes, device=_parse_device(device))
    plan = Plan.model_validate(
        {
            "method": attacker.name,
            "constants": asdict(attacker),
            "classifier": classifier.name,
            "fingerprint": classifier.fingerprint,
            "size": size,
            "seed": seed,
        }
    )
    with open_run(folder, plan, shlex.join(sys.argv)) as run:
        records = _go(plan, run, images, classifier, attacker, batch_size, retry)
    _print_records(records)
    misled = sum(record.success for record in records)
    failed = sum(record.error is not None for record in records)
    converged = sum(record.converged for record in records)
    out.print(
        f"{misled} of {len(records)} misled, {converged} of them converged, {failed} errors; in {_plain(str(folder))}"
    )
    if (floats := sum(record.success_float for record in records)) > misled:
        out.print(f"{floats} were misled before rounding to 8 bits")
    if lost := sum(record.lost_gradient for record in records):
        out.print(f"{lost} met a gradient that was zero or not finite; see lost_gradient in the records")
    return 1 if failed else 0


def _keep_apart(folder: Path, images: list[str], photos: list[Path]) -> None:
    """Refuse a run whose own images would be taken for photos when it goes on."""
    home = Path(os.path.realpath(folder))
    searched = [image for image in images if os.path.isdir(image) and home.is_relative_to(os.path.realpath(image))]
    inside = [photo for photo in photos if photo.is_relative_to(home)]
    if searched or inside:
        raise UsageError(f"--out {folder} lies where photos are searched; name a folder outside")


def _go(
    plan: "Plan",
    run: "RunFolder",
    images: list[str],
    classifier: "Classifier",
    attacker: "Attack",
    batch_size: int | None,
    retry: bool,
) -> list["Record"]:
    """Attack the photos that are not done yet, under a progress bar, and return the records of all of them."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from edgefool.datasets import find_photos
    from edgefool.experiments import LocalRun, done_before, source_text

    before = run.records()
    names = {record.source: record.image for record in before}
    # A source is a path for people: where the path is not UTF-8, it does not lead back to the photo.
    own = {photo.path: names[text] for photo in find_photos(images) if (text := source_text(photo.path)) in names}
    photos = find_photos(images, {Path(source): name for source, name in names.items()} | own)
    done = done_before(photos, before, retry)
    waiting = [photo for photo in photos if photo.name not in done]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[misled]} misled"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        misled = sum(record.success for record in done.values())
        task = progress.add_task(plan.method, total=len(photos), completed=len(done), misled=misled)
        for record in LocalRun(plan, run, waiting, classifier, attacker, batch_size):
            done[record.image] = record
            misled += record.success
            progress.update(task, advance=1, misled=misled)
            if record.error:
                progress.console.print(_plain(f"{record.source}: {record.error}"))
    return [done[photo.name] for photo in photos]


def _print_records(records: list["Record"], most: int = 50) -> None:
    table = Table("image", "original", "adversarial", "misled", "converged", "iterations", "seconds", "PSNR", box=None)
    for record in records[:most]:
        if record.error:
            table.add_row(_plain(record.image), "", "", f"error: {_plain(record.error)}")
            continue
        table.add_row(
            _plain(record.image),
            f"{_plain(str(record.original_name))} {record.original_probability:.0%}",
            f"{_plain(str(record.adversarial_name))} {record.adversarial_probability:.0%}",
            "yes" if record.success else "no",
            "yes" if record.converged else "no",
            str(record.iterations),
            f"{record.seconds:.1f}",
            f"{record.psnr:.1f} dB",
        )
    out.print(table)
    if len(records) > most:
        out.print(f"… and {len(records) - most} more in the records")


def _plain(text: str) -> str:
    """Keep untrusted text on its line and from controlling the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _parse_size(text: str) -> int | str:
    if text == "native":
        return text
    from edgefool.experiments.plan import MAX_SIDE
    from edgefool.images import MIN_SIDE

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


def _parse_device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: not at hand here ({str(error).splitlines()[0]})") from error
    return name
