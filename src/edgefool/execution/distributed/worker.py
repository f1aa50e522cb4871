"""Attacks and measures, in a process of its own, the work items that a driver submits."""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition, Thread
from typing import NamedTuple

import torch

from edgefool.attacks import Attack, attack_from_settings
from edgefool.classifiers import Classifier
from edgefool.errors import RunError, UsageError
from edgefool.execution.batch_size import MAX_BATCH, ActivationMemory, BatchSize
from edgefool.execution.cell_attack import CellAttack, Outcome
from edgefool.execution.distributed.work_queue import WorkItem
from edgefool.execution.measurer import Measurements, Measurer
from edgefool.experiments.experiment import load_all_classifiers, load_lpips
from edgefool.experiments.plan import Plan
from edgefool.runs import Cell, RunFolder
from edgefool.storage import StorePath

_TRIES = 4
_THREADS = 4  # that read, judge and write images


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs to know.

    Attributes
    ----------
    plan : Plan
        It names the classifiers, whose files the worker must have.
    cells : dict of Cell
        By folder.
    run : StorePath
        The run folder, which workers and driver share.
    owner : str
        Who holds the run as long as the driver does.
    batch_size : int or None
        How many images are attacked at a time; by default as many as the memory takes.
    device : str
        "cpu" or "cuda"; "auto" leaves it to the pool that starts the workers.
    cores : int
        CPU cores of the worker.
    gpus : float
        The worker's share of a GPU.
    """

    plan: Plan
    cells: Mapping[str, Cell]
    run: StorePath
    owner: str
    batch_size: int | None = None
    device: str = "cpu"
    cores: int = 1
    gpus: float = 0.0


class WorkerReady(NamedTuple):
    """A worker has started: on which machine, and how many work items keep its batch full."""

    host: str
    capacity: int


class WorkerReport(NamedTuple):
    """The results since the last report, by the items' numbers, and the seconds in which there was nothing to do."""

    results: list[tuple[int, Outcome | Measurements]]
    idle: float


