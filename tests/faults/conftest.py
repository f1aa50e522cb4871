"""A small run that is disturbed again and again, a disk that fails when told to, and what both are judged by."""

import builtins
import errno
import io
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from edgefool.errors import EdgeFoolError, RunError, UsageError
from edgefool.execution import RunState, run_local
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import Record, RunFolder, load_records, open_run
from edgefool.runs.records import sha256
from edgefool.storage.append_log import AppendLog


class Disk:
    """What Python asks of the disk under a folder in order to change it, numbered from 0; some of it fails.

    Attributes
    ----------
    asked, struck, halved : int
        How often it was asked to change something, how often it refused, and how often it did half of it.
    """

    def __init__(
        self,
        folder: Path,
        code: int,
        fails: Callable[[int], bool],
        *,
        halves: bool = False,
        removals: bool = False,
    ):
        self._folder, self._code, self._fails = f"{folder}{os.sep}", code, fails
        self.halves, self._removals, self._lock = halves, removals, Lock()
        self.asked = self.struck = self.halved = 0

    def ask(self, path: object) -> None:
        """Count a wish to change something; raise if it is refused."""
        if not f"{os.fspath(path)}{os.sep}".startswith(self._folder):
            return
        with self._lock:
            number, self.asked = self.asked, self.asked + 1
            fails = self._fails(number)
            self.struck += fails
        if fails:
            raise OSError(self._code, os.strerror(self._code), os.fspath(path))

    def attach(self, patch: pytest.MonkeyPatch) -> None:
        """Stand between Python and the system."""
        genuine = {name: getattr(os, name) for name in ("open", "fsync", "mkdir")}

        def open_file(path, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *rest, **options):
            if isinstance(path, int) or not set(mode) & set("wax+"):
                return io_open(path, mode, buffering, encoding, errors, newline, *rest, **options)
            self.ask(path)
            file = io.BufferedWriter(_RawFile(self, os.fspath(path), mode.replace("b", "").replace("t", "")))
            return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)

        def open_descriptor(path, flags, *rest, **options):
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.ask(path)
            return genuine["open"](path, flags, *rest, **options)

        def sync(descriptor):
            self.ask(os.readlink(f"/proc/self/fd/{descriptor}"))
            return genuine["fsync"](descriptor)

        def make_folder(path, *rest, **options):
            if not os.path.exists(path):
                self.ask(path)
            return genuine["mkdir"](path, *rest, **options)

        def asking(name):
            function = getattr(os, name)

            def ask(path, *rest, **options):
                if os.path.lexists(path):
                    self.ask(path)
                return function(path, *rest, **options)

            return ask

        io_open = io.open
        patch.setattr(io, "open", open_file)
        patch.setattr(builtins, "open", open_file)
        for name, function in {"open": open_descriptor, "fsync": sync, "mkdir": make_folder}.items():
            patch.setattr(os, name, function)
        for name in ("replace", "rename", "truncate", *(("unlink", "rmdir") if self._removals else ())):
            patch.setattr(os, name, asking(name))


