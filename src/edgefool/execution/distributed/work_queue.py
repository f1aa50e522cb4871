"""The work items of a run that are not yet submitted, and which of them is next."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgefool.datasets import Photo
from edgefool.execution.measurer import MeasureRequest
from edgefool.runs import Record

MAX_DEATHS = 3
"""Workers that one item may kill before it is given up as poison."""


@dataclass(eq=False)
class WorkItem:
    """A photo of a cell to attack, or a request to measure.

    Attributes
    ----------
    number : int
        Identifies its result.
    cell, dataset : str
        The cell's folder and the name of its dataset.
    photo : Photo or None
        The photo to attack.
    request : MeasureRequest or None
        The request to carry out.
    known_original : Record or None
        A record that says that the photo's original is in the run.
    makes_original : bool
        Whether this attack writes the photo's original, for which other attacks wait.
    deaths : int
        Workers that died while they had it.
    """

    number: int
    cell: str
    dataset: str
    photo: Photo | None = None
    request: MeasureRequest | None = None
    known_original: Record | None = None
    makes_original: bool = False
    deaths: int = 0

    @property
    def is_isolated(self) -> bool:
        """Whether a worker gets it as its only item, to find out whether this item kills workers."""
        return self.deaths >= MAX_DEATHS - 1

    @property
    def original(self) -> tuple[str, str]:
        """Dataset and name of the original from which the photo's attack starts."""
        return self.dataset, self.photo.name if self.photo else ""


class WorkQueue:
    """A queue of blocks of work items.

    An original is written once: while one attack writes it, other attacks on the same photo wait.

    Parameters
    ----------
    has_original
        Whether the original of an item's photo is in the run.
    """

    def __init__(self, has_original: Callable[[WorkItem], bool]) -> None:
        self._has_original = has_original
        self._blocks: deque[deque[WorkItem]] = deque()
        self._isolated: deque[WorkItem] = deque()
        self._waiting: dict[tuple[str, str], list[WorkItem]] = {}  # by the original that is being made
        self._in_the_making: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return sum(map(len, self._blocks)) + len(self._isolated) + sum(map(len, self._waiting.values()))

    def add(self, items: Iterable[WorkItem]) -> None:
        """Add a block at the end."""
        self._insert(len(self._blocks), items)

    def add_next(self, items: Iterable[WorkItem]) -> None:
        """Add a block after the first one, whose batches are not interrupted."""
        self._insert(1, items)

    def next(self) -> WorkItem | None:
        """Take out the next item that is not isolated."""
        while self._blocks:
            item = self._blocks[0].popleft()
            if not self._blocks[0]:
                self._blocks.popleft()
            if item.photo is None or item.makes_original or self._has_original(item):
                return item
            if item.original not in self._in_the_making:
                self._in_the_making.add(item.original)
                item.makes_original = True
                return item
            self._waiting.setdefault(item.original, []).append(item)
        return None

    def next_isolated(self) -> WorkItem | None:
        """Take out the next isolated item."""
        return self._isolated.popleft() if self._isolated else None

    @property
    def has_isolated(self) -> bool:
        """Whether there are isolated items."""
        return bool(self._isolated)

    def finish(self, item: WorkItem) -> None:
        """Release the items that wait for this item's original."""
        if item.makes_original:
            self._in_the_making.discard(item.original)
            self._insert(0, self._waiting.pop(item.original, []))

    def retry(self, items: Iterable[WorkItem]) -> list[WorkItem]:
        """Take back the items of a dead worker; return the poison items, which are given up."""
        returned = list(items)
        for item in returned:
            item.deaths += 1
        poison = [item for item in returned if item.deaths >= MAX_DEATHS and len(returned) == 1]
        others = [item for item in returned if item not in poison]
        self._isolated.extend(item for item in others if item.is_isolated)
        self._insert(0, (item for item in others if not item.is_isolated))
        return poison

    def _insert(self, place: int, items: Iterable[WorkItem]) -> None:
        if block := deque(items):
            self._blocks.insert(place, block)
