"""The folder of a run. An image is done when its PNGs and its record are all durable."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TypeVar

from edgefool.classifiers import Classifier
from edgefool.errors import FormatError, RunError, UnreadableLineError, UsageError, reason_of
from edgefool.runs.cell import Cell
from edgefool.runs.class_groups import ClassGroups
from edgefool.runs.formats import check_format, read_format
from edgefool.runs.measurements import Prediction, Quality, TransformedClasses
from edgefool.runs.records import (
    CellLine,
    FileStamp,
    ImageKind,
    Record,
    Selection,
    Session,
)
from edgefool.runs.source_hashes import SourceHashes
from edgefool.storage import RunLock, StorePath, parse_path
from edgefool.storage.keyed_log import KeyedLog, Line
from edgefool.storage.run_lock import read_owner
from edgefool.text import slug

L = TypeVar("L", bound=Line)


def image_key(kind: ImageKind, record: Record) -> str:
    """Return where in a run the PNG of a record's image is."""
    return f"{kind}/{record.dataset if kind == 'originals' else record.cell}/{record.image}.png"


class RunFolder:
    """A folder with a plan, cells, records and images; open it with `open_run` to write, with `read_run` to read.

    Pickling it for another process keeps the path only, not the right to save records.

    Attributes
    ----------
    path : StorePath
        The folder.
    repaired : list of str
        A sentence for each damage that `open_run` found; damaged images count as not done.
    source_hashes : SourceHashes
        The hashes of photos.
    """

    def __init__(self, path: StorePath | Path | str):
        self.path = parse_path(path)
        self.repaired: list[str] = []
        self.cell_lines = KeyedLog(self.path / "cells.jsonl", CellLine)
        self.record_lines = KeyedLog(self.path / "records.jsonl", Record)
        self.prediction_lines = KeyedLog(self.path / "predictions.jsonl", Prediction)
        self.quality_lines = KeyedLog(self.path / "quality.jsonl", Quality)
        self.robustness_lines = KeyedLog(self.path / "robustness.jsonl", TransformedClasses)
        self.group_lines = KeyedLog(self.path / "groups.jsonl", ClassGroups)
        self.session_lines = KeyedLog(self.path / "sessions.jsonl", Session)
        self.selection_lines = KeyedLog(self.path / "selection.jsonl", Selection)
        self.stamp_lines = KeyedLog(self.path / "verified.jsonl", FileStamp)
        self.source_hashes = SourceHashes()
        self.lock: RunLock | None = None
        self._saving = Lock()

    def __reduce__(self) -> tuple[type["RunFolder"], tuple[StorePath]]:
        return RunFolder, (self.path,)

    @property
    def plan(self) -> StorePath:
        """The file of the plan as run."""
        return self.path / "plan.toml"

    def image_path(self, kind: ImageKind, record: Record) -> StorePath:
        """Return the path of a PNG of a record's image."""
        return self.path / image_key(kind, record)

    def owner(self) -> str:
        """Return a text unique to the process that works in the run, empty if none does.

        Raises
        ------
        OSError
            If the folder cannot be read.
        """
        return read_owner(self.path).decode()

    def cells(self) -> dict[str, Cell]:
        """Return the cells by folder, in the order in which they were entered."""
        return {line.folder: line.cell for line in self._read(self.cell_lines)}

    def records(self) -> list[Record]:
        """Return the latest record of each image of each cell, in the order of their first records.

        Raises
        ------
        RunError
            If a line is damaged; `FormatError` if this version cannot read it.
        """
        return self._read(self.record_lines)

    def predictions(self) -> list[Prediction]:
        """Return the latest decision of each classifier on each image; raise as `records` does."""
        return self._read(self.prediction_lines)

    def qualities(self) -> list[Quality]:
        """Return the latest distances of each adversarial image; raise as `records` does."""
        return self._read(self.quality_lines)

    def transformed(self) -> list[TransformedClasses]:
        """Return the latest classes of each transformed image by each classifier; raise as `records` does."""
        return self._read(self.robustness_lines)

    def groups(self) -> list[ClassGroups]:
        """Return the semantic groups of the classifiers; raise as `records` does."""
        return self._read(self.group_lines)

    def sessions(self) -> list[Session]:
        """Return the processes that worked on the run; raise as `records` does."""
        return self._read(self.session_lines)

    def selected(self) -> dict[str, frozenset[str]]:
        """Return by cell the images in the current plan; cells without a known selection are left out."""
        images = {line.dataset: line.images for line in self._read(self.selection_lines)}
        return {
            line.folder: frozenset(images[line.cell.dataset][: line.limit])
            for line in self._read(self.cell_lines)
            if line.cell.dataset in images
        }

    def enter(self, cells: Sequence[Cell], limits: Sequence[int | None] | None = None) -> list[str]:
        """Add the cells that are new and return the folder of each cell; raise as `save` does.

        ``limits`` gives for each cell how many photos of its dataset the plan wants; by default all.
        """
        known = {line.key: line for line in self._read(self.cell_lines)}
        taken = {line.folder.casefold() for line in known.values()}
        entered = []
        for cell, limit in zip(cells, limits or [None] * len(cells), strict=True):
            folder = known[cell.id].folder if cell.id in known else _cell_folder(cell, taken)
            taken.add(folder.casefold())
            entered.append(CellLine(folder=folder, cell=cell, limit=limit))
        with self.writing():
            self.cell_lines.append(line for line in entered if known.get(line.key) != line)
        return [line.folder for line in entered]

    def select(self, images: Mapping[str, Sequence[str]]) -> None:
        """Note which images of each dataset are in the current plan; raise as `save` does."""
        lines = [Selection(dataset=dataset, images=tuple(names)) for dataset, names in images.items()]
        known = self._read(self.selection_lines)
        with self.writing():
            self.selection_lines.append(line for line in lines if line not in known)

    def keep_source_hashes(self) -> None:
        """Note the hashes of the photos that were read; raise as `save` does."""
        with self.writing():
            self.stamp_lines.append(self.source_hashes.new, durable=False)

    def keep_groups(self, classifiers: Iterable[Classifier]) -> None:
        """Note the semantic groups of classifiers; raise as `save` does."""
        known = self._read(self.group_lines)
        with self.writing():
            self.group_lines.append(line for line in map(ClassGroups.of, classifiers) if line not in known)

    def save(self, record: Record, images: Mapping[StorePath, bytes]) -> None:
        """Make the images and then the record durable; safe to call from several threads.

        Raises
        ------
        RunError
            If the disk is full, the folder cannot be written, or another process has taken over the run in an object
            store. Images saved earlier are kept.
        """
        self.save_images(record, images)
        self.save_records([record])

    def save_images(self, record: Record, images: Mapping[StorePath, bytes]) -> None:
        """Make the images of a future record durable; allowed in any process. Raise as `save` does."""
        with explain_failure(self.path):
            for path, data in images.items():
                path.write(data)
            if record.png:  # an earlier attempt may have had another result
                self.image_path("failures" if record.success else "images", record).delete()

    def save_records(self, records: Sequence[Record]) -> None:
        """Make the records of durable images durable; allowed only in the process that opened the run.

        In an object store this is one request, so save many records together. Raise as `save` does.
        """
        with self.writing(), self._saving:
            self.record_lines.append(records)

    def save_measures(
        self,
        predictions: Iterable[Prediction],
        qualities: Iterable[Quality] = (),
        transformed: Iterable[TransformedClasses] = (),
    ) -> None:
        """Write measurements; lost ones are measured again. Raise as `save` does."""
        with self.writing(), self._saving:
            self.prediction_lines.append(predictions, durable=False)
            self.quality_lines.append(qualities, durable=False)
            self.robustness_lines.append(transformed, durable=False)

    def remove_leftovers(self) -> None:
        """Delete the unfinished files of killed processes; raise as `save` does."""
        with explain_failure(self.path):
            self.path.store.remove_leftovers(self.path.key)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Check that this process still owns the run, and turn an `OSError` into a `RunError`."""
        with explain_failure(self.path):
            if self.lock:
                self.lock.check()
            yield

    def _read(self, log: KeyedLog[L]) -> list[L]:
        with explain_format(self.path):
            return log.read()


def read_run(path: StorePath | Path | str) -> RunFolder:
    """Return a run for reading only.

    Raises
    ------
    UsageError
        If the folder is not a run.
    FormatError
        If a newer version wrote it in a format that this version cannot read.
    """
    run = RunFolder(path)
    check_format(run.path)
    if run.plan.kind() != "file":
        raise UsageError(f"{run.path} is not a run folder (it has no plan.toml)")
    return run


@contextmanager
def explain_failure(path: StorePath) -> Iterator[None]:
    """Turn an `OSError` into a `RunError` that says how to continue."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename or path}: {reason_of(error)}"
        raise RunError(f"cannot write {what}; finished work is kept, solve this and repeat the command") from error


@contextmanager
def explain_format(path: StorePath) -> Iterator[None]:
    """Add to the error for an unreadable line which version wrote the run, and what to do."""
    try:
        yield
    except UnreadableLineError as error:
        raise FormatError(
            f"{error}; {path} is a run of {read_format(path)}: use that version or a newer one (nothing was changed)"
        ) from error


def _cell_folder(cell: Cell, taken: set[str]) -> str:
    """Return a folder for a cell: its labels, with digits of its settings' hash if that folder is taken."""
    plain = "/".join(slug(name) for name in (cell.dataset, cell.label, cell.classifier))
    if plain.casefold() not in taken:
        return plain
    return "/".join([slug(cell.dataset), f"{slug(cell.label)}-{cell.id[:8]}", slug(cell.classifier)])
