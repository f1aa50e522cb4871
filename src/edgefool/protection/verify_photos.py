"""Judges photos and their results: in two folders, or as they were protected just now."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edgefool.classifiers import Classifier, load_classifier
from edgefool.datasets import Photo, find_photos, pair_photos
from edgefool.errors import UsageError
from edgefool.protection.findings import VerifiedPhoto
from edgefool.protection.overlap import refuse_link, refuse_overlap
from edgefool.protection.photo_record import PhotoRecord
from edgefool.protection.protected_folder import ProtectedFolder
from edgefool.protection.protector import ENSEMBLE
from edgefool.protection.report_place import folder_of_results, refuse_published, report_of
from edgefool.protection.verification import Verification, make_judges
from edgefool.protection.verification_folder import Pair, VerificationFolder, pair_up, read_protected
from edgefool.protection.verifier import Verifier
from edgefool.runs.records import source_text
from edgefool.storage import local_path, parse_path

Progress = Callable[[Iterator[VerifiedPhoto], int], Iterable[VerifiedPhoto]]
"""Passes photos on as they are judged; it is told how many there are."""


def verify(
    originals: str | Path,
    protected: str | Path,
    classifiers: Sequence[str | Classifier] | None = None,
    *,
    report: str | Path | None = None,
    device: str = "cpu",
    max_megapixels: float | None = None,
    progress: Progress = lambda photos, _: photos,
) -> Verification:
    """Compare what classifiers say about photos with what they say about their results, and write a page about it.

    Each photo is judged as the file is, after JPEG 75, at half size and after a social network
    (`edgefool.metrics.TRANSFORMATIONS`; the original is transformed in the same way), and next to enhancement alone
    where the strength is known: from the report of ``edgefool protect``, or the mark in the file. A changed class is no
    protection against people, against classifiers trained on such photos, or against face recognition, which was not
    tested.

    Parameters
    ----------
    originals, protected
        Two folders, paired by `edgefool.datasets.pair_photos`, or two files.
    classifiers
        Names for `edgefool.load_classifier`, or classifiers; by default those that ``edgefool protect`` attacks.
    report
        Folder for the page, ``verification.csv`` and ``verification.json``; it shows the originals. By default
        ``NAME-report`` next to ``protected``; of a file, or a folder inside that of ``edgefool protect``, it must be
        named. Photos that were judged before are not judged again.
    device
        Of the classifiers that are loaded by name.
    max_megapixels
        As in `edgefool.read_image`.
    progress
        Called once with an iterator of the photos and their number.

    Returns
    -------
    Verification
        ``rates``, ``photos``, ``table()`` and ``notes``.

    Raises
    ------
    UsageError
        If a folder is missing or empty, nothing can be paired, no report is named where one must be, or the report
        would be among the photos.
    RunError
        If another process writes to the report.
    """
    sources = [local_path(originals), local_path(protected)]
    folder = sources[1].resolve()
    if sources[0].resolve() == folder:
        raise UsageError(f"originals and results are the same: {folder}")
    root = folder_of_results(folder)
    photos, results = (find_photos([source]) for source in sources)
    place = _default_report(folder, root) if report is None else local_path(report)
    records = _read_records(folder, root)
    with _open_report(place, [*photos, *results], sources) as opened:
        pairs, notes = _match(photos, results, sources[0], folder, records)
        loaded = [load_classifier(c, device=device) if isinstance(c, str) else c for c in classifiers or ENSEMBLE]
        known = [records[text] for pair in pairs if (text := _text(pair.result)) in records]
        return _verify(opened, folder.name, pairs, loaded, known, notes, max_megapixels, progress)


def verify_protected(
    folder: ProtectedFolder,
    records: Sequence[PhotoRecord],
    photos: Sequence[Photo],
    classifiers: Sequence[Classifier],
    *,
    max_megapixels: float | None = None,
    progress: Progress = lambda photos, _: photos,
) -> Verification:
    """Judge photos that were protected just now, and write the page into the report of their folder.

    Parameters
    ----------
    folder
        The folder, still open.
    records
        What it returned for these photos.
    photos
        The photos.
    classifiers
        Who judges, whether attacked or not.
    max_megapixels, progress
        As in `verify`.
    """
    done = {record.photo: record for record in records if record.status == "protected"}
    pairs = [
        pair_up(photo, folder.path / record.result, record.result, record)
        for photo in photos
        if (record := done.get(source_text(photo.key)))
    ]
    opened = VerificationFolder(folder.report)
    return _verify(opened, folder.path.name, pairs, classifiers, list(done.values()), (), max_megapixels, progress)


def _verify(
    opened: VerificationFolder,
    name: str,
    pairs: Sequence[Pair],
    classifiers: Sequence[Classifier],
    records: Sequence[PhotoRecord],
    notes: Sequence[str],
    max_megapixels: float | None,
    progress: Progress,
) -> Verification:
    steps = opened.verify(pairs, Verifier(classifiers), max_megapixels=max_megapixels)
    found = tuple(progress(steps, len(pairs)))
    attacked = frozenset(member for record in records for member in record.attacked)
    verification = Verification(make_judges(classifiers, attacked or None), found, tuple(notes))
    return replace(verification, page=opened.write(verification, name))


def _default_report(results: Path, root: Path | None) -> Path:
    if results.is_file() or root not in (None, results):
        raise UsageError(
            f"name a folder for the report on {results} with --out (in Python, report=): it shows originals, and next "
            "to it people would publish them"
        )
    return report_of(results)


def _read_records(results: Path, root: Path | None) -> dict[str, PhotoRecord]:
    """Return what is known about results, by `_text` of their paths."""
    if root:
        return {f"{_text(root)}/{name}": record for name, record in read_protected(report_of(root)).items()}
    return {}


def _text(path: Path) -> str:
    return source_text(path.as_posix())


@contextmanager
def _open_report(path: Path, photos: Sequence[Photo], sources: Sequence[Path]) -> Iterator[VerificationFolder]:
    """Open a report, alone."""
    refuse_link(path)
    path = path.resolve()
    refuse_published(path)
    refuse_overlap(path, photos, sources)
    place = parse_path(path)
    place.store.make_folder(place.key)
    with place.lock():
        place.store.remove_leftovers(place.key)
        yield VerificationFolder(path)


def _match(
    originals: Sequence[Photo], results: Sequence[Photo], source: Path, folder: Path, records: dict[str, PhotoRecord]
) -> tuple[list[Pair], list[str]]:
    """Return the pairs, and a line for each file without a partner."""
    if source.is_file() and folder.is_file():
        return [pair_up(originals[0], folder, results[0].key, records.get(_text(folder)))], []
    root = parse_path(folder).resolve()
    inside = [photo for photo in results if photo.path.is_inside(root)]
    found = pair_photos(originals, inside)
    notes = [
        f"{source_text(photo.key)}: {reason}"
        for reason, left in (
            ("the link leads out of the folder and is not followed", [p for p in results if p not in inside]),
            ("it has no result", found.missing),
            ("it has no original", found.extra),
        )
        for photo in left
    ]
    if not found.pairs:
        raise UsageError(f"no file in {folder} has the name of one in {source}")
    pairs = []
    for photo, result in found.pairs:
        file = Path(result.path.key)
        pairs.append(pair_up(photo, file, source_text(result.key), records.get(_text(file))))
    return pairs, notes