class _RawFile(io.FileIO):
    """A file whose writes may fail, as those of a full disk do: half of the bytes land before, or none."""

    def __init__(self, disk: Disk, path: str, mode: str):
        super().__init__(path, mode)
        self._disk, self._half = disk, False

    def write(self, data: Any) -> int:
        try:
            self._disk.ask(self.name)
        except OSError:
            if not self._disk.halves or self._half:
                raise
            self._half = True
            self._disk.halved += 1
            data = data[: len(data) // 2]
        return super().write(data)


@dataclass
class Attempt:
    """One command on a run: the records that it said were durable, and the error in which it ended, if in one."""

    done: list[Record] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def documented(self) -> bool:
        """The command went through, or ended in one line that is meant for people."""
        return self.error is None or (isinstance(self.error, EdgeFoolError) and str(self.error).isprintable())


class Disturbed:
    """Two cells of three images, with measures: carried out in folders as often as one likes, and compared.

    Attributes
    ----------
    experiment : Experiment
        What is carried out.
    good : RunFolder
        The run of it that nothing disturbed.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], agree: Callable[[RunFolder, RunFolder], None]):
        plan = make_plan(settings)
        self.experiment, self._plan, self._agree = Experiment(plan), plan.to_toml(), agree
        attempt = self.attempt(folder)
        assert attempt.error is None
        assert len(attempt.done) == 6
        assert 0 < sum(record.success for record in attempt.done) < 6, "the tests need both"
        self.good = RunFolder(folder)
        self._images = images(folder)

    def attempt(self, folder: Path, steps: int | None = None, meanwhile: Callable[[], object] | None = None) -> Attempt:
        """Give the command, whatever comes of it; ``steps``: stop after so many; ``meanwhile`` is called after each."""
        attempt = Attempt()
        try:
            with open_run(folder, self._plan, self.experiment.cells) as run:
                for number, step in enumerate(run_local(RunState(self.experiment, run), batch_size=1), 1):
                    if step.record:
                        attempt.done.append(step.record)
                    if meanwhile:
                        meanwhile()
                    if number == steps:
                        break
        except Exception as error:
            attempt.error = error
        return attempt

    def lost(self, folder: Path, done: list[Record]) -> int:
        """Return how many of these records, which were durable, are not to be read any more, or not their images."""
        try:
            load_records(folder)
        except (UsageError, RunError):
            return len(done)
        found = {record.key: record for record in RunFolder(folder).records()}
        return sum(found.get(record.key) != record or not whole(RunFolder(folder), record) for record in done)

    def wrong(self, folder: Path) -> int:
        """Tell whether the run, which a fault stopped, says something false: 1, or else 0."""
        run = RunFolder(folder)
        try:
            records = run.records()
        except RunError:  # it says that it is damaged
            return 0
        lines = b"".join(AppendLog(run.record_lines.path).read()).splitlines()
        found = [json.loads(line) for line in lines if line.endswith(b'"}')]
        invalid = {tuple(item["invalidates"]) for item in found if "invalidates" in item}
        keys = Counter((item["cell"], item["image"]) for item in found if "cell" in item)
        twice = any(count > 1 and key not in invalid for key, count in keys.items())
        return int(twice or not all(whole(run, record) for record in records))

    def differs(self, folder: Path) -> int:
        """Tell whether the run is another than the one that nothing disturbed: 1, or else 0."""
        run = RunFolder(folder)
        try:
            load_records(folder)
            self._agree(run, self.good)
            return int(run.cells() != self.good.cells() or images(folder) != self._images)
        except (AssertionError, EdgeFoolError):
            return 1


def whole(run: RunFolder, record: Record) -> bool:
    """Tell whether the images of a record are as it says."""
    if record.error:
        return True
    hashes = {
        "originals": record.original_png,
        record.kind: record.png,
        "structure": record.structure_png,
        "mask": record.mask_png,
    }
    paths = {run.image_path(kind, record): expected for kind, expected in hashes.items() if expected}
    return all(path.exists() and sha256(path.read()) == expected for path, expected in paths.items())


def images(folder: Path) -> dict[str, bytes]:
    """Return the images of a run, and whatever was left beside them."""
    kinds = ("originals", "images", "failures", "structure", "mask")
    paths = [path for kind in kinds for path in (folder / kind).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@dataclass
class SmallDisk:
    """A tmpfs in a folder; calling it mounts it, or mounts it anew, with options of mount."""

    folder: Path

    def __call__(self, *options: str) -> Path:
        """Mount it and return the folder; skip the test where this process may not."""
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this process may not mount: {done.stderr.strip()}")
        return self.folder

    def unmount(self) -> None:
        """Forget it and all that is on it."""
        subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a disk of the test's own."""
    if shutil.which("mount") is None:
        pytest.skip("no mount here")
    disk = SmallDisk(tmp_path / "disk")
    disk.folder.mkdir()
    yield disk
    while os.path.ismount(disk.folder):
        disk.unmount()


@pytest.fixture
def two_cells(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a plan of two methods for one classifier and three photos."""
    datasets = [dataset | {"limit": 3} for dataset in settings["datasets"]]
    return settings | {"datasets": datasets, "classifiers": settings["classifiers"][:1]}


@pytest.fixture
def disturb(agree: Callable[..., None]) -> Callable[[Path, dict[str, Any]], Disturbed]:
    """Return what carries a plan out in a folder, undisturbed, and then judges others."""
    return lambda folder, settings: Disturbed(folder, settings, agree)


@pytest.fixture
def disturbed(tmp_path: Path, two_cells: dict[str, Any], disturb: Callable[..., Disturbed]) -> Disturbed:
    """Return what carries two cells out and judges what came of it."""
    return disturb(tmp_path / "good", two_cells)


@pytest.fixture
def faulty_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Attempt, Disk]]:
    """Return what calls a function while the disk under a folder fails as asked."""

    def call(function: Callable[[], Any], folder: Path, code: int = errno.ENOSPC, **options: Any) -> tuple[Any, Disk]:
        disk = Disk(folder, code, **options)
        with monkeypatch.context() as patch:
            disk.attach(patch)
            return function(), disk

    return call
