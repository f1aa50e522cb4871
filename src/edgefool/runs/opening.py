"""Opening a run to make or resume it, and checking one. Damaged images count as not done."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from edgefool.classifiers import Classifier
from edgefool.errors import UsageError
from edgefool.runs.cell import Cell
from edgefool.runs.formats import check_format, write_format
from edgefool.runs.records import CellLine, FileStamp, ImageKind, Record, Session, sha256
from edgefool.runs.run_folder import RunFolder, explain_failure, explain_format, image_key, read_run
from edgefool.runs.source_hashes import SourceHashes
from edgefool.storage import StorePath
from edgefool.storage.keyed_log import KeyedLog
from edgefool.storage.partial_names import is_partial
from edgefool.storage.pause_gc import pause_gc, spare_from_gc
from edgefool.storage.run_lock import LOCK, OWNER
from edgefool.storage.store import STORE_THREADS

_PACKAGES = ("edgefool", "torch", "torchvision", "kornia", "numpy", "pillow")
Faults = Mapping[tuple[str, str], str]  # by the key of a record
_KINDS: tuple[ImageKind, ...] = ("originals", "images", "failures", "structure", "mask")


@contextmanager
def open_run(
    path: StorePath | Path | str,
    plan: str,
    cells: Sequence[Cell],
    *,
    command: str = "",
    alone: bool = False,
    classifiers: Iterable[Classifier] = (),
) -> Iterator[RunFolder]:
    """Make the folder of a run, or resume one, and keep other processes out of it.

    Lines with a wrong checksum, and images whose PNGs are missing or differ from their record's hash, count as not done
    and are described in `RunFolder.repaired`. Damaged lines are first copied to ``RUN/damaged``; an appended line
    invalidates the record of a damaged image.

    Parameters
    ----------
    path
        The folder, or its address.
    plan : str
        The plan as TOML; it replaces the one in the folder.
    cells : sequence of Cell
        The cells to work on: at least one, all of one size and seed.
    command : str
        The command line, for the run's list of sessions.
    alone : bool
        Refuse a run that holds other cells.
    classifiers
        Those whose weight tags and licences the run is to keep, in its list of sessions.

    Raises
    ------
    UsageError
        If the folder holds something other than a run, or a run with other settings; the message says which.
    FormatError
        If a newer version wrote the run and this one cannot read it; nothing is changed.
    RunError
        If another process uses the folder, or it cannot be written.
    """
    run = RunFolder(path)
    with ExitStack() as stack:
        with explain_failure(run.path), explain_format(run.path):
            _refuse_other_folder(run)
            check_format(run.path)
            run.path.store.make_folder(run.path.key)
            run.lock = stack.enter_context(run.path.lock())
            _repair(run, cells, alone=alone)
            stack.enter_context(spare_from_gc())
            if run.plan.kind() != "file" or run.plan.read() != plan.encode():
                run.plan.write(plan.encode())
            write_format(run.path)
            run.session_lines.append([_session(command, classifiers)])
        yield run


def check_run(path: StorePath | Path | str) -> list[str]:
    """Compare every line of a run with its checksum and every PNG with its hash; nothing is changed.

    Returns
    -------
    list of str
        A sentence for each fault; none if the run is sound.

    Raises
    ------
    UsageError
        If the folder is not a run.
    FormatError
        If a newer version wrote the run and this one cannot read it.
    """
    run = read_run(path)
    with explain_format(run.path):
        inspections = [log.inspect() for log in _logs(run)]
    damaged = [line.describe(inspection.path) for inspection in inspections for line in inspection.damaged]
    faults, _ = _find_faults(run, inspections[0].items, inspections[1].items, {})
    return damaged + _describe(faults)


def refuse_other_settings(run: StorePath, known: Iterable[Cell], cells: Sequence[Cell], *, alone: bool) -> None:
    """Raise `UsageError` if known cells have another size or seed than new ones, or (``alone``) are not among them."""
    wanted = {cell.id for cell in cells}
    for cell in known:
        same = (cell.size, cell.seed) == (cells[0].size, cells[0].seed)
        if not same or (alone and cell.id not in wanted):
            differences = "; ".join(cell.differences(cells[0]))
            raise UsageError(f"{run} was made with other settings ({differences}); name a new folder")


def _logs(run: RunFolder) -> list[KeyedLog[Any]]:
    """Return all logs as `RunFolder` declares them: cells and records first, stamps last."""
    return [log for log in vars(run).values() if isinstance(log, KeyedLog)]


def _refuse_other_folder(run: RunFolder) -> None:
    kind = run.path.kind()
    if kind == "file":
        raise UsageError(f"{run.path} is a file; a run needs a folder")
    is_run = run.plan.exists() or run.cell_lines.inspect().items  # a missing plan is written again
    if kind and not is_run and not _is_fresh(run.path):
        raise UsageError(f"{run.path} is not a run and not empty; name a new folder")


def _is_fresh(path: StorePath) -> bool:
    """Return whether a folder is empty or of a run that was killed before its plan was written."""
    files, folders = path.list_folder()
    return not folders and all(file.name in (LOCK, OWNER) or is_partial(file.name) for file in files)


@pause_gc()
def _repair(run: RunFolder, cells: Sequence[Cell], *, alone: bool) -> None:
    """Repair the logs, unless this version cannot read one, and invalidate records whose files are damaged."""
    logs = _logs(run)
    inspections = [log.inspect() for log in logs]
    refuse_other_settings(run.path, [line.cell for line in inspections[0].items], cells, alone=alone)
    run.remove_leftovers()
    for log, inspection in zip(logs, inspections, strict=True):
        run.repaired += inspection.repair(run.path / "damaged")
        if log is not run.stamp_lines:  # nobody else reads those; the run is locked, so nobody else writes
            log.hold(inspection.items)
    known = {stamp.path: stamp for stamp in inspections[-1].items}
    run.source_hashes = SourceHashes(known)
    faults, stamps = _find_faults(run, inspections[0].items, inspections[1].items, known)
    run.record_lines.invalidate(faults)
    run.stamp_lines.append(stamps, durable=False)
    run.repaired += _describe(faults)


def _find_faults(
    run: RunFolder, cells: Sequence[CellLine], records: Sequence[Record], known: Mapping[str, FileStamp]
) -> tuple[Faults, list[FileStamp]]:
    """Return what is wrong with records, by their keys, and stamps of the files that were read and are intact."""
    stats = {f"{kind}/{name}": stat for kind in _KINDS for name, stat in (run.path / kind).find().items()}
    whole = [record for record in records if not record.error]
    expected = {
        record.key: [(image_key(kind, record), sha) for kind, sha in record.files().items()] for record in whole
    }

    def is_as_before(file: tuple[str, str]) -> bool:
        path, sha = file
        stat, stamp = stats.get(path), known.get(path)
        return stat is not None and stamp is not None and stamp.fits(stat) and stamp.sha256 == sha

    def check_file(file: tuple[str, str]) -> str | FileStamp | None:
        path, sha = file
        stat = stats.get(path) or (run.path / path).stat()  # some file systems normalise names
        if stat is None:
            return f"{path} is missing"
        stamp = FileStamp(path=path, size=stat.size, version=stat.version, sha256=sha)
        if stat.version and known.get(path) == stamp:
            return None
        return stamp if sha256((run.path / path).read()) == sha else f"{path} was changed"

    distinct = {file for file in chain.from_iterable(expected.values()) if not is_as_before(file)}
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        found = dict(zip(distinct, pool.map(check_file, distinct), strict=True))
    folders = {line.folder for line in cells}
    faults = {record.key: "its cell is unknown" for record in records if record.cell not in folders}
    for key, files in expected.items():
        if fault := next((found[file] for file in files if isinstance(found.get(file), str)), None):
            faults.setdefault(key, str(fault))
    return faults, [stamp for stamp in found.values() if isinstance(stamp, FileStamp)]


def _describe(faults: Faults) -> list[str]:
    return [f"{image} of {cell}: {fault}" for (cell, image), fault in faults.items()]


def _session(command: str, classifiers: Iterable[Classifier]) -> Session:
    facts = {c.fingerprint: {"classifier": c.name, "tag": c.tag, "licence": c.licence} for c in classifiers}
    return Session(
        command=command.encode(errors="backslashreplace").decode(),  # arguments may not be UTF-8
        date=datetime.now(UTC).isoformat(timespec="milliseconds"),
        python=platform.python_version(),
        platform=platform.platform(),
        versions={package: version(package) for package in _PACKAGES},
        weights={
            fingerprint: {key: value for key, value in known.items() if value is not None}
            for fingerprint, known in facts.items()
            if known["tag"] or known["licence"]
        },
    )
