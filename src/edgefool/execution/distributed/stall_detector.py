"""Notices when workers are missing or idle, or wait for the driver."""

import time
from collections.abc import Callable

STALL_WINDOW = 30.0
"""Seconds over which waiting is measured, and after which a worker that is not ready counts as missing."""
_MAX_WAITING = 0.2  # of the workers' time
_MAX_BUSY = 0.8  # of the driver's time


class StallDetector:
    """Warns of each cause that slows down a run, once.

    Parameters
    ----------
    workers
        How many there should be.
    clock
        As `time.monotonic`.

    Attributes
    ----------
    idle : float
        Seconds for which workers waited since the window began; the caller adds to it.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic):
        self._workers, self._clock, self._warned = workers, clock, set[str]()
        self._begin_window()

    def _begin_window(self) -> None:
        self._start, self.idle, self._waited, self._always_items = self._clock(), 0.0, 0.0, True

    def check(self, waited: float, *, has_items: bool, ready: int) -> str:
        """Return a warning, or an empty string.

        Parameters
        ----------
        waited
            Seconds for which the driver has just waited for events.
        has_items
            Whether there are work items that are not yet submitted.
        ready
            How many workers are ready.
        """
        self._waited += waited
        self._always_items &= has_items
        seconds = self._clock() - self._start
        if seconds < STALL_WINDOW:
            return ""
        busy, idle, lines = 1 - self._waited / seconds, self.idle / seconds / max(ready, 1), {}
        if ready < self._workers:
            lines["missing"] = f"{ready} of {self._workers} workers are ready after {seconds:.0f} s; is there room?"
        if busy > _MAX_BUSY:
            lines["driver"] = f"this process is busy {busy:.0%} of the time and holds the workers up"
        elif self._always_items and idle > _MAX_WAITING:
            lines["workers"] = f"the workers wait for photos {idle:.0%} of the time"
        self._begin_window()
        cause = next((cause for cause in lines if cause not in self._warned), "")
        self._warned.add(cause)
        return lines.get(cause, "")
