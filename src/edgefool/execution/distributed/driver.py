"""Does what is missing of an experiment in a run folder by way of workers; this process alone writes the records."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from edgefool.errors import AttackError, EdgeFoolError, RunError
from edgefool.execution.cell_attack import error_record
from edgefool.execution.distributed.ray_pool import Crew, Event
from edgefool.execution.distributed.work_queue import MOST_DEATHS, Assignment, Todo
from edgefool.execution.distributed.worker import Order, Report, Setup
from edgefool.execution.local import Execution, Step
from edgefool.execution.measurer import Answer
from edgefool.experiments.experiment import Experiment
from edgefool.runs import Record, RunFolder
from edgefool.runs.cell import Cell

_MOST_CULPRITS = 10  # in a row, with nothing done in between
_WINDOW = 30.0  # seconds over which waiting is judged
_MOST_WAITING = 0.2  # of the workers' time
_MOST_BUSY = 0.8  # of this process's time


class Workers(Protocol):
    """What starts workers and speaks with them: a Ray pool, or its stand-in in a test."""

    size: int

    def hire(self) -> str:
        """Have one more worker started, which says when it is ready; return its name."""

    def give(self, name: str, orders: Sequence[Order]) -> None:
        """Hand orders to a worker."""

    def ask(self, name: str) -> None:
        """Have a worker report what it has done as soon as there is anything."""

    def dismiss(self, name: str) -> None:
        """Let a worker go."""

    def events(self, timeout: float) -> list[Event]:
        """Return what workers said, after waiting for it as many seconds at most."""


@dataclass
class Member:
    """A worker as this process knows it.

    Attributes
    ----------
    name, host : str
        Of the worker and of its machine.
    room : int
        How many orders it takes at a time; 0 until it is ready.
    images : int
        That it attacked.
    since : float
        When it was hired, and then when it became ready, by `time.monotonic`.
    """

    name: str
    host: str = ""
    room: int = 0
    images: int = 0
    since: float = field(default_factory=time.monotonic)
    holds: dict[int, Assignment] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / max(time.monotonic() - self.since, 1e-9)


class DistributedExecution(Execution):
    """An experiment in a run folder, done by workers; iterate, once, to do what is missing.

    What a worker had in hand when it died is done again by others. An image that three workers died of becomes an
    error record.

    Parameters
    ----------
    experiment, run, retry
        As for `Execution`.
    start
        Returns the workers for the cells, by folder; entered while there is something to do.

    Attributes
    ----------
    members : dict of Member
        Those who are at work, by name.

    Raises
    ------
    UsageError
        If a photo that was attacked has other bytes now, or a worker does not fit.
    RunError
        If images or records cannot be written, or workers die before they are ready.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: RunFolder,
        start: Callable[[dict[str, Cell]], AbstractContextManager[Workers]],
        *,
        retry: bool = False,
    ):
        super().__init__(experiment, run, retry=retry)
        self._crew = start({task.folder: task.work.cell for task in self.tasks})
        self._numbers, self._todo = count(), Todo(self._has_original)
        self._left = {task.folder: len(task.waiting) for task in self.tasks}
        self.members: dict[str, Member] = {}
        self._failures = self._barren = self._deaths = 0

    @property
    def rates(self) -> dict[str, float]:
        """Images per second of each worker that is ready."""
        return {f"{m.name} ({m.host})": m.rate for m in self.members.values() if m.room}

    def __iter__(self) -> Iterator[Step]:
        return self._carry_out(measure=True)

    def attack(self) -> Iterator[Step]:
        """Attack the photos that wait, and measure nothing."""
        return self._carry_out(measure=False)

    def _carry_out(self, *, measure: bool) -> Iterator[Step]:
        self._measures = measure
        for task in self.tasks:
            self._todo.add(Assignment(task, photo) for photo in task.waiting)
            if measure and not task.waiting:
                self._todo.add(Assignment(task, question=question) for question in self.questions(task))
        if not self._todo:
            return
        with self._crew as self._workers:
            for _ in range(self._workers.size):
                self._hire()
            watch = _Watch(self._workers.size)
            while self._todo or any(member.holds for member in self.members.values()):
                start = time.monotonic()
                events = self._workers.events(timeout=1.0)
                waited = time.monotonic() - start
                done = [pair for event in events for pair in self._hear(event, watch)]
                self._assign()
                yield from self._keep(done)
                ready = sum(member.room > 0 for member in self.members.values())
                if line := watch.look(waited, starving=bool(self._todo), ready=ready):
                    self.warnings.append(line)
                    yield Step()
        if self._deaths:
            self._run.remove_leftovers()

    def _has_original(self, assignment: Assignment) -> bool:
        assert assignment.photo  # noqa: S101  (only photos have one)
        return self.wanted(assignment.task, assignment.photo).known is not None

    def _hire(self) -> None:
        name = self._workers.hire()
        self.members[name] = Member(name)

    def _hear(self, event: Event, watch: "_Watch") -> list[tuple[Assignment, Record | Answer]]:
        """Take in what a worker said; return what was done, each once."""
        member = self.members.get(event.worker)
        if member is None:  # it was let go
            return []
        if isinstance(event.said, BaseException):
            return self._bury(member, event.said)
        if isinstance(event.said, Report):
            watch.idle += event.said.idle
            done = [(member.holds.pop(number), result) for number, result in event.said.results]
            member.images += sum(isinstance(result, Record) for _, result in done)
            self._barren = 0
        else:
            member.host, member.room, member.since = *event.said, time.monotonic()
            self._failures, done = 0, []
        self._workers.ask(member.name)
        return done

    def _bury(self, member: Member, reason: BaseException) -> list[tuple[Assignment, Record | Answer]]:
        """Replace a worker; return error records for what is known to have killed it."""
        if isinstance(reason, EdgeFoolError) and not isinstance(reason, AttackError):
            raise reason
        told = str(reason).strip().partition("\n")[0] or type(reason).__name__
        self.warnings.append(f"{member.name} died, and what it had in hand ({len(member.holds)}) is done again: {told}")
        del self.members[member.name]
        self._workers.dismiss(member.name)
        self._deaths += 1
        self._failures += not member.room
        if self._failures < MOST_DEATHS * self._workers.size:
            self._hire()
        elif not self.members:
            raise RunError(f"workers die before they are ready: {told}") from reason
        culprits = self._todo.again(member.holds.values())
        self._barren += len(culprits)
        if self._barren >= _MOST_CULPRITS:
            raise RunError(f"workers die of one image after the other: {told}") from reason
        return [(culprit, _failed(culprit, told)) for culprit in culprits]

    def _assign(self) -> None:
        """Fill up what the workers have in hand."""
        free = [m for m in self.members.values() if m.room and not any(a.is_suspect for a in m.holds.values())]
        ready = sorted(free, key=lambda member: len(member.holds))
        if ready and self._todo.some_alone:
            alone, *ready = ready
            if not alone.holds and (assignment := self._todo.next_alone()):
                self._give(alone, [assignment])
        # So that all have something to do at the end, and those that begin a little later.
        held = sum(len(member.holds) for member in self.members.values())
        expected = sum(m.room > 0 or time.monotonic() - m.since < _WINDOW for m in self.members.values())
        share = math.ceil((held + len(self._todo)) / max(expected, 1))
        for member in ready:
            taken: list[Assignment] = []
            room = min(member.room, share)
            while len(member.holds) + len(taken) < room and (assignment := self._todo.next()):
                taken.append(assignment)
            if taken:
                self._give(member, taken)

    def _give(self, member: Member, assignments: Iterable[Assignment]) -> None:
        numbered = dict(zip(self._numbers, assignments, strict=False))
        member.holds |= numbered
        self._workers.give(member.name, [self._order(number, a) for number, a in numbered.items()])

    def _order(self, number: int, assignment: Assignment) -> Order:
        task, photo = assignment.task, assignment.photo
        if photo is None:
            return Order(number, question=assignment.question)
        return Order(number, wanted=self.wanted(task, photo), cell=task.folder)

    def _keep(self, done: Sequence[tuple[Assignment, Record | Answer]]) -> Iterator[Step]:
        """Make records durable together, and then answers."""
        self._run.save_records([result for _, result in done if isinstance(result, Record)])
        for assignment, result in done:
            task = assignment.task
            if isinstance(result, Record):
                yield self.note(task, result)
                self._left[task.folder] -= 1
                if self._measures and not self._left[task.folder]:
                    self._todo.add_soon(Assignment(task, question=question) for question in self.questions(task))
            elif assignment.question:
                self.evaluation.save(result)
                of_originals = assignment.question.subjects[0].cell is None
                yield Step(None if of_originals else task, measured=len(assignment.question))
            self._todo.finish(assignment)


