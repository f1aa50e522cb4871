"""The photos that are there: worked on one after the other, and deleted."""

import logging
import shutil
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Self

from edgefool.errors import EdgeFoolError, reason_of
from edgefool.web.job import CancelledError, Job, Options

MOST_KEPT = 20
"""Photos that are kept after they are finished."""

KEPT_FOR = 3600
"""Seconds for which a photo is kept after it is finished."""

_LOOK = 60  # seconds between looks for photos that are too old
_PATIENCE = 1  # second for the work on a cancelled photo to end

FAULT = "This is a bug in EdgeFool. See the terminal in which it runs."
"""What the page says about an unforeseen error."""

_log = logging.getLogger(__name__)


class Jobs:
    """Jobs in the order in which they came, and a thread that works on one at a time.

    Parameters
    ----------
    work
        What is done with each, such as `Engine.run`. What it raises becomes the job's error.
    folder
        For the folders of the jobs; no one else may read it.
    reword
        Applied to the errors of the library, which name its arguments.
    """

    def __init__(self, work: Callable[[Job], None], folder: Path, *, reword: Callable[[str], str] = str):
        self._work, self._folder, self._reword = work, folder, reword
        self._jobs: dict[str, Job] = {}
        self._lock = Lock()
        self._queue = SimpleQueue[Job | None]()
        self._thread = Thread(target=self._run, name="photos", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for job in self.all():
            self.remove(job.id)
        self._queue.put(None)
        self._thread.join(_PATIENCE)

    @property
    def is_working(self) -> bool:
        """Whether the thread runs; at the end it may take some seconds more to notice."""
        return self._thread.is_alive()

    def make(self, name: str, options: Options) -> Job:
        """Return a new job whose photo is still to be written to ``job.source``; then `submit` it."""
        return Job(self._folder, name, options)

    def submit(self, job: Job) -> None:
        """Let the thread work on a job when its turn comes."""
        with self._lock:
            self._jobs[job.id] = job
        self._queue.put(job)
        self._clear()

    def get(self, id: str) -> Job | None:  # noqa: A002
        """Return a job, or None if there is none."""
        return self._jobs.get(id)

    def all(self) -> list[Job]:
        """Return all jobs, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def ahead(self, job: Job) -> int:
        """Return how many other jobs come before one that is not finished."""
        return sum(not other.status.is_over for other in takewhile(lambda other: other is not job, self.all()))

    def remove(self, id: str) -> bool:  # noqa: A002
        """Cancel a job and delete its files; return whether there was one."""
        with self._lock:
            job = self._jobs.pop(id, None)
        if job:
            job.cancel()
        return job is not None

    def _run(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=_LOOK)
            except Empty:
                self._clear()
                continue
            if job is None:
                return
            self._work_on(job)

    def _work_on(self, job: Job) -> None:
        try:
            job.check()
            self._work(job)
        except CancelledError:
            pass
        except (EdgeFoolError, MemoryError, OSError) as error:
            job.update(state="failed", error=f"{job.name}: {self._reword(_describe(error))}.")
        except Exception:
            if not job.is_cancelled:
                _log.exception("the work on a photo failed")
                job.update(state="failed", error=FAULT)
        if job.is_cancelled:  # it may have written files since
            shutil.rmtree(job.folder, ignore_errors=True)

    def _clear(self) -> None:
        """Delete finished photos that are too many or too old."""
        over = [job for job in reversed(self.all()) if job.status.is_over]
        now = time.monotonic()
        for rank, job in enumerate(over):
            if rank >= MOST_KEPT or now - job.changed > KEPT_FOR:
                self.remove(job.id)


def _describe(error: Exception) -> str:
    return "there is not enough memory for this photo" if isinstance(error, MemoryError) else reason_of(error)
