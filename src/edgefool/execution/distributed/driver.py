"""Carries out the missing work of a run with workers; only this process, the driver, writes records."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, Protocol, Self

from edgefool.datasets import TorchDataset
from edgefool.errors import EdgeFoolError, RunError, UsageError
from edgefool.execution.cell_attack import Outcome
from edgefool.execution.distributed.stall_detector import STALL_WINDOW, StallDetector
from edgefool.execution.distributed.work_queue import MAX_DEATHS, WorkItem, WorkQueue
from edgefool.execution.distributed.worker import WorkerReady, WorkerReport
from edgefool.execution.measurer import Measurements
from edgefool.execution.photo_records import error_record
from edgefool.execution.state import CellProgress, RunState, Step

_MAX_FAILURES = 10  # poison items in a row, without any result in between


class WorkerEvent(NamedTuple):
    """A worker is ready, reports results, or failed."""

    worker: str
    content: WorkerReady | WorkerReport | BaseException


class WorkerPool(Protocol):
    """Starts workers and talks to them; entered while there is work. `RayWorkerPool` is one."""

    size: int

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def start(self) -> str:
        """Start one more worker and return its name; an event follows when it is ready."""

    def submit(self, name: str, items: Sequence[WorkItem]) -> None:
        """Send work items to a worker."""

    def poll(self, name: str) -> None:
        """Ask a worker for a report, which follows as an event as soon as it has results."""

    def stop(self, name: str) -> None:
        """Stop a worker."""

    def events(self, timeout: float) -> list[WorkerEvent]:
        """Return the new events, after waiting for ``timeout`` seconds at most."""


def run_distributed(
    state: RunState, pool: WorkerPool, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Step]:
    """Attack the photos without a result with workers, and measure images; yield a step when its results are durable.

    If a worker dies, others do its work. A photo that killed three workers becomes an error record.

    Parameters
    ----------
    state
        The run; each step updates it.
    pool
        The workers. It is entered only if there is work.
    clock
        As `time.monotonic`.

    Raises
    ------
    UsageError
        If a worker has other classifiers than the driver, or does not see the run folder; or a dataset is one of torch.
    RunError
        If images or records cannot be written, or workers die before they are ready.
    AttackError
        As for `run_local`.
    """
    for dataset in state.experiment.plan.datasets:
        if isinstance(dataset, TorchDataset):
            raise UsageError(f"{dataset.name} is a dataset of torch, which runs in one process only: use run_local")
    yield from _Driver(state, pool, clock).run()


@dataclass
class WorkerStatus:
    """The driver's view of a worker.

    Attributes
    ----------
    name, host : str
        Name of the worker and of its machine.
    since : float
        When it was started or, once it is ready, when it became so, by the driver's clock.
    capacity : int
        How many items it takes at a time; 0 until it is ready.
    images : int
        How many images it has attacked.
    items : dict of WorkItem
        Its items by number.
    """

    name: str
    since: float
    host: str = ""
    capacity: int = 0
    images: int = 0
    items: dict[int, WorkItem] = field(default_factory=dict)


class _Driver:
    def __init__(self, state: RunState, pool: WorkerPool, clock: Callable[[], float]):
        self._state, self._pool, self._clock = state, pool, clock
        self._cells = {cell.folder: cell for cell in state.cells}
        self._unfinished = {cell.folder: len(cell.waiting) for cell in state.cells}
        self._numbers, self._queue = count(), WorkQueue(lambda item: state.original(*item.original) is not None)
        self._workers: dict[str, WorkerStatus] = {}
        self._failed_starts = self._consecutive_failures = self._deaths = 0

    def run(self) -> Iterator[Step]:
        for cell in self._state.cells:
            self._queue.add(self._item(cell, photo=photo) for photo in cell.waiting)
            if not cell.waiting:
                self._queue.add(self._requests(cell))
        if not self._queue:
            return
        with self._pool:
            for _ in range(self._pool.size):
                self._start_worker()
            self._stalls = StallDetector(self._pool.size, self._clock)
            while self._queue or any(worker.items for worker in self._workers.values()):
                start = self._clock()
                events = self._pool.events(timeout=1.0)
                waited = self._clock() - start
                results = [result for event in events for result in self._handle_event(event)]
                self._submit()
                yield from self._save(results)
                self._state.rates = self._rates()
                ready = sum(worker.capacity > 0 for worker in self._workers.values())
                if warning := self._stalls.check(waited, has_items=bool(self._queue), ready=ready):
                    self._state.warnings.append(warning)
                    yield Step()
        if self._deaths:
            self._state.run.remove_leftovers()

    def _item(self, cell: CellProgress, **task: Any) -> WorkItem:
        return WorkItem(next(self._numbers), cell.folder, cell.job.cell.dataset, **task)

    def _requests(self, cell: CellProgress) -> Iterator[WorkItem]:
        for request in self._state.requests(cell):
            yield self._item(cell, request=request)

    def _rates(self) -> dict[str, float]:
        now, ready = self._clock(), [worker for worker in self._workers.values() if worker.capacity]
        return {f"{worker.name} ({worker.host})": worker.images / max(now - worker.since, 1e-9) for worker in ready}

    def _start_worker(self) -> None:
        name = self._pool.start()
        self._workers[name] = WorkerStatus(name, self._clock())

    def _handle_event(self, event: WorkerEvent) -> list[tuple[WorkItem, Outcome | Measurements]]:
        """Update the worker; return the results in the event."""
        worker, content = self._workers.get(event.worker), event.content
        if worker is None:  # it was stopped
            return []
        if isinstance(content, BaseException):
            return self._handle_failure(worker, content)
        results = []
        if isinstance(content, WorkerReport):
            self._stalls.idle += content.idle
            results = [(worker.items.pop(number), result) for number, result in content.results]
            worker.images += sum(isinstance(result, Outcome) for _, result in results)
            self._consecutive_failures = 0
        else:
            worker.host, worker.capacity, worker.since = *content, self._clock()
            self._failed_starts = 0
        self._pool.poll(worker.name)
        return results

    def _handle_failure(
        self, worker: WorkerStatus, error: BaseException
    ) -> list[tuple[WorkItem, Outcome | Measurements]]:
        """Replace a worker; return error records for its poison item."""
        if isinstance(error, EdgeFoolError):  # another worker would fail in the same way
            raise error
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        self._state.warnings.append(f"{worker.name} died; its {len(worker.items)} work items are tried again: {reason}")
        del self._workers[worker.name]
        self._pool.stop(worker.name)
        self._deaths += 1
        self._failed_starts += not worker.capacity
        if self._failed_starts < MAX_DEATHS * self._pool.size:
            self._start_worker()
        elif not self._workers:
            raise RunError(f"workers die before they are ready: {reason}") from error
        poison = self._queue.retry(worker.items.values())
        self._consecutive_failures += len(poison)
        if self._consecutive_failures >= _MAX_FAILURES:
            raise RunError(f"one image after another kills its workers: {reason}") from error
        return [(item, self._give_up(item, reason)) for item in poison]

    def _give_up(self, item: WorkItem, reason: str) -> Outcome | Measurements:
        reason = f"{item.deaths} workers died of it; the last: {reason}"
        if item.photo is None:
            return Measurements(problems=[f"some images of {item.cell}: {reason}"])
        return Outcome(error_record(item.cell, self._cells[item.cell].job.cell, item.photo, reason))

    def _submit(self) -> None:
        """Fill the workers that are ready, each with its share of the remaining items."""
        free = [
            w for w in self._workers.values() if w.capacity and not any(item.is_isolated for item in w.items.values())
        ]
        free.sort(key=lambda worker: len(worker.items))
        if free and self._queue.has_isolated:
            alone, *free = free
            if not alone.items and (item := self._queue.next_isolated()):
                self._submit_to(alone, [item])
        # Shares keep all workers busy until the end, including those that will be ready soon.
        held = sum(len(worker.items) for worker in self._workers.values())
        now = self._clock()
        expected = sum(w.capacity > 0 or now - w.since < STALL_WINDOW for w in self._workers.values())
        share = math.ceil((held + len(self._queue)) / max(expected, 1))
        for worker in free:
            items: list[WorkItem] = []
            most = min(worker.capacity, share) - len(worker.items)
            while len(items) < most and (item := self._queue.next()):
                items.append(item)
            if items:
                self._submit_to(worker, items)

    def _submit_to(self, worker: WorkerStatus, items: Sequence[WorkItem]) -> None:
        for item in items:
            worker.items[item.number] = item
            item.known_original = self._state.original(*item.original)
        self._pool.submit(worker.name, items)

    def _save(self, results: Iterable[tuple[WorkItem, Outcome | Measurements]]) -> Iterator[Step]:
        """Make outcomes durable together, and then measurements."""
        results = list(results)
        self._state.save([result for _, result in results if isinstance(result, Outcome)])
        for item, result in results:
            cell = self._cells[item.cell]
            if isinstance(result, Outcome):
                yield self._state.note(cell, result.record)
                self._unfinished[item.cell] -= 1
                if not self._unfinished[item.cell]:
                    self._queue.add_next(self._requests(cell))
            elif item.request:
                yield self._state.save_measurements(cell, item.request, result)
            self._queue.finish(item)
