"""The progress of a run in the terminal."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from edgefool.cli.console import err, print_note
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.execution import Execution, Step, Task

_MAX_WORKERS = 64  # that are listed at the end


class ProgressDisplay:
    """Shows the images and cells that are done, the successes of the current cell, and the time left.

    Parameters
    ----------
    execution
        The work.
    costs
        Roughly the seconds per image of each task.
    """

    def __init__(self, execution: "Execution", costs: Sequence[float]):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._execution, self._tasks = execution, execution.tasks
        self._warned, self._rated, self._workers, self._measured = 0, 0.0, "", 0
        self._costs = {task.folder: cost for task, cost in zip(self._tasks, costs, strict=True)}
        self._images = sum(len(task.photos) for task in self._tasks)
        self._left = {task.folder: len(task.waiting) for task in self._tasks}
        self._done = self._images - sum(self._left.values())
        self._finished = sum(not left for left in self._left.values())
        self._successes = {}
        for task in self._tasks:
            done = execution.done[task.folder]
            self._successes[task.folder] = sum(done[p.name].success for p in task.photos if p.name in done)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        # A single image may take minutes.
        self._progress = Progress(*columns, console=err, speed_estimate_period=3600)
        total = sum(self._costs[task.folder] * len(task.waiting) for task in self._tasks)
        self._bar = self._progress.add_task("", total=total or 1, completed=0 if total else 1, state="")

    def __enter__(self) -> Self:
        self._progress.start()
        self._show(self._tasks[0])
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        for name, rate in list(self._execution.rates.items())[:_MAX_WORKERS]:
            err.print(f"{plain(name)}: {rate:.3g} images/s")

    def step(self, step: "Step") -> None:
        """Show what has just been done."""
        if step.record is not None and step.task is not None:
            folder = step.task.folder
            self._done += 1
            self._left[folder] -= 1
            self._finished += not self._left[folder]
            self._successes[folder] += step.record.success
            self._progress.advance(self._bar, self._costs[folder])
            if step.record.error:
                err.print(plain(f"{step.record.source}: {step.record.error}"))
        self._measured += step.measured
        for line in self._execution.warnings[self._warned :]:
            print_note(line)
        self._warned = len(self._execution.warnings)
        if step.task or step.measured:
            self._show(step.task)

    def _show(self, task: "Task | None") -> None:
        cells = len(self._tasks)
        state = [f"{self._done}/{self._images}"]
        if cells > 1:
            state.append(f"{self._finished}/{cells} cells")
        if task:
            done = len(task.photos) - self._left[task.folder]
            state.append(f"{self._successes[task.folder]} of {done} successful")
        if self._measured:
            state.append(f"{self._measured} measured")
        if workers := self._describe_workers():
            state.append(workers)
        name = plain(task.folder if cells > 1 and task else self._tasks[0].work.cell.label)
        self._progress.update(self._bar, description=name if task else "originals", state=", ".join(state))

    def _describe_workers(self) -> str:
        """Return the speed of the workers, updated once a second."""
        if time.monotonic() - self._rated > 1:
            self._rated, rates = time.monotonic(), sorted(self._execution.rates.values())
            if len(rates) == 1:
                self._workers = f"1 worker: {rates[0]:.3g} images/s"
            elif rates:
                each = f"{rates[0]:.2g} to {rates[-1]:.2g} images/s each"
                self._workers = f"{len(rates)} workers: {each}, {sum(rates):.3g} in all"
        return self._workers