class Worker:
    """Works on items in the order in which they are submitted, those of a cell as a full batch, until it fails.

    A result can be polled once its images are durable; records are the driver's to write.

    Parameters
    ----------
    config
        What to know.
    clock, sleep
        As in `time`.

    Raises
    ------
    UsageError
        If the worker has other classifiers than the driver, or does not see the run folder.
    """

    def __init__(
        self,
        config: WorkerConfig,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        torch.set_num_threads(config.cores)
        self._config, self._run, self._clock, self._sleep = config, RunFolder(config.run), clock, sleep
        self._memory_share = config.gpus or min(1.0, config.cores / (os.cpu_count() or 1))
        self._check_owner(UsageError(f"{_where()} does not see {config.run}: workers and driver must share it"))
        classifiers = load_all_classifiers(config.plan, config.device)
        self._classifiers = {c.fingerprint: c for found in classifiers.values() for c in found}
        self._check_classifiers()
        self._pool = ThreadPoolExecutor(_THREADS, "edgefool")
        lpips = load_lpips(config.plan.lpips, config.device) if config.plan.lpips else None
        self._measurer = Measurer(self._run, self._classifiers.values(), self._pool, lpips)
        self._memories: dict[str, ActivationMemory] = {}
        self._cells: dict[str, tuple[Classifier, Attack, int | BatchSize]] = {}
        self._items: deque[WorkItem] = deque()
        self._numbers: dict[tuple[str, str], int] = {}  # of items that are being attacked, by cell and image
        self._results: list[tuple[int, Outcome | Measurements]] = []
        self._idle = 0.0
        self._failure: BaseException | None = None
        self._changed = Condition()
        Thread(target=self._work, name="edgefool", daemon=True).start()

    @property
    def ready(self) -> WorkerReady:
        """Where the worker is and how much it takes."""
        batch = self._config.batch_size or MAX_BATCH.get(self._config.device, 1)
        return WorkerReady(socket.gethostname(), batch + max(2, batch // 4))

    def submit(self, items: Sequence[WorkItem]) -> None:
        """Add work items."""
        with self._changed:
            self._items.extend(items)
            self._changed.notify_all()

    def poll(self) -> WorkerReport:
        """Wait until there are results and return them; once there are no more, raise what ended the work."""
        with self._changed:
            self._changed.wait_for(lambda: self._results or self._failure)
            if self._failure and not self._results:
                raise self._failure
            report = WorkerReport(self._results, self._idle)
            self._results, self._idle = [], 0.0
        return report

    def _work(self) -> None:
        try:
            while True:
                item = self._wait_for_item()
                if item.request:
                    self._items.popleft()
                    self._deliver(item.number, self._measurer(item.request))
                else:
                    self._attack(item.cell)
        except BaseException as error:
            self._pool.shutdown()  # what is still being saved is delivered
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _wait_for_item(self) -> WorkItem:
        """Return the next item, which stays in its place."""
        start = self._clock()
        with self._changed:
            self._changed.wait_for(lambda: self._items)
            self._idle += self._clock() - start
            return self._items[0]

    def _attack(self, folder: str) -> None:
        """Attack photos of a cell until something else is next or nothing is left."""
        cell = self._config.cells[folder]
        classifier, attack, batch_size = self._load_cell(folder, cell)
        active = CellAttack(
            self._run,
            folder,
            cell,
            classifier,
            attack,
            batch_size,
            self._pool,
            self._save,
            memory_share=self._memory_share,
            on_idle=self._add_idle,
            clock=self._clock,
        )
        while True:
            while self._is_next(folder) and active.room():
                item = self._items.popleft()
                assert item.photo  # noqa: S101  (seen above)
                self._numbers[folder, item.photo.name] = item.number
                active.admit(item.photo, item.known_original)
            if not len(active):
                return
            active.step()

    def _is_next(self, folder: str) -> bool:
        return bool(self._items) and self._items[0].photo is not None and self._items[0].cell == folder

    def _load_cell(self, folder: str, cell: Cell) -> tuple[Classifier, Attack, int | BatchSize]:
        if folder not in self._cells:
            classifier, attack = self._classifiers[cell.fingerprint], attack_from_settings(cell.method, cell.constants)
            device = torch.device(self._config.device)
            memory = self._memories.setdefault(cell.fingerprint, ActivationMemory(classifier, device))
            batch_size = self._config.batch_size or BatchSize(attack, memory, self._memory_share)
            self._cells[folder] = classifier, attack, batch_size
        return self._cells[folder]

    def _add_idle(self, seconds: float) -> None:
        with self._changed:
            self._idle += seconds

    def _save(self, outcome: Outcome, files: Mapping[StorePath, bytes]) -> None:
        # Where the driver was killed, another one may be at work by now, and its images must not be replaced.
        self._check_owner(RunError(f"the driver no longer holds {self._config.run}"))
        self._run.save_images(outcome.record, files)
        self._deliver(self._numbers.pop(outcome.record.key), outcome)

    def _deliver(self, number: int, result: Outcome | Measurements) -> None:
        with self._changed:
            self._results.append((number, result))
            self._changed.notify_all()

    def _check_owner(self, complaint: Exception) -> None:
        for tries in range(_TRIES):
            try:
                owner = self._run.owner()
                break
            except OSError as error:  # a store may be out of reach for a moment
                if tries == _TRIES - 1:
                    raise RunError(f"{_where()} cannot read {self._run.path}: {error.strerror or error}") from error
                self._sleep(2.0**tries)
        if owner != self._config.owner:
            raise complaint

    def _check_classifiers(self) -> None:
        for cell in self._config.cells.values():
            if cell.fingerprint not in self._classifiers:
                raise UsageError(f"{_where()} has other weights or code of {cell.classifier} than the driver")


def _where() -> str:
    return f"the worker on {socket.gethostname()}"
