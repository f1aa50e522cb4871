"""Protects the photos of a folder into another one, each durable once it is done, and resumes."""

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import torch

from edgefool.datasets import Photo
from edgefool.errors import ImageError, UsageError, describe_failure
from edgefool.memory import free_memory
from edgefool.protection.in_order import map_in_order, threads_for
from edgefool.protection.metadata import MetadataPolicy
from edgefool.protection.overlap import refuse_link, refuse_overlap
from edgefool.protection.photo_file import PhotoFile, open_photo
from edgefool.protection.photo_record import PhotoRecord
from edgefool.protection.protector import Protector
from edgefool.protection.report_place import RECORDS, is_report, refuse_published, report_of
from edgefool.protection.result_names import ResultNames
from edgefool.runs.records import sha256, source_text
from edgefool.storage import StorePath, parse_path
from edgefool.storage.keyed_log import KeyedLog

_STOPS_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no other photo could be written either
_BYTES_PER_PHOTO, _BYTES_PER_PIXEL = 300_000_000, 12  # that protecting a photo takes, measured

R = TypeVar("R")


class Done(NamedTuple):
    """The record of a photo, and whether the photo was worked on just now."""

    record: PhotoRecord
    is_new: bool


class ProtectedFolder:
    """A folder of protected photos with its report; `open_folder` opens it.

    Attributes
    ----------
    path, report : Path
        The two folders.
    """

    def __init__(self, path: Path, report: Path, photos: Sequence[Photo]):
        self.path, self.report = path, report
        self._log, self._lock = KeyedLog(parse_path(report / RECORDS), PhotoRecord), Lock()
        self._log.inspect().repair(parse_path(report / "damaged"))
        self._records = {record.photo: record for record in self._log.read()}
        given = {record.photo: record.result for record in self._records.values() if record.result}
        self._names = ResultNames((source_text(photo.key) for photo in photos), given)

    def refuse_other_photos(self, photos: Sequence[Photo]) -> None:
        """Raise `UsageError` if a photo of the same path, but from another place, has its result here."""
        for photo in photos:
            known = self._records.get(source_text(photo.key))
            if not known or known.source in ("", _place(photo)) or not (self.path / known.result).is_file():
                continue
            with suppress(OSError):  # it is read again, and then it gives an error
                if sha256(photo.path.read()) != known.source_sha256:
                    raise UsageError(
                        f"{self.path / known.result} is the result of another photo called {known.photo}; choose "
                        "another folder"
                    )

    def protect(
        self,
        photos: Sequence[Photo],
        protector: Protector,
        metadata: MetadataPolicy = "private",
        *,
        max_megapixels: float | None = None,
    ) -> Iterator[Done]:
        """Protect photos, except those that the same options protected before; yield each, in order, once it is saved.

        On a CPU each core works on a photo of its own, as far as memory allows; fewer photos than cores get several
        each. A photo that fails does not stop the others.

        Raises
        ------
        OSError
            If nothing more can be written: a full or read-only disk.
        """
        options = {
            "strength": protector.strength,
            "metadata": metadata,
            "ensemble": protector.ensemble.fingerprint,
        }
        attacked = tuple(str(member.fingerprint) for member in protector.ensemble.members)

        def prepare(photo: Photo) -> Done | _Task:
            facts = {"photo": source_text(photo.key), "source": _place(photo), "options": options, "attacked": attacked}
            return _or_error(facts, lambda: self._open(photo, facts, max_megapixels))

        def finish(task: Done | _Task, watch: Callable[[], None]) -> Done:
            if isinstance(task, _Task):
                done = _or_error(task.facts, lambda: self._protect(task, protector, metadata, watch))
            else:
                done = task
            if done.is_new:
                with self._lock:
                    self._log.append([done.record])
            return done

        threads, room = threads_for(len(photos), on_cpu=protector.device == "cpu"), free_memory(torch.device("cpu"))
        for done in map_in_order(finish, map(prepare, photos), threads, size=_bytes_needed, room=room):
            self._records[done.record.photo] = done.record
            yield done

    def _open(self, photo: Photo, facts: dict[str, Any], max_megapixels: float | None) -> "Done | _Task":
        """Open a photo that is to be protected, and name its result; add what its record says to ``facts``."""
        start = time.perf_counter()
        data = photo.path.read()
        facts.update(source_sha256=sha256(data), source_bytes=len(data))
        del data
        if (known := self._records.get(facts["photo"])) and self._is_current(known, facts):
            return Done(known, False)
        opened = open_photo(photo.path.key, max_megapixels=max_megapixels)
        if opened.is_protected:
            notes = (f"protected already: {opened.mark}",)
            return Done(PhotoRecord(status="skipped", notes=notes, **facts), True)
        wanted = opened.name_for(PurePosixPath(photo.key).name)  # a link keeps its own name
        name = self._names.give(facts["photo"], source_text(wanted))
        if (self.path / name).exists() and not _is_ours(self.path / name, max_megapixels):
            raise ImageError(f"{self.path / name} exists and was not made by EdgeFool; it is not overwritten")
        return _Task(opened, name, facts, time.perf_counter() - start)

    def _is_current(self, known: PhotoRecord, facts: Mapping[str, Any]) -> bool:
        """Return whether a record still holds: the same source, the same options, and the file is there unchanged."""
        if known.status == "error" or known.source_sha256 != facts["source_sha256"]:
            return False
        if known.status == "skipped":
            return True
        result = self.path / known.result
        return (
            known.options == facts["options"]
            and result.is_file()
            and sha256(result.read_bytes()) == known.result_sha256
        )

    def _protect(
        self, task: "_Task", protector: Protector, metadata: MetadataPolicy, watch: Callable[[], None]
    ) -> Done:
        """Protect a photo and save it."""
        start, photo = time.perf_counter(), task.photo
        data, outcome = protector.protect_photo(photo, metadata, watch=lambda *_: watch())
        photo.save(data, self.path / task.name)
        record = PhotoRecord(
            status="protected",
            result=task.name,
            result_sha256=sha256(data),
            result_bytes=len(data),
            seconds=task.seconds + time.perf_counter() - start,
            factor=outcome.factor,
            within_bounds=outcome.within_bounds,
            ssim=outcome.quality.ssim,
            ciede2000=outcome.quality.ciede2000,
            smooth_delta_e=outcome.quality.smooth_delta_e,
            before=outcome.before,
            after=outcome.after,
            notes=photo.notes,
            **task.facts,
        )
        return Done(record, True)


