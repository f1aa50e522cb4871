"""`edgefool protect`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgefool.cli.console import err, out, print_note
from edgefool.cli.loading import load_named, print_limits
from edgefool.cli.options import DeviceName, EnsembleNames, JudgeNames, MaxMegapixels, parse_classifier, parse_device
from edgefool.cli.verify import show_verification, track_verification
from edgefool.storage import local_path
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.protection.photo_record import PhotoRecord

_NAMED = 3  # photos for each note


def protect(
    photos: Annotated[list[str], typer.Argument(help="Photos: files, folders or quoted patterns.")],
    out_folder: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="For the protected photos; FOLDER-report next to it says what was done. Repeat the command to resume.",
        ),
    ],
    strength: Annotated[
        Literal["subtle", "natural", "vivid"], typer.Option(help="How much details are enhanced.")
    ] = "natural",
    ensemble: EnsembleNames = None,
    verify_with: JudgeNames = None,
    metadata: Annotated[
        Literal["private", "keep", "none"],
        typer.Option(
            help="private: without position, serial numbers, maker notes and owner; none: only colour profile and "
            "orientation."
        ),
    ] = "private",
    device: DeviceName = "auto",
    max_megapixels: MaxMegapixels = None,
) -> int:
    """Change photos at full resolution, in their own format, so that classifiers get them wrong.

    This does not protect photos against people, against classifiers that are trained on such photos, or against face
    recognition, which was not tested. It makes image classifiers, even ones that were not attacked, give many photos
    another class; at the end a page in FOLDER-report shows how many of yours.
    """
    from rich.progress import track

    from edgefool.datasets import find_photos
    from edgefool.protection import ENSEMBLE, Protector, open_folder, verify_protected

    print_limits(protect)
    folder, place = local_path(out_folder), parse_device(device)
    sources = [local_path(photo) for photo in photos]
    found = find_photos(sources)
    names = [parse_classifier(name, option="--ensemble") for name in ensemble or ENSEMBLE]
    others = [parse_classifier(name, option="--verify-with") for name in verify_with or ()]
    records = []
    with open_folder(folder, found, sources) as opened:
        classifiers = load_named(names + others, place)
        attacked = classifiers[: len(names)]
        err.print(f"device: {place}; attacking {plain(', '.join(c.name for c in attacked))}")
        protector = Protector(strength, attacked, device=place)
        steps = opened.protect(found, protector, metadata, max_megapixels=max_megapixels)
        earlier = 0
        for record, is_new in track(steps, "protecting", total=len(found), console=err):
            records.append(record)
            earlier += not is_new
            if record.error:
                err.print(f"{plain(record.photo)}: {plain(record.error)}")
        _print_notes(records)
        _print_summary(records, earlier, str(opened.path))
        found_out = verify_protected(
            opened, records, found, classifiers, max_megapixels=max_megapixels, progress=track_verification
        )
    show_verification(found_out)
    return 0 if found_out.is_complete and not any(record.error for record in records) else 1


def _print_notes(records: Iterable["PhotoRecord"]) -> None:
    """Print each note once, with the photos that it holds for."""
    photos = defaultdict(list)
    for record in records:
        for note in record.notes:
            photos[note].append(record.photo)
        if record.factor < 1:
            photos["weakened, to stay close enough to the original in look and size"].append(record.photo)
        if not record.within_bounds:
            photos["differs more from the original, or has a larger file, than is allowed, even weakened"].append(
                record.photo
            )
    for note, names in photos.items():
        print_note(
            f"{', '.join(names[:_NAMED])}{f' and {more} more' if (more := len(names) - _NAMED) > 0 else ''}: {note}"
        )


def _print_summary(records: Sequence["PhotoRecord"], earlier: int, folder: str) -> None:
    done = [record for record in records if record.status == "protected"]
    counts = [
        f"{len(done)} of {len(records)} photos in {plain(folder)}",
        f"{earlier} done before" if earlier else "",
        f"{skipped} skipped" if (skipped := sum(record.status == "skipped" for record in records)) else "",
        f"{errors} errors" if (errors := sum(record.status == "error" for record in records)) else "",
    ]
    out.print(", ".join(filter(None, counts)))
    if done:
        ratio = sum(record.result_bytes for record in done) / sum(record.source_bytes for record in done)
        largest = max(done, key=lambda record: record.result_bytes / record.source_bytes)
        out.print(
            f"their files are {ratio:.2f} times as large as those of the originals, at most "
            f"{largest.result_bytes / largest.source_bytes:.2f} times ({plain(largest.photo)})"
        )
