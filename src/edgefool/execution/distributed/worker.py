"""Attacks and measures in a process of its own what a driver hands it, image by image."""

import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition, Thread
from typing import NamedTuple

import torch

from edgefool.attacks import Attack
from edgefool.classifiers import Classifier
from edgefool.errors import RunError, UsageError
from edgefool.execution.batch_size import MOST, BatchSize, Kept
from edgefool.execution.cell_attack import CellAttack, Wanted
from edgefool.execution.measurer import Answer, Meter, Question
from edgefool.experiments.experiment import load_all_classifiers, load_lpips
from edgefool.experiments.plan import Plan, make_attack
from edgefool.runs import Record, RunFolder
from edgefool.runs.cell import Cell
from edgefool.storage import StorePath

_TRIES = 4
_THREADS = 4  # that read, judge and write images


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know.

    Attributes
    ----------
    plan : Plan
        It names the classifiers, whose files the worker must have.
    cells : dict of Cell
        By folder.
    run : Path
        The run folder, which workers and driver share.
    owner : str
        What stands there as long as the driver holds it.
    batch_size : int or None
        How many images are attacked at a time; by default as many as the memory takes.
    device : str
        "cpu" or "cuda"; "auto" leaves it to whoever starts the workers.
    cores : int
        Of the CPU, for the worker.
    gpus : float
        Of a GPU, for the worker.
    """

    plan: Plan
    cells: Mapping[str, Cell]
    run: StorePath
    owner: str
    batch_size: int | None = None
    device: str = "cpu"
    cores: int = 1
    gpus: float = 0.0


@dataclass(frozen=True)
class Order:
    """A photo of a cell to attack, or a question to answer; results come back under its number."""

    number: int
    wanted: Wanted | None = None
    cell: str = ""
    question: Question | None = None


class Ready(NamedTuple):
    """A worker has begun: the machine it is on, and how many orders keep its batch full."""

    host: str
    room: int


@dataclass(frozen=True)
class Report:
    """What a worker has done since its last report, and how many seconds it had nothing to do."""

    results: list[tuple[int, Record | Answer]]
    idle: float


class Worker:
    """Holds the classifiers and a batch that is refilled as orders come; results wait until they are taken.

    Images are durable when their results can be taken; records are the driver's to write.

    Raises
    ------
    UsageError
        If the worker has other classifiers than the driver, or does not see the run folder.
    """

    def __init__(self, setup: Setup):
        torch.set_num_threads(setup.cores)
        self._setup, self._run = setup, RunFolder(setup.run)
        self._share = setup.gpus or min(1.0, setup.cores / (os.cpu_count() or 1))  # of the free memory
        self._check_owner(UsageError(f"{_where()} does not see {setup.run}: workers and driver must share it"))
        judges = load_all_classifiers(setup.plan, setup.device)
        self._classifiers = {c.fingerprint: c for found in judges.values() for c in found}
        self._check_classifiers()
        self._pool = ThreadPoolExecutor(_THREADS, "edgefool")
        lpips = load_lpips(setup.plan.lpips, setup.device) if setup.plan.lpips else None
        self._meter = Meter(self._run, self._classifiers.values(), self._pool, lpips)
        self._kept: dict[str, Kept] = {}
        self._works: dict[str, tuple[Classifier, Attack, int | BatchSize]] = {}
        self._orders: deque[Order] = deque()
        self._numbers: dict[tuple[str, str], int] = {}  # of the orders that are being attacked, by cell and image
        self._results: list[tuple[int, Record | Answer]] = []
        self._idle = 0.0
        self._failure: BaseException | None = None
        self._changed = Condition()
        Thread(target=self._work, name="edgefool", daemon=True).start()

    @property
    def ready(self) -> Ready:
        """Where the worker is and what it takes."""
        batch = self._setup.batch_size or MOST.get(self._setup.device, 1)
        return Ready(socket.gethostname(), batch + max(2, batch // 4))

    def give(self, orders: Sequence[Order]) -> None:
        """Hand orders over."""
        with self._changed:
            self._orders.extend(orders)
            self._changed.notify_all()

    def take(self) -> Report:
        """Wait until something is done and return it; raise what made the work end."""
        with self._changed:
            self._changed.wait_for(lambda: self._results or self._failure)
            if self._failure and not self._results:
                raise self._failure
            report = Report(self._results, self._idle)
            self._results, self._idle = [], 0.0
        return report

    def _work(self) -> None:
        try:
            while True:
                order = self._wait()
                if order.question:
                    self._orders.popleft()
                    self._deliver(order.number, self._meter(order.question))
                else:
                    self._attack(order.cell)
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _wait(self) -> Order:
        """Return the next order, which stays in its place."""
        start = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._orders)
            self._idle += time.monotonic() - start
            return self._orders[0]

    def _attack(self, folder: str) -> None:
        """Attack photos of a cell until something else is next or nothing is left."""
        cell = self._setup.cells[folder]
        classifier, attack, batch_size = self._needs(folder, cell)
        photos = _Photos(self._orders, self._numbers, folder)
        run = CellAttack(
            self._run,
            folder,
            cell,
            photos,
            classifier,
            attack,
            batch_size,
            self._pool,
            save=self._save,
            share=self._share,
            idle=self._rest,
        )
        deque(run, maxlen=0)

    def _needs(self, folder: str, cell: Cell) -> tuple[Classifier, Attack, int | BatchSize]:
        if folder not in self._works:
            classifier, attack = self._classifiers[cell.fingerprint], make_attack(cell.method, cell.constants)
            kept = self._kept.setdefault(cell.fingerprint, Kept(classifier, torch.device(self._setup.device)))
            batch_size = self._setup.batch_size or BatchSize(attack, kept, self._share)
            self._works[folder] = classifier, attack, batch_size
        return self._works[folder]

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._idle += seconds

    def _save(self, record: Record, images: Mapping[StorePath, bytes]) -> None:
        # Where the driver was killed, another may be at work by now, and its images are not to be replaced.
        self._check_owner(RunError(f"the driver no longer holds {self._setup.run}"))
        self._run.save_images(record, images)
        self._deliver(self._numbers.pop(record.key), record)

    def _deliver(self, number: int, result: Record | Answer) -> None:
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
                time.sleep(2.0**tries)
        if owner != self._setup.owner:
            raise complaint

    def _check_classifiers(self) -> None:
        for cell in self._setup.cells.values():
            if cell.fingerprint not in self._classifiers:
                raise UsageError(f"{_where()} has other weights or code of {cell.classifier} than the driver")


class _Photos:
    """The photos of a cell, as long as they are next; it may have none for now and some later."""

    def __init__(self, orders: deque[Order], numbers: dict[tuple[str, str], int], folder: str):
        self._orders, self._numbers, self._folder = orders, numbers, folder

    def __iter__(self) -> Iterator[Wanted]:
        return self

    def __next__(self) -> Wanted:
        if not self._orders or not self._orders[0].wanted or self._orders[0].cell != self._folder:
            raise StopIteration
        order = self._orders.popleft()
        assert order.wanted  # noqa: S101  (seen above)
        self._numbers[self._folder, order.wanted.photo.name] = order.number
        return order.wanted


def _where() -> str:
    return f"the worker on {socket.gethostname()}"
