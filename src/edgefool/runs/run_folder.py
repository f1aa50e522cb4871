"""A run is a folder; an image is done when its PNGs and its record are all on the disk."""

import errno
import hashlib
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal
from uuid import uuid4

import pandas as pd
from pydantic import AfterValidator, ConfigDict, Field

from edgefool.errors import RunError, UsageError
from edgefool.runs.cell import Cell
from edgefool.storage.files import (
    PARTIAL_SUFFIX,
    STORE_THREADS,
    is_remote,
    list_folder,
    make_folder,
    parse_path,
    write_atomically,
)
from edgefool.storage.keyed_log import Line, Lines
from edgefool.storage.run_lock import LOCK, OWNER, Hold, hold

_DTYPES: dict[object, str] = {int | None: "Int64", float | None: "float64", bool: "bool"}
_PACKAGES = ("edgefool", "torch", "torchvision", "kornia", "numpy", "pillow")

Kind = Literal["originals", "images", "failures", "structure"]


def _check_inside(text: str) -> str:
    """Refuse what would lead out of the folder, whoever wrote the line."""
    if any(part in ("", ".", "..") for part in text.split("/")) or "\\" in text or "\0" in text:
        raise ValueError("not a plain name")
    return text


Name = Annotated[str, AfterValidator(_check_inside)]


class CellLine(Line):
    """A cell and its folder, which is its name in records: DATASET/METHOD/CLASSIFIER."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    folder: Name
    cell: Cell

    @property
    def key(self) -> str:
        """The cell; a later line may bring new labels."""
        return self.cell.id


class Record(Line):
    """What happened to one image. Fields are None where the image could not be attacked (``error`` says why).

    Attributes
    ----------
    cell : str
        DATASET/METHOD/CLASSIFIER, the folder of the cell's images.
    dataset, image : str
        The dataset, and the name of the image's files in the run, without suffix.
    source, sha256 : str
        Where the photo was and the SHA-256 of its bytes.
    label : int
        The photo's ground-truth class, where it is known.
    method, classifier : str
        The attack and the classifier.
    original_png, png, structure_png : str
        SHA-256 of the PNGs of the original as attacked, of the adversarial image and of I_s, where there is one.
    width, height : int
        Of the attacked image, pixels.
    seed : int
        The image's own.
    original_class, original_name, original_probability
        The classifier's decision on the original, the name of the class, and its probability (Eqs. 2 and 3).
    adversarial_class, adversarial_name, adversarial_probability
        The same for the adversarial image as re-read from its 8-bit PNG; of the last one tried where none succeeded.
    success : bool
        The two classes differ (Eq. 1). The PNG is then in ``images``, else in ``failures``.
    success_float : bool
        They differ before rounding to 8 bits.
    converged : bool
        The attack met its own stopping rule, and the file misleads.
    lost_gradient : bool
        A gradient was zero or not finite; see `edgefool.attacks.AttackResult`.
    iterations, forward_passes, backward_passes : int
        Spent on the image.
    seconds : float
        The image's share of the wall time.
    smoothing_loss : float
        L_s (Eq. 6) of the image kept; EdgeFool only.
    psnr, ssim : float
        Of the adversarial image against the original at the attacked size; decibels and [-1, 1].
    error : str
        Why there is no result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    cell: Name
    dataset: Name
    image: Name
    source: str
    sha256: str | None = None
    label: int | None = None
    method: str
    classifier: str
    original_png: str | None = None
    png: str | None = None
    structure_png: str | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    original_class: int | None = None
    original_name: str | None = None
    original_probability: float | None = None
    adversarial_class: int | None = None
    adversarial_name: str | None = None
    adversarial_probability: float | None = None
    success: bool = False
    success_float: bool = False
    converged: bool = False
    lost_gradient: bool = False
    iterations: int | None = None
    forward_passes: int | None = None
    backward_passes: int | None = None
    seconds: float | None = None
    smoothing_loss: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    error: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The cell and the image."""
        return self.cell, self.image

    @property
    def kind(self) -> Kind:
        """Where the adversarial image is."""
        return "images" if self.success else "failures"


class Prediction(Line):
    """What a classifier makes of one image of the run, read from its PNG.

    Attributes
    ----------
    cell : str or None
        Of an adversarial image; None: the original.
    dataset, image, png : str
        Which image, and the SHA-256 of its PNG: an answer about another file counts for nothing.
    classifier, fingerprint : str
        Who answers.
    predicted, probability
        The class and its probability (Eqs. 2 and 3).
    scores : dict
        By squeezer, the L1 distance in [0, 2] of the probabilities to those of the squeezed image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Name | None
    dataset: Name
    image: Name
    png: str
    classifier: str
    fingerprint: str
    predicted: int
    probability: float
    scores: dict[str, float]

    @property
    def key(self) -> tuple[str | None, str, str, str]:
        """The image and the classifier."""
        return self.cell, self.dataset, self.image, self.fingerprint