def ray_execution(
    experiment: Experiment,
    run: RunFolder,
    address: str = "",
    *,
    workers: int | None = None,
    cores: int | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    retry: bool = False,
) -> DistributedExecution:
    """Return an execution by Ray actors.

    Parameters
    ----------
    experiment, run, batch_size, retry
        As for `Execution`; this process needs no GPU.
    address, workers, cores
        As for `edgefool.execution.distributed.ray_pool.Crew`.
    device
        "cpu", "cuda", or "auto": GPUs where there are any.

    Raises
    ------
    UsageError
        If Ray is not installed, or a photo that was attacked has other bytes now.
    """

    def start(cells: dict[str, Cell]) -> Crew:
        # Workers may be in another folder, so that paths have to be whole.
        setup = Setup(experiment.plan, cells, run.path.resolve(), run.owner(), batch_size, device)
        return Crew(address, setup, workers, cores)

    return DistributedExecution(experiment, run, start, retry=retry)


class _Watch:
    """Notices when workers are missing, or wait for photos or for this process."""

    def __init__(self, size: int):
        self._size, self._told = size, set[str]()
        self._begin()

    def _begin(self) -> None:
        self._start, self.idle, self._waited, self._starving = time.monotonic(), 0.0, 0.0, True

    def look(self, waited: float, *, starving: bool, ready: int) -> str:
        """Return a line, each once, if it is so.

        ``starving`` says that there is work that nobody has in hand, ``ready`` how many workers there are.
        """
        self._waited += waited
        self._starving &= starving
        seconds = time.monotonic() - self._start
        if seconds < _WINDOW:
            return ""
        busy, idle, lines = 1 - self._waited / seconds, self.idle / seconds / max(ready, 1), {}
        if ready < self._size:
            lines["few"] = f"{ready} of {self._size} workers are ready after {seconds:.0f} s; is there room?"
        if busy > _MOST_BUSY:
            lines["driver"] = f"this process is busy {busy:.0%} of the time and holds the workers up"
        elif self._starving and idle > _MOST_WAITING:
            lines["workers"] = f"the workers wait for photos {idle:.0%} of the time"
        self._begin()
        new = next((kind for kind in lines if kind not in self._told), "")
        self._told.add(new)
        return lines.get(new, "")


def _failed(culprit: Assignment, reason: str) -> Record | Answer:
    told = f"{culprit.deaths} workers died of it; the last: {reason}"
    if culprit.photo is None:
        return Answer(problems=[f"some images of {culprit.task.folder}: {told}"])
    return error_record(culprit.task.folder, culprit.task.work.cell, culprit.photo, told)
