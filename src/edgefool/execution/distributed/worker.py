"""A worker: attacks and measures, in its own process, the work items that a driver submits."""

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

from edgefool.attacks import attack_from_settings
from edgefool.errors import RunError, UsageError
from edgefool.execution.batch_size import MAX_BATCH, BatchSize
from edgefool.execution.cell_attack import CellAttack, Outcome
from edgefool.execution.distributed.work_queue import WorkItem
from edgefool.execution.measurer import Measurements, Measurer
from edgefool.experiments.experiment import load_all_classifiers, load_lpips
from edgefool.experiments.plan import Plan
from edgefool.experiments.victims import find_victims
from edgefool.runs import Cell, RunFolder
from edgefool.storage import StorePath

_TRIES = 4
_THREADS = 4  # to read, judge and write images


@dataclass(frozen=True)
class WorkerConfig:
    """The configuration of a worker.

    Attributes
    ----------
    plan : Plan
        The plan, for its classifiers; the worker must have their files.
    cells : dict of Cell
        The cells by folder.
    run : StorePath
        The run folder, which workers and driver share.
    owner : str
        The owner of the run as long as the driver holds it.
    batch_size : int or None
        How many images to attack at a time; by default as many as fit in the memory.
    device : str
        "cpu" or "cuda"; with "auto" the pool that starts the workers decides.
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
    """A worker has started: its machine, and how many work items keep its batch full."""

    host: str
    capacity: int


class WorkerReport(NamedTuple):
    """The results since the last report, by item number, and the seconds for which the worker was idle."""

    results: list[tuple[int, Outcome | Measurements]]
    idle: float


class Worker:
    """Works on items in the order in which they are submitted, those of a cell as a full batch, until it fails.

    A result can be polled once its images are durable; the driver writes the records.

    Parameters
    ----------
    config
        The configuration.
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
        victims = find_victims(config.plan, classifiers)
        self._victims = {victim.fingerprint: victim for found in victims.values() for victim in found.values()}
        for cell in config.cells.values():
            if cell.fingerprint not in self._victims:
                raise UsageError(f"{_where()} has other weights or code of {cell.classifier} than the driver")
        self._pool = ThreadPoolExecutor(_THREADS, "edgefool")
        lpips = load_lpips(config.plan.lpips, config.device) if config.plan.lpips else None
        self._measurer = Measurer(self._run, [c for found in classifiers.values() for c in found], self._pool, lpips)
        self._items: deque[WorkItem] = deque()
        self._numbers: dict[tuple[str, str], int] = {}  # of items that are being attacked, by cell and image
        self._results: list[tuple[int, Outcome | Measurements]] = []
        self._idle = 0.0
        self._failure: BaseException | None = None
        self._changed = Condition()
        Thread(target=self._work, name="edgefool", daemon=True).start()

    @property
    def ready(self) -> WorkerReady:
        """The worker's machine and capacity."""
        batch = self._config.batch_size or MAX_BATCH.get(self._config.device, 1)
        return WorkerReady(socket.gethostname(), batch + max(2, batch // 4))

    def submit(self, items: Sequence[WorkItem]) -> None:
        """Add work items."""
        with self._changed:
            self._items.extend(items)
            self._changed.notify_all()

    def poll(self) -> WorkerReport:
        """Wait for results and return them; after the last one, raise the exception that ended the work."""
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
            self._pool.shutdown()  # images that are being saved are still delivered
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _wait_for_item(self) -> WorkItem:
        """Return the next item without removing it."""
        start = self._clock()
        with self._changed:
            self._changed.wait_for(lambda: self._items)
            self._idle += self._clock() - start
            return self._items[0]

    def _attack(self, folder: str) -> None:
        """Attack photos of a cell until another cell or a request is next, or no item is left."""
        cell = self._config.cells[folder]
        classifier, attack = self._victims[cell.fingerprint], attack_from_settings(cell.method, cell.constants)
        device = torch.device(self._config.device)
        active = CellAttack(
            self._run,
            folder,
            cell,
            classifier,
            attack,
            self._config.batch_size or BatchSize(attack, classifier, device, self._memory_share),
            self._pool,
            self._save,
            memory_share=self._memory_share,
            on_idle=self._add_idle,
            clock=self._clock,
            max_megapixels=self._config.plan.max_megapixels,
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

    def _add_idle(self, seconds: float) -> None:
        with self._changed:
            self._idle += seconds

    def _save(self, outcome: Outcome, files: Mapping[StorePath, bytes]) -> None:
        # If the driver was killed, another one may be at work by now; do not overwrite its images.
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


def _where() -> str:
    return f"the worker on {socket.gethostname()}"
