"""`edgefool classify`."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from edgefool.cli.console import err, out, print_note
from edgefool.cli.loading import load_named
from edgefool.cli.options import CLASSIFIER_FORMS, DeviceName, MaxMegapixels, parse_classifier, parse_device
from edgefool.storage import parse_path
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.classifiers import Classifier
    from edgefool.execution.classification import Classification

SHOWN_PHOTOS = 50
"""Number of photos in the table of the terminal; the files have all."""


def classify(
    images: Annotated[list[str], typer.Argument(help="Photos: files, folders or quoted patterns; also s3://...")],
    classifier: Annotated[
        list[str], typer.Option(metavar="NAME", help=f"{CLASSIFIER_FORMS} Repeat it for each classifier.")
    ],
    labels: Annotated[
        str | None, typer.Option(metavar="PATH", help="CSV file with the columns file and label (a number from 0).")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of classes for each photo.")] = 5,
    csv_file: Annotated[str | None, typer.Option("--csv", metavar="PATH", help="Save the answers as CSV.")] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="PATH", help="Save the answers as JSON.")] = None,
    device: DeviceName = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Photos classified at a time.")] = 32,
    max_megapixels: MaxMegapixels = None,
) -> int:
    """Classify photos, and measure how often classifiers are right where labels are known."""
    from rich.progress import track

    from edgefool.datasets import Folder
    from edgefool.execution.classification import classify as classify_photos

    classifiers = load_named([parse_classifier(name) for name in classifier], parse_device(device))
    most = max(c.num_classes for c in classifiers)
    dataset = Folder(
        name="photos",
        path=tuple(parse_path(image) for image in images),
        labels=None if labels is None else parse_path(labels),
        num_classes=None if labels is None else most,
    )
    photos = dataset.find(allow_missing=True)  # the labels may be those of a larger folder
    answers = classify_photos(
        photos, classifiers, top=max(top, 5), batch_size=batch_size, max_megapixels=max_megapixels
    )
    total = len(photos) * len(classifiers)
    found = list(track(answers, "classifying", total, console=err, transient=True, disable=not err.is_terminal))
    for answer in found[:: len(classifiers)]:
        for warning in answer.warnings:
            print_note(f"{answer.photo.key}: {warning}")
    if csv_file:
        parse_path(csv_file).write(_to_csv(found, top).encode())
    if json_file:
        parse_path(json_file).write(_to_json(found, top, classifiers).encode())
    _print_answers(found, top, len(classifiers))
    if labels:
        _print_accuracy(found, classifiers)
    return 1 if any(answer.error for answer in found) else 0


def _print_answers(found: Sequence["Classification"], top: int, num_classifiers: int) -> None:
    table = Table("photo", "classifier", "classes", box=None)
    for answer in found[: SHOWN_PHOTOS * num_classifiers]:
        likely = zip(answer.names[:top], answer.probabilities, strict=False)
        classes = (
            f"error: {answer.error}" if answer.error else ", ".join(f"{name} {share:.0%}" for name, share in likely)
        )
        table.add_row(plain(answer.photo.key), plain(answer.classifier), plain(classes))
    table.columns[0].no_wrap = True
    out.print(table)
    if (more := len(found) // num_classifiers - SHOWN_PHOTOS) > 0:
        out.print(f"… and {more} more photos; --csv and --json save all")


def _print_accuracy(found: Sequence["Classification"], classifiers: Sequence["Classifier"]) -> None:
    """Print top-1 and top-5 accuracy; a photo that a classifier cannot take counts as wrong."""
    from edgefool.metrics import wilson_rate

    labelled = [answer for answer in found if answer.photo.label is not None]
    largest = max((answer.photo.label or 0 for answer in labelled), default=0)
    table = Table("classifier", "labelled photos", "top-1", "top-5", "95 % interval of top-1", box=None)
    for classifier in classifiers:
        if classifier.num_classes <= largest:
            print_note(f"{classifier.name} has {classifier.num_classes} classes, but there is a label {largest}")
            continue
        answers = [answer for answer in labelled if answer.classifier == classifier.name]
        first, five = (wilson_rate([answer.hits(top) for answer in answers]) for top in (1, 5))
        interval = f"{first.low:.3f} to {first.high:.3f}"
        table.add_row(plain(classifier.name), str(len(answers)), f"{first.value:.3f}", f"{five.value:.3f}", interval)
    out.print()
    out.print(table)


def _to_csv(found: Iterable["Classification"], top: int) -> str:
    import pandas as pd

    columns = ["file", "label", "classifier", "rank", "class", "name", "probability", "error"]
    rows: list[tuple[object, ...]] = []
    for answer in found:
        start = answer.photo.key, answer.photo.label, answer.classifier
        if answer.error:
            rows.append((*start, None, None, None, None, answer.error))
        likely = zip(answer.classes[:top], answer.names, answer.probabilities, strict=False)
        rows += [(*start, rank, *row, None) for rank, row in enumerate(likely, 1)]
    table: str = pd.DataFrame(rows, columns=columns, dtype=object).to_csv(index=False)  # as objects, integers stay
    return table


def _to_json(found: Iterable["Classification"], top: int, classifiers: Iterable["Classifier"]) -> str:
    published = {classifier.name: (classifier.tag, classifier.licence) for classifier in classifiers}
    rows = [
        {
            "file": answer.photo.key,
            "label": answer.photo.label,
            "classifier": answer.classifier,
            "weights": published[answer.classifier][0],
            "licence": published[answer.classifier][1],
            "classes": [
                {"class": index, "name": name, "probability": share}
                for index, name, share in zip(answer.classes[:top], answer.names, answer.probabilities, strict=False)
            ],
            "error": answer.error,
        }
        for answer in found
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
