"""`edgefool verify`."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from edgefool.cli.console import err, out, print_note
from edgefool.cli.loading import load_named, print_limits
from edgefool.cli.options import CLASSIFIER_FORMS, DeviceName, MaxMegapixels, parse_classifier, parse_device
from edgefool.storage import local_path
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.protection import Verification
    from edgefool.protection.findings import VerifiedPhoto


def verify(
    originals: Annotated[str, typer.Argument(help="Folder of the originals, or one photo.")],
    protected: Annotated[
        str, typer.Argument(help="Folder of their results, with the same names except for the suffix, or one photo.")
    ],
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Judge by these classifiers; repeat it for each. {CLASSIFIER_FORMS}",
            show_default="efficientnet-lite0, -lite1 and -lite2, those that `edgefool protect` attacks",
        ),
    ] = None,
    report_folder: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="For the page, CSV and JSON. It shows the originals. Repeat the command to resume.",
            show_default="PROTECTED-report",
        ),
    ] = None,
    device: DeviceName = "auto",
    max_megapixels: MaxMegapixels = None,
) -> int:
    """Show what classifiers say about photos and their results: as they are, after JPEG 75, at half size, and posted.

    A changed class is no protection against people, against classifiers trained on such photos, or against face
    recognition, which was not tested. Rates are over your photos, next to those of enhancement alone; they differ for
    other photos and other classifiers.
    """
    from edgefool.protection import ENSEMBLE
    from edgefool.protection import verify as verify_photos

    print_limits(verify)
    place = parse_device(device)
    classifiers = load_named(map(parse_classifier, classifier or ENSEMBLE), place)
    err.print(f"device: {place}; judging by {plain(', '.join(c.name for c in classifiers))}")
    report = None if report_folder is None else local_path(report_folder)
    found = verify_photos(
        local_path(originals),
        local_path(protected),
        classifiers,
        report=report,
        max_megapixels=max_megapixels,
        progress=track_verification,
    )
    for note in found.notes:
        print_note(note)
    show_verification(found)
    return 0 if found.is_complete else 1


def track_verification(photos: Iterator["VerifiedPhoto"], total: int) -> Iterable["VerifiedPhoto"]:
    """Pass photos on as they are judged, with a progress bar; print those that cannot be judged."""
    from rich.progress import track

    for photo in track(photos, "judging", total=total, console=err):
        for note in photo.notes:
            print_note(f"{photo.photo}: {note}")
        if photo.error:
            print_note(f"{photo.photo}: {photo.error}")
        yield photo


def show_verification(found: "Verification") -> None:
    """Print the rates, and where the page is."""
    from edgefool.protection.findings import VERSIONS
    from edgefool.protection.verification import in_words

    judged = [photo for photo in found.photos if not photo.error]
    if judged:
        table = Table("classifier", "judged", "changed class in (95 % interval)", "enhancement alone in", box=None)
        for rates in found.rates:
            is_first = rates.version == "file"
            table.add_row(
                plain(str(rates.judge)) if is_first else "",
                VERSIONS[rates.version],
                in_words(rates.changed),
                in_words(rates.alone) if rates.alone.count else "",
            )
        out.print(table)
    else:
        out.print("no photo was judged")
    if disagree := [photo.photo for photo in judged if photo.resizers_disagree]:
        print_note(f"{len(disagree)} of {len(judged)} photos change class if resized by Pillow instead of torchvision")
    out.print(f"page: {plain(str(found.page))}, which shows the originals; do not publish its folder")
