"""A run is a folder; an image is done when its PNG and its record are both on the disk."""

import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from threading import Lock

import pandas as pd
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from edgefool.errors import RunError, UsageError
from edgefool.experiments.plan import Plan
from edgefool.images import PARTIAL_SUFFIX, write_atomically

# All that a run holds that was killed before its plan was written.
_FIRST_FILES = (".lock", f"plan.toml{PARTIAL_SUFFIX}")
_DTYPES: dict[object, str] = {int | None: "Int64", float | None: "float64", bool: "bool"}
_PACKAGES = ("edgefool", "torch", "torchvision", "kornia", "numpy", "pillow")


class Record(BaseModel):
    """What happened to one image. Fields are None where the image could not be attacked (``error`` says why).

    Attributes
    ----------
    image : str
        Name of the image's files in the run, without suffix.
    source, sha256 : str
        Where the photo was and the SHA-256 of its bytes.
    method, classifier : str
        The attack and the classifier.
    width, height : int
        Of the attacked image, pixels.
    seed : int
        The image's own.
    original_class, original_name, original_probability
        The classifier's decision on the original, the name of the class, and its probability (Eqs. 2 and 3).
    adversarial_class, adversarial_name, adversarial_probability
        The same for the adversarial image as re-read from its 8-bit PNG; of the last one tried where none succeeded.
    success : bool
        The two classes differ (Eq. 1). Only then is there a PNG.
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

    image: str
    source: str
    sha256: str | None = None
    method: str
    classifier: str
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


class RunFolder:
    """A folder with a plan, records and images; open it with `open_run`."""

    def __init__(self, path: Path):
        self.path = path
        self._records = path / "records.jsonl"
        self._lock = Lock()

    def image_path(self, kind: str, name: str, record: Record | None = None) -> Path:
        """Return where the PNG of an image is.

        ``kind`` is ``originals`` (as attacked), or with a record ``images`` (adversarial) or ``structure`` (I_s).
        """
        parts = [slug(record.method), slug(record.classifier)] if record else []
        return self.path.joinpath(kind, *parts, f"{name}.png")

    def records(self) -> list[Record]:
        """Return the latest record of each image, in the order of their first records.

        Raises
        ------
        RunError
            If a line is damaged.
        """
        latest: dict[tuple[str, str, str], Record] = {}
        for number, line in enumerate(_whole_lines(self._records), 1):
            try:
                record = Record.model_validate_json(line)
            except ValidationError as error:
                raise RunError(
                    f"line {number} of {self._records} is damaged; delete it to have its photo attacked again"
                ) from error
            latest[record.image, record.method, record.classifier] = record
        return list(latest.values())

    def save(self, record: Record, images: Mapping[Path, bytes]) -> None:
        """Make the images and then the record durable; threads may call this together.

        Raises
        ------
        RunError
            If the disk is full or the folder cannot be written: what was saved before stays whole.
        """
        with _explain(self.path):
            for path, data in images.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, data)
            with self._lock:
                _append(self._records, record.model_dump_json().encode() + b"\n")


@contextmanager
def open_run(path: Path, plan: Plan, command: str = "") -> Iterator[RunFolder]:
    """Make the folder of a run, or go on with one, and keep other processes out of it.

    Raises
    ------
    UsageError
        If the folder holds a run with other settings (the message says which) or something else.
    RunError
        If another process uses the folder, or it cannot be written.
    """
    with _explain(path):
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file; --out needs a folder")
        settings = path / "plan.toml"
        if path.exists() and not settings.exists() and any(p.name not in _FIRST_FILES for p in path.iterdir()):
            raise UsageError(f"{path} is not a run and not empty; name a new folder")
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(f"another process is working in {path}") from error
    try:
        with _explain(path):
            if not settings.exists():
                write_atomically(settings, plan.to_toml().encode())
            elif differences := Plan.read(settings).differences(plan):
                raise UsageError(f"{path} was made with other settings ({'; '.join(differences)}); name a new folder")
            if not (environment := path / "environment.json").exists():
                write_atomically(environment, json.dumps(_environment(command), indent=2).encode())
            for leftover in path.rglob(f"*{PARTIAL_SUFFIX}"):
                leftover.unlink()
            _cut_half_line(path / "records.jsonl")
        yield RunFolder(path)
    finally:
        lock.release()


def load_records(path: Path | str) -> pd.DataFrame:
    """Return the records of a run, a row per image, with the columns of `Record`.

    Integers are of pandas' type Int64, which keeps them whole next to images that have none.

    Raises
    ------
    UsageError
        If the folder is not a run.
    RunError
        If a record is damaged.
    """
    if not (Path(path) / "plan.toml").is_file():
        raise UsageError(f"{path} is not a run folder (it has no plan.toml)")
    rows = [record.model_dump() for record in RunFolder(Path(path)).records()]
    types = {name: _DTYPES.get(field.annotation, "object") for name, field in Record.model_fields.items()}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def slug(name: str) -> str:
    """Return a name made fit for a folder.

    >>> slug("models.py:mobilenet_v2")
    'models.py-mobilenet_v2'
    """
    return re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "unnamed"


def _whole_lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    *lines, _half = path.read_bytes().split(b"\n")
    return lines


def _cut_half_line(path: Path) -> None:
    """Remove what a process that was killed while appending left behind the last newline."""
    if path.exists():
        whole = sum(len(line) + 1 for line in _whole_lines(path))
        if whole < path.stat().st_size:
            os.truncate(path, whole)


def _append(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


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


def _environment(command: str) -> dict[str, object]:
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {package: version(package) for package in _PACKAGES},
    }
