"""The folder of a report: judges photos, each durable once it is judged, resumes, and writes the page."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import torch
from PIL import Image

from edgefool.datasets import Photo
from edgefool.errors import ImageError, describe_failure
from edgefool.execution.judge import device_of
from edgefool.images.decode import image_errors
from edgefool.memory import free_memory
from edgefool.protection.findings import VerifiedPhoto
from edgefool.protection.in_order import map_in_order, threads_for
from edgefool.protection.overlap import refuse_link
from edgefool.protection.photo_record import PhotoRecord
from edgefool.protection.protector import Strength
from edgefool.protection.report_place import RECORDS
from edgefool.protection.verification import Verification
from edgefool.protection.verification_page import render
from edgefool.protection.verifier import Verifier
from edgefool.runs.records import sha256, source_text
from edgefool.storage import LocalStore, parse_path
from edgefool.storage.keyed_log import KeyedLog

PAGE = "index.html"
PREVIEWS = "previews"
"""Folder of small pictures of originals and results."""

_NAME_LENGTH = 20  # hexadecimal digits
_BYTES_PER_PHOTO, _BYTES_PER_PIXEL = 100_000_000, 30  # that judging a photo takes, measured


class Pair(NamedTuple):
    """A photo and its result.

    Attributes
    ----------
    photo
        The original.
    result, name
        The file, and its path in the folder of results.
    strength, factor
        What is known of how it was made; see `edgefool.protection.verifier.Verifier.judge`.
    """

    photo: Photo
    result: Path
    name: str
    strength: Strength | None = None
    factor: float = 1


class VerificationFolder:
    """A report that no other process writes to.

    Attributes
    ----------
    path : Path
        The folder, which shows originals.
    """

    def __init__(self, path: Path):
        self.path = path
        refuse_link(path / PREVIEWS)
        self._log, self._lock = KeyedLog(parse_path(path / "verified.jsonl"), VerifiedPhoto), Lock()
        self._log.inspect().repair(parse_path(path / "damaged"))
        self._known = {line.photo: line for line in self._log.read()}

    def verify(
        self, pairs: Sequence[Pair], verifier: Verifier, *, max_megapixels: float | None = None
    ) -> Iterator[VerifiedPhoto]:
        """Judge photos, except those that the same classifiers judged before; yield each, in order, once it is durable.

        On a CPU each core judges a photo of its own, as far as memory allows. A photo that cannot be read does not stop
        the others.

        Raises
        ------
        OSError
            If nothing more can be written: a full or read-only disk.
        """

        def judge(pair: Pair, watch: Callable[[], None]) -> VerifiedPhoto:
            return self._verify(pair, verifier, max_megapixels, watch)

        on_cpu = all(device_of(classifier).type == "cpu" for classifier in verifier.classifiers)
        threads, room = threads_for(len(pairs), on_cpu=on_cpu), free_memory(torch.device("cpu"))
        yield from map_in_order(judge, pairs, threads, size=_bytes_needed, room=room)

    def _verify(
        self, pair: Pair, verifier: Verifier, max_megapixels: float | None, watch: Callable[[], None]
    ) -> VerifiedPhoto:
        facts = VerifiedPhoto(
            photo=source_text(pair.photo.key),
            result=pair.name,
            strength=pair.strength,
            factor=pair.factor,
            classifiers=tuple(classifier.fingerprint for classifier in verifier.classifiers),
        )
        try:
            for which, file in (("photo", pair.photo.path), ("result", parse_path(pair.result))):
                data = file.read()
                facts = facts.model_copy(update={f"{which}_sha256": sha256(data), f"{which}_bytes": len(data)})
                del data
        except OSError as error:
            return facts.model_copy(update={"error": f"{error.filename}: {error.strerror}"})
        if (known := self._known.get(facts.photo)) and known.answers(facts) and self._has_previews(known):
            return known
        try:
            judged = verifier.judge(
                Path(pair.photo.path.key),
                pair.result,
                pair.strength,
                pair.factor,
                max_megapixels=max_megapixels,
                watch=watch,
            )
        except CancelledError:
            raise
        except Exception as error:  # classifiers may be users' code
            return facts.model_copy(update={"error": describe_failure(error)})
        name = sha256(facts.photo.encode())[:_NAME_LENGTH]
        for path, preview in zip(self._previews(name), judged.previews, strict=True):
            LocalStore().write(str(path), preview)
        notes = ("it is the same file as its original",) if facts.photo_sha256 == facts.result_sha256 else ()
        update = {
            "photo_size": judged.sizes[0],
            "result_size": judged.sizes[1],
            "null_method": judged.strength,
            "previews": name,
            "findings": judged.findings,
            "notes": notes,
        }
        line = facts.model_copy(update=update)
        with self._lock:
            self._log.append([line])
        return line

    def write(self, verification: Verification, name: str) -> Path:
        """Write the page, ``verification.csv`` and ``verification.json``; return the page.

        Previews of photos that are not among them are deleted.

        Parameters
        ----------
        verification
            What they show.
        name
            Of the folder of results.
        """
        shown = {path for photo in verification.photos if photo.previews for path in self._previews(photo.previews)}
        for path in (self.path / PREVIEWS).glob("*.jpg"):
            if path not in shown:
                path.unlink()
        texts = {
            "verification.csv": verification.table().to_csv(index=False),
            "verification.json": verification.to_json() + "\n",
            PAGE: render(verification, name, PREVIEWS),
        }
        for file, text in texts.items():
            LocalStore().write(str(self.path / file), text.encode(errors="replace"))
        return self.path / PAGE

    def _previews(self, name: str) -> tuple[Path, Path]:
        folder = self.path / PREVIEWS
        return folder / f"{name}-before.jpg", folder / f"{name}-after.jpg"

    def _has_previews(self, known: VerifiedPhoto) -> bool:
        return all(path.is_file() for path in self._previews(known.previews))


def _bytes_needed(pair: Pair) -> int:
    """Return the memory that judging a pair takes, by the sizes in the files' headers; without these, all there is."""
    sizes = []
    for path in (pair.photo.path.key, pair.result):
        try:
            with image_errors(), Image.open(path) as image:
                sizes.append(image.size)
        except ImageError:
            return sys.maxsize
    return _BYTES_PER_PHOTO + _BYTES_PER_PIXEL * max(width * height for width, height in sizes)


def read_protected(report: Path) -> dict[str, PhotoRecord]:
    """Return what a report says about protected photos, by their names in the folder of results; empty without one.

    Raises
    ------
    RunError
        If the report is damaged.
    """
    records = KeyedLog(parse_path(report / RECORDS), PhotoRecord).read()
    return {record.result: record for record in records if record.status == "protected"}


def pair_up(photo: Photo, result: Path, name: str, record: PhotoRecord | None) -> Pair:
    """Return a pair with what a record says about the result."""
    if record is None:
        return Pair(photo, result, name)
    strength: Strength = record.options["strength"]  # type: ignore[assignment]  # as `Protector` checked it
    return Pair(photo, result, name, strength, record.factor)
