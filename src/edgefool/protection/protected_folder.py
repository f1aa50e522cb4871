"""Protects the photos of a folder into another one, each durable once it is done, and resumes."""

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from edgefool.datasets import Photo
from edgefool.errors import AttackError, ImageError, UsageError, reason_of
from edgefool.protection.metadata import MetadataPolicy
from edgefool.protection.overlap import refuse_link, refuse_overlap
from edgefool.protection.photo_file import PhotoFile, open_photo
from edgefool.protection.photo_record import PhotoRecord
from edgefool.protection.protector import Protector
from edgefool.protection.result_names import ResultNames
from edgefool.runs.records import sha256, source_text
from edgefool.storage import StorePath, parse_path
from edgefool.storage.keyed_log import KeyedLog

REPORT_SUFFIX = "-report"
"""The folder of the report is next to that of the protected photos, which people publish."""

_STOPS_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no other photo could be written either


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
        self._log = KeyedLog(parse_path(report / "photos.jsonl"), PhotoRecord)
        self._log.inspect().repair(parse_path(report / "damaged"))
        self._records = {record.photo: record for record in self._log.read()}
        given = {record.photo: record.result for record in self._records.values() if record.result}
        self._names = ResultNames((source_text(photo.key) for photo in photos), given)

    def protect(
        self,
        photos: Sequence[Photo],
        protector: Protector,
        metadata: MetadataPolicy = "private",
        *,
        max_megapixels: float | None = None,
    ) -> Iterator[Done]:
        """Protect photos one by one, except those that the same options protected before; yield each once it is saved.

        A photo that fails does not stop the others.

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
        for photo in photos:
            start, key = time.perf_counter(), source_text(photo.key)
            facts: dict[str, Any] = {"photo": key, "options": options, "attacked": attacked}
            try:
                data = photo.path.read()
                facts |= {"source_sha256": sha256(data), "source_bytes": len(data)}
                del data
                if (known := self._records.get(key)) and self._is_current(known, facts):
                    yield Done(known, False)
                    continue
                opened = open_photo(photo.path.key, max_megapixels=max_megapixels)
                if opened.is_protected:
                    record = PhotoRecord(status="skipped", notes=(f"protected already: {opened.mark}",), **facts)
                else:
                    record = self._protect(opened, protector, metadata, facts, start)
            except (ImageError, AttackError, UsageError, MemoryError, OSError) as error:
                if isinstance(error, OSError) and error.errno in _STOPS_ALL:
                    raise
                record = PhotoRecord(status="error", error=_describe(error), **facts)
            self._records[key] = record
            self._log.append([record])
            yield Done(record, True)

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
        self,
        photo: PhotoFile,
        protector: Protector,
        metadata: MetadataPolicy,
        facts: Mapping[str, Any],
        start: float,
    ) -> PhotoRecord:
        """Protect a photo and save it."""
        name = self._names.give(facts["photo"], source_text(photo.name))
        target = self.path / name
        if target.exists() and not _is_ours(target):
            raise ImageError(f"{target} exists and was not made by EdgeFool; it is not overwritten")
        data, outcome = protector.protect_photo(photo, metadata)
        photo.save(data, target)
        return PhotoRecord(
            status="protected",
            result=name,
            result_sha256=sha256(data),
            result_bytes=len(data),
            seconds=time.perf_counter() - start,
            factor=outcome.factor,
            within_bounds=outcome.within_bounds,
            ssim=outcome.quality.ssim,
            ciede2000=outcome.quality.ciede2000,
            smooth_delta_e=outcome.quality.smooth_delta_e,
            before=outcome.before,
            after=outcome.after,
            notes=photo.notes,
            **facts,
        )


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
        If the folder or its report is in a folder of photos or contains photos, the report is a link, or two photos
        have the same key.
    RunError
        If another process works there.
    """
    out = out.resolve()
    report = out.with_name(out.name + REPORT_SUFFIX)
    refuse_link(report)
    for folder in (out, report):
        refuse_overlap(folder, photos, sources)
    seen: dict[str, StorePath] = {}
    for photo in photos:
        if (other := seen.setdefault(photo.key, photo.path)) is not photo.path:
            raise UsageError(f"{other} and {photo.path} would get the same name; protect them into two folders")
    place = parse_path(report)
    place.store.make_folder(place.key)
    with place.lock():
        for path in (out, report):
            parse_path(path).store.remove_leftovers(str(path))
        yield ProtectedFolder(out, report, photos)


def _is_ours(path: Path) -> bool:
    try:
        return open_photo(path).is_protected
    except ImageError:
        return False


def _describe(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    file = getattr(error, "filename", None)
    return f"{file}: {reason_of(error)}" if file else reason_of(error)
