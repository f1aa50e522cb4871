"""The progress of a run in the terminal."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from edgefool.cli.console import describe_error, err, print_note
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.execution import CellProgress, RunState, Step

_MAX_WORKERS = 64  # listed at the end


def track_run(state: "RunState", steps: Iterable["Step"], costs: Sequence[float]) -> Iterator["Step"]:
    """Yield the steps of a run, and display its progress: images, cells, successes of the current cell, time left.

    Parameters
    ----------
    state
        The run.
    steps
        The steps that `run_local` or `run_distributed` yields.
    costs
        Estimated seconds per image of each cell.
    """
    display = _Display(state, costs)
    with display.progress:
        display.update(state.cells[0])
        for step in steps:
            display.show(step)
            yield step
    for name, rate in list(state.rates.items())[:_MAX_WORKERS]:
        err.print(f"{plain(name)}: {rate:.3g} images/s")


class _Display:
    def __init__(self, state: "RunState", costs: Sequence[float]):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._state, self._cells = state, state.cells
        self._warned = self._measured = 0
        self._costs = {cell.folder: cost for cell, cost in zip(self._cells, costs, strict=True)}
        self._images = sum(len(cell.photos) for cell in self._cells)
        self._left = {cell.folder: len(cell.waiting) for cell in self._cells}
        self._successes = {}
        for cell in self._cells:
            done = state.records[cell.folder]
            self._successes[cell.folder] = sum(done[p.name].success for p in cell.photos if p.name in done)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        # A single image may take minutes.
        self.progress = Progress(*columns, console=err, speed_estimate_period=3600)
        total = sum(self._costs[cell.folder] * len(cell.waiting) for cell in self._cells)
        self._bar = self.progress.add_task("", total=total or 1, completed=0 if total else 1, state="")

    def show(self, step: "Step") -> None:
        if step.record is not None and step.cell is not None:
            folder = step.cell.folder
            self._left[folder] -= 1
            self._successes[folder] += step.record.success
            self.progress.advance(self._bar, self._costs[folder])
            if step.record.error:
                err.print(f"{plain(step.record.source)}: {describe_error(step.record)}")
        self._measured += step.measured
        for line in self._state.warnings[self._warned :]:
            print_note(line)
        self._warned = len(self._state.warnings)
        if step.cell or step.measured:
            self.update(step.cell)

    def update(self, cell: "CellProgress | None") -> None:
        cells, left = len(self._cells), self._left.values()
        parts = [f"{self._images - sum(left)}/{self._images}"]
        if cells > 1:
            parts.append(f"{sum(not count for count in left)}/{cells} cells")
        if cell:
            done = len(cell.photos) - self._left[cell.folder]
            parts.append(f"{self._successes[cell.folder]} of {done} successful")
        if self._measured:
            parts.append(f"{self._measured} measured")
        if workers := self._describe_workers():
            parts.append(workers)
        name = plain(cell.folder if cells > 1 and cell else self._cells[0].job.cell.label)
        self.progress.update(self._bar, description=name if cell else "originals", state=", ".join(parts))

    def _describe_workers(self) -> str:
        rates = sorted(self._state.rates.values())
        if len(rates) == 1:
            return f"1 worker: {rates[0]:.3g} images/s"
        each = f"({rates[0]:.2g} to {rates[-1]:.2g} each)" if rates else ""
        return f"{len(rates)} workers: {sum(rates):.3g} images/s {each}" if rates else ""
