"""`edgefool evaluate`."""

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from edgefool.cli.console import describe_error, err, print_note, print_weights
from edgefool.cli.options import (
    CLASSIFIER_FORMS,
    DeviceName,
    GroupsFile,
    MaxMegapixels,
    Robustness,
    parse_classifier,
    parse_device,
    parse_robustness,
    parse_size,
)
from edgefool.cli.report import show_results
from edgefool.errors import UsageError
from edgefool.storage import local_path, parse_path
from edgefool.text import plain


def evaluate(
    clean: Annotated[str, typer.Argument(help="Folder of the original images.")],
    adversarial: Annotated[str, typer.Argument(help="Folder of adversarial images with the same names.")],
    classifier: Annotated[
        list[str], typer.Option(metavar="NAME", help=f"{CLASSIFIER_FORMS} Repeat it for each classifier.")
    ],
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Checkpoints, unless given by @CHECKPOINT: one for each --classifier."),
    ] = None,
    size: Annotated[str, typer.Option(help="Side in pixels to which originals are resized, or `native`.")] = "native",
    labels: Annotated[
        str | None, typer.Option(metavar="PATH", help="CSV file with the columns file and label.")
    ] = None,
    num_classes: Annotated[int | None, typer.Option(min=1, help="Number of classes of the labels.")] = None,
    lpips: Annotated[
        str | None, typer.Option(metavar="PATH", help="Weights of SqueezeNet 1.1, to compute LPIPS.")
    ] = None,
    groups: GroupsFile = None,
    robustness: Robustness = None,
    out_folder: Annotated[
        str | None, typer.Option("--out", metavar="PATH", help="Folder for the tables, as CSV.")
    ] = None,
    device: DeviceName = "auto",
    max_megapixels: MaxMegapixels = None,
) -> int:
    """Measure adversarial images of another tool: misleading rate, transferability, robustness, detection, quality."""
    from rich.progress import track

    from edgefool.datasets import Folder
    from edgefool.execution import ExternalImages
    from edgefool.experiments import LpipsEntry, make_classifier_entry
    from edgefool.experiments.experiment import load_classifiers, load_lpips, unfit_labels
    from edgefool.metrics import PAPER_SQUEEZERS
    from edgefool.report import make_results
    from edgefool.runs import RunFolder

    side, place, transformations = parse_size(size), parse_device(device), parse_robustness(robustness)
    files: Sequence[str | None] = weights or [None] * len(classifier)
    if len(files) != len(classifier):
        raise UsageError(f"{len(files)} --weights for {len(classifier)} --classifier: give one for each, or none")
    if (labels is None) != (num_classes is None):
        raise UsageError("--labels and --num-classes go together")
    entries = [
        make_classifier_entry(parse_classifier(name, file) | {"groups": groups})
        for name, file in zip(classifier, files, strict=True)
    ]
    dataset = Folder(
        name="originals",
        path=(parse_path(clean),),
        labels=None if labels is None else parse_path(labels),
        num_classes=num_classes,
    )
    images = ExternalImages(dataset, parse_path(adversarial), side, max_megapixels=max_megapixels)
    classifiers = load_classifiers(dataset.name, entries, place, side)
    print_weights(classifiers)
    distance = load_lpips(LpipsEntry(backbone="squeeze", weights=local_path(lpips)), place) if lpips else None
    for line in unfit_labels(dataset, classifiers):
        print_note(line)
    with TemporaryDirectory(prefix="edgefool-") as temporary:
        run = RunFolder(temporary)
        steps = images.measure(run, classifiers, PAPER_SQUEEZERS, distance, transformations)
        for _ in track(steps, "measuring", console=err, total=(2 * len(classifiers) + 1) * len(images.pairs)):
            pass
        records = run.records()
        results = make_results(
            run.cells(),
            records,
            run.predictions(),
            run.qualities(),
            transformed=run.transformed(),
            groups=run.groups(),
            squeezers=PAPER_SQUEEZERS,
            transformations=transformations,
            false_positive_rate=0.05,
            label_classes={dataset.name: num_classes},
        )
    for line in images.warnings:
        print_note(line)
    if images.unpaired:
        print_note(f"{images.unpaired} originals have no adversarial image")
    for record in (errors := [record for record in records if record.error]):
        err.print(f"{plain(record.source)}: {describe_error(record)}")
    show_results(results, None if out_folder is None else parse_path(out_folder))
    return 1 if errors else 0
