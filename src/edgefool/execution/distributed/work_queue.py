"""The orders of a run that no worker holds, and which of them is next."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgefool.datasets import Photo
from edgefool.execution.local import Task
from edgefool.execution.measurer import Question

MOST_DEATHS = 3
"""Of workers, by one order, until it counts as what kills them."""


@dataclass(eq=False)
class Assignment:
    """A photo of a task to attack, or a question to answer, and how many workers died with it in hand."""

    task: Task
    photo: Photo | None = None
    question: Question | None = None
    deaths: int = 0
    makes_original: bool = False

    @property
    def is_suspect(self) -> bool:
        """Whether it is to be done by a worker that has nothing else in hand."""
        return self.deaths >= MOST_DEATHS - 1

    @property
    def original(self) -> tuple[str, str]:
        """The original that the photo's attack starts from."""
        return self.task.work.cell.dataset, self.photo.name if self.photo else ""


class Todo:
    """Assignments, block by block in the order in which they were added.

    An image's original is made once: as long as one attack makes it, others of the same photo wait. What two workers
    died with is done alone, so that it is known what a third one dies of.

    Parameters
    ----------
    has_original
        Whether the original of an assignment's photo is in the run.
    """

    def __init__(self, has_original: Callable[[Assignment], bool]) -> None:
        self._has_original = has_original
        self._blocks: deque[deque[Assignment]] = deque()
        self._alone: deque[Assignment] = deque()
        self._waiting: dict[tuple[str, str], list[Assignment]] = {}  # by the original that is being made
        self._making: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return sum(map(len, self._blocks)) + len(self._alone) + sum(map(len, self._waiting.values()))

    def add(self, assignments: Iterable[Assignment]) -> None:
        """Put a block behind all others."""
        self._insert(len(self._blocks), assignments)

    def add_soon(self, assignments: Iterable[Assignment]) -> None:
        """Put a block behind the one that is being worked off, so that its batches are not interrupted."""
        self._insert(1, assignments)

    def next(self) -> Assignment | None:
        """Take out what is to be done next in company."""
        while self._blocks:
            assignment = self._blocks[0].popleft()
            if not self._blocks[0]:
                self._blocks.popleft()
            if assignment.photo is None or assignment.makes_original or self._has_original(assignment):
                return assignment
            if assignment.original not in self._making:
                self._making.add(assignment.original)
                assignment.makes_original = True
                return assignment
            self._waiting.setdefault(assignment.original, []).append(assignment)
        return None

    def next_alone(self) -> Assignment | None:
        """Take out a suspect."""
        return self._alone.popleft() if self._alone else None

    @property
    def some_alone(self) -> bool:
        """Whether there is a suspect."""
        return bool(self._alone)

    def finish(self, assignment: Assignment) -> None:
        """Let those go on that waited for this one."""
        if assignment.makes_original:
            self._making.discard(assignment.original)
            self._insert(0, self._waiting.pop(assignment.original, []))

    def again(self, assignments: Iterable[Assignment]) -> list[Assignment]:
        """Take back what a worker died with; return what counts as its cause and is not to be done again."""
        kept = list(assignments)
        for assignment in kept:
            assignment.deaths += 1
        culprits = [a for a in kept if a.deaths >= MOST_DEATHS and len(kept) == 1]
        innocent = [a for a in kept if a not in culprits]
        self._alone.extend(a for a in innocent if a.is_suspect)
        self._insert(0, (a for a in innocent if not a.is_suspect))
        return culprits

    def _insert(self, place: int, assignments: Iterable[Assignment]) -> None:
        if block := deque(assignments):
            self._blocks.insert(place, block)