class Quality(Line):
    """How far an adversarial image is from its original; see `edgefool.measures`.

    Attributes
    ----------
    cell, image, png : str
        Which image, and the SHA-256 of its PNG.
    ciede2000, linf, changed_pixels, lpips : float
        ``lpips`` is None where it was not asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Name
    image: Name
    png: str
    ciede2000: float
    linf: float
    changed_pixels: float
    lpips: float | None = None
    psnr: float | None = None
    ssim: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The cell and the image."""
        return self.cell, self.image


class Session(Line):
    """One process that worked on the run: its command, when it began, and what it ran on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    date: str
    python: str
    platform: str
    versions: dict[str, str]
    id: str = Field(default_factory=lambda: uuid4().hex)

    @property
    def key(self) -> str:
        """Its own; others may have begun at the same time, by a clock that was set back."""
        return self.id


class RunFolder:
    """A folder with a plan, cells, records and images; open it with `open_run` to write.

    What goes to another process is the path alone, not the right to save records.

    Attributes
    ----------
    path : Path
        The folder, or its address.
    mended : list of str
        What `open_run` found damaged, a line each: it counts as not done.
    """

    def __init__(self, path: Path):
        self.path = path
        self.mended: list[str] = []
        self.cell_lines = Lines(path / "cells.jsonl", CellLine)
        self.record_lines = Lines(path / "records.jsonl", Record)
        self.prediction_lines = Lines(path / "predictions.jsonl", Prediction)
        self.quality_lines = Lines(path / "quality.jsonl", Quality)
        self.session_lines = Lines(path / "sessions.jsonl", Session)
        self.hold = Hold()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["RunFolder"], tuple[Path]]:
        return RunFolder, (self.path,)

    def image_path(self, kind: Kind, record: Record) -> Path:
        """Return where a PNG of a record's image is.

        ``kind`` is ``originals`` (as attacked), ``images`` or ``failures`` (adversarial; misled or not), or
        ``structure`` (I_s).
        """
        folder = record.dataset if kind == "originals" else record.cell
        return self.path / kind / folder / f"{record.image}.png"

    def owner(self) -> str:
        """Return who holds the run, a text that no two processes share; empty where nobody does.

        Raises
        ------
        OSError
            If that cannot be found out.
        """
        try:
            return (self.path / OWNER).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def cells(self) -> dict[str, Cell]:
        """Return the cells by folder, in the order in which they were entered."""
        return {line.folder: line.cell for line in self.cell_lines.read()}

    def records(self) -> list[Record]:
        """Return the latest record of each image of each cell, in the order of their first records.

        Raises
        ------
        RunError
            If a line is damaged.
        """
        return self.record_lines.read()

    def refuse_others(self, cells: Sequence[Cell], *, alone: bool) -> None:
        """Raise `UsageError` if the run holds cells of another size or seed than these, or (``alone``) any others."""
        wanted = {cell.id for cell in cells}
        for cell in self.cells().values():
            same = (cell.size, cell.seed) == (cells[0].size, cells[0].seed)
            if not same or (alone and cell.id not in wanted):
                told = "; ".join(cell.differences(cells[0]))
                raise UsageError(f"{self.path} was made with other settings ({told}); name a new folder")

    def enter(self, cells: Iterable[Cell]) -> list[str]:
        """Return the folder of each cell, after giving one to those that have none; raise as `save` does."""
        known = {line.key: line for line in self.cell_lines.read()}
        taken = {line.folder.casefold() for line in known.values()}
        entered = []
        for cell in cells:
            folder = known[cell.id].folder if cell.id in known else _folder(cell, taken)
            taken.add(folder.casefold())
            entered.append(CellLine(folder=folder, cell=cell))
        with _explain(self.path):
            self.hold.check()
            self.cell_lines.append(line for line in entered if known.get(line.key) != line)
        return [line.folder for line in entered]

    def save(self, record: Record, images: Mapping[Path, bytes]) -> None:
        """Make the images and then the record durable; threads may call this together.

        Raises
        ------
        RunError
            If the disk is full, the folder cannot be written, or an object store had to take the process for dead so
            that another works in it: what was saved before stays whole.
        """
        self.save_images(record, images)
        self.save_records([record])

    def save_images(self, record: Record, images: Mapping[Path, bytes]) -> None:
        """Make the images durable of which a record will tell; any process that shares the folder may.

        Raises as `save` does.
        """
        with _explain(self.path):
            for path, data in images.items():
                make_folder(path.parent)
                write_atomically(path, data)
            if record.png:  # of an earlier try, which ended otherwise
                self.image_path("failures" if record.success else "images", record).unlink(missing_ok=True)

    def save_records(self, records: Sequence[Record]) -> None:
        """Make records durable together, whose images are; only the process that opened the run may.

        In an object store this is one object, so that many are better saved together. Raises as `save` does.
        """
        with _explain(self.path), self._lock:
            self.hold.check()
            self.record_lines.append(records)

    def remove_leftovers(self) -> None:
        """Remove what processes left unfinished that were killed; raise as `save` does."""
        if is_remote(self.path):  # an object store shows no such thing
            return
        with _explain(self.path):
            for leftover in self.path.rglob(f"*{PARTIAL_SUFFIX}"):
                if not leftover.is_dir():  # a label may end so
                    leftover.unlink(missing_ok=True)

    def save_measures(self, predictions: Iterable[Prediction], qualities: Iterable[Quality] = ()) -> None:
        """Write down what was measured; should it be lost, it can be had again. Raises as `save` does."""
        with _explain(self.path):
            self.hold.check()
            self.prediction_lines.append(predictions, durable=False)
            self.quality_lines.append(qualities, durable=False)


@contextmanager
def open_run(
    path: Path, plan: str, cells: Sequence[Cell], *, command: str = "", alone: bool = False
) -> Iterator[RunFolder]:
    """Make the folder of a run, or go on with one, and keep other processes out of it.

    What is damaged (lines that are not whole, PNGs that are missing or have another hash than their record says) is
    taken out of the records, so that it counts as not done, and told in `RunFolder.mended`.

    Parameters
    ----------
    path : Path
        The folder, or its address as `edgefool.storage.files.parse_path` gives it.
    plan : str
        The plan as TOML; it takes the place of the one there.
    cells : sequence of Cell
        What is going to be worked on: at least one, all of one size and seed.
    command : str
        What is being run, for people.
    alone : bool
        Refuse a run that holds other cells.

    Raises
    ------
    UsageError
        If the folder holds something else than a run, or one with other settings; the message says which.
    RunError
        If another process uses the folder, or it cannot be written.
    """
    with ExitStack() as stack:
        with _explain(path):
            if path.exists() and not path.is_dir():
                raise UsageError(f"{path} is a file; --out needs a folder")
            settings = path / "plan.toml"
            is_run = settings.exists() or RunFolder(path).cell_lines.has_whole()  # a missing plan will be written
            if path.exists() and not is_run and not _is_fresh(path):
                raise UsageError(f"{path} is not a run and not empty; name a new folder")
            make_folder(path)
            run = RunFolder(path)
            run.hold = stack.enter_context(hold(path, _now()))
            run.remove_leftovers()
            run.mended += _mend_lines(run.cell_lines)
            run.refuse_others(cells, alone=alone)
            _mend(run)
            if not settings.exists() or settings.read_bytes() != plan.encode():
                write_atomically(settings, plan.encode())
            run.session_lines.append([_session(command)])
        yield run


def load_records(path: Path | str) -> pd.DataFrame:
    """Return the records of a run (its folder or address), a row per image and cell, with the columns of `Record`.

    Integers are of pandas' type Int64, which keeps them whole next to images that have none.

    Raises
    ------
    UsageError
        If the folder is not a run.
    RunError
        If a record is damaged.
    """
    folder = parse_path(path)
    if not (folder / "plan.toml").is_file():
        raise UsageError(f"{path} is not a run folder (it has no plan.toml)")
    return frame(RunFolder(folder).records())


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """Return records as a table, a row each; see `load_records`."""
    types = {name: _DTYPES.get(field.annotation, "object") for name, field in Record.model_fields.items()}
    columns = {name: [getattr(record, name) for record in records] for name in types}
    return pd.DataFrame(columns, columns=list(types)).astype(types)


def slug(name: str) -> str:
    """Return a name made fit for a folder.

    >>> slug("models.py:mobilenet_v2")
    'models.py-mobilenet_v2'
    """
    return re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "unnamed"


def source_text(path: Path) -> str:
    r"""Return a path as records hold it: bytes that are not UTF-8 become ``\xff``."""
    return os.fsencode(str(path)).decode(errors="backslashreplace")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _folder(cell: Cell, taken: set[str]) -> str:
    """Return a folder for a cell: its labels, with digits of its settings' hash where others have that folder."""
    plain = "/".join(slug(name) for name in (cell.dataset, cell.label, cell.classifier))
    if plain.casefold() not in taken:
        return plain
    return "/".join([slug(cell.dataset), f"{slug(cell.label)}-{cell.id[:8]}", slug(cell.classifier)])