class _Task(NamedTuple):
    """A photo that is to be protected, the name of its result, what its record says, and the seconds that it took."""

    photo: PhotoFile
    name: str
    facts: dict[str, Any]
    seconds: float


def _bytes_needed(task: Done | _Task) -> int:
    if isinstance(task, Done):
        return 0
    return _BYTES_PER_PHOTO + _BYTES_PER_PIXEL * task.photo.pixels[..., 0].size


def _or_error(facts: dict[str, Any], work: Callable[[], R]) -> R | Done:
    """Return what the work on a photo returns, or the record of its error; what stops all photos is raised."""
    try:
        return work()
    except CancelledError:
        raise
    except Exception as error:  # classifiers may be users' code
        if isinstance(error, OSError) and error.errno in _STOPS_ALL:
            raise
        return Done(PhotoRecord(status="error", error=describe_failure(error), **facts), True)


@contextmanager
def open_folder(out: Path, photos: Sequence[Photo], sources: Sequence[Path]) -> Iterator[ProtectedFolder]:
    """Open a folder for protected photos, alone.

    Parameters
    ----------
    out
        The folder; its report is in ``NAME-report`` next to it. Both need not exist.
    photos
        Those that are to be protected.
    sources
        The files, folders and patterns in which they were found.

    Raises
    ------
    UsageError
        If the folder or its report is in a folder of photos or contains photos or a report, the report is a link or
        would be among other protected photos, two photos have the same key, or a result is that of another photo.
    RunError
        If another process works there.
    """
    out = out.resolve()
    report = report_of(out)
    refuse_link(report)
    refuse_published(report)
    for folder in (out, report):
        refuse_overlap(folder, photos, sources)
    if inside := next((log.parent for log in out.rglob(RECORDS) if is_report(log.parent)), None):
        raise UsageError(f"{out} contains {inside}, which shows originals; choose another folder")
    seen: dict[str, StorePath] = {}
    for photo in photos:
        if (other := seen.setdefault(photo.key, photo.path)) is not photo.path:
            raise UsageError(f"{other} and {photo.path} would get the same name; protect them into two folders")
    place = parse_path(report)
    place.store.make_folder(place.key)
    with place.lock():
        for path in (out, report):
            parse_path(path).store.remove_leftovers(str(path))
        opened = ProtectedFolder(out, report, photos)
        opened.refuse_other_photos(photos)
        yield opened


def _place(photo: Photo) -> str:
    return sha256(source_text(str(photo.path)).encode())


def _is_ours(path: Path, max_megapixels: float | None) -> bool:
    try:
        return open_photo(path, max_megapixels=max_megapixels).is_protected
    except ImageError:
        return False