def _mend(run: RunFolder) -> None:
    """Take out of the records what the disk does not hold as they say."""
    for lines in (run.record_lines, run.prediction_lines, run.quality_lines, run.session_lines):
        run.mended += _mend_lines(lines)
    folders, records = run.cells(), run.records()
    whole = [record for record in records if not record.error]
    originals = list({(record.dataset, record.image): record for record in whole}.values())
    with ThreadPoolExecutor(STORE_THREADS if is_remote(run.path) else None) as pool:
        found = pool.map(lambda record: _fault(run, "originals", record, record.original_png), originals)
        bad_originals = {(o.dataset, o.image): fault for o, fault in zip(originals, found, strict=True) if fault}
        faults = dict(zip((record.key for record in whole), pool.map(lambda r: _faults(run, r), whole), strict=True))
    kept = []
    for record in records:
        fault = faults.get(record.key) or (
            bad_originals.get((record.dataset, record.image)) if not record.error else ""
        )
        if record.cell not in folders:
            fault = "its cell is unknown"
        if fault:
            run.mended.append(f"{record.image} of {record.cell}: {fault}")
        else:
            kept.append(record)
    if len(kept) < len(records):
        run.record_lines.replace(kept)


def _mend_lines(lines: Lines[Any]) -> list[str]:
    return [f"line {number} of {lines.path.name} was damaged" for number in lines.mend()]


def _faults(run: RunFolder, record: Record) -> str:
    fault = _fault(run, record.kind, record, record.png)
    if record.structure_png and not fault:
        fault = _fault(run, "structure", record, record.structure_png)
    return fault


def _fault(run: RunFolder, kind: Kind, record: Record, expected: str | None) -> str:
    """Say what is wrong with a PNG of a record, if anything is."""
    path = run.image_path(kind, record)
    try:
        found = sha256(path.read_bytes())
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
            raise
        return f"{path.relative_to(run.path)} is missing"
    return "" if found == expected else f"{path.relative_to(run.path)} was altered"


def _is_fresh(path: Path) -> bool:
    """Tell whether a folder holds no more than a run that was killed before its plan was written."""
    files, folders = list_folder(path)
    return not folders and all(p.name in (LOCK, OWNER) or p.name.endswith(PARTIAL_SUFFIX) for p in files)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal into one line that says how to go on."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise RunError(
            f"cannot write {where}: {error.strerror or error}; what is done is kept, mend this and repeat the command"
        ) from error


def _session(command: str) -> Session:
    return Session(
        command=command.encode(errors="backslashreplace").decode(),  # arguments need not be UTF-8
        date=_now(),
        python=platform.python_version(),
        platform=platform.platform(),
        versions={package: version(package) for package in _PACKAGES},
    )
