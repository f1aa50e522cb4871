"""What people see in a terminal: plain text, tables, and the progress of a run."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.table import Table

from edgefool.text import plain

if TYPE_CHECKING:
    import pandas as pd

    from edgefool.datasets import Photo
    from edgefool.execution import CellProgress, RunState, Step
    from edgefool.runs import Record

_MOST_WORKERS = 64  # that are told of

# Tables that go to a file or a pipe have no terminal to fit into.
out = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def print_records(records: Sequence["Record"], most: int = 50) -> None:
    """Print a row for each image."""
    table = Table("image", "original", "adversarial", "misled", "converged", "iterations", "seconds", "PSNR", box=None)
    for record in records[:most]:
        if record.error:
            table.add_row(plain(record.image), "", "", f"error: {plain(record.error)}")
            continue
        table.add_row(
            plain(record.image),
            f"{plain(str(record.original_name))} {record.original_probability:.0%}",
            f"{plain(str(record.adversarial_name))} {record.adversarial_probability:.0%}",
            "yes" if record.success else "no",
            "yes" if record.converged else "no",
            str(record.iterations),
            f"{record.seconds:.1f}",
            f"{record.psnr:.1f} dB",
        )
    out.print(table)
    if len(records) > most:
        out.print(f"… and {len(records) - most} more in the records")


def print_summary(summary: "pd.DataFrame", most: int = 60) -> None:
    """Print the summary of `edgefool.report.make_tables`, whose numbers are shares of images unless said otherwise."""
    for dataset, rows in summary.head(most).groupby("dataset", sort=False):
        columns = ("method", "classifier", "images", "misled", "95 %", "before rounding", "transferred", "by enhancing")
        table = Table(*columns, "detected", "PSNR", "SSIM", "LPIPS", "iterations", "s/image", box=None)
        for row in rows.to_dict("records"):
            table.add_row(
                plain(row["method"]),
                plain(row["classifier"]),
                str(row["images"]) + (f" + {row['errors']} errors" if row["errors"] else ""),
                _told(row["misled"], ".1%"),
                f"{row['misled_low']:.0%} to {row['misled_high']:.0%}" if row["images"] else "",
                *(_told(row[name], ".1%") for name in ("misled_float", "transferred", "null", "detected")),
                *(_told(row[name], form) for name, form in (("psnr", ".1f"), ("ssim", ".3f"), ("lpips", ".3f"))),
                *(_told(row[name], form) for name, form in (("iterations", ".0f"), ("seconds", ".2f"))),
            )
        out.print(f"\n{plain(str(dataset))}")
        out.print(table)
    if len(summary) > most:
        out.print(f"… and {len(summary) - most} more in the tables")


def _told(value: float, form: str) -> str:
    return "" if value != value else format(value, form)  # NaN is nothing that was measured


def _count_misled(done: Mapping[str, "Record"], photos: Sequence["Photo"]) -> int:
    return sum(done[photo.name].success for photo in photos if photo.name in done)


class Follower:
    """Shows how far an execution is: images done of all, cells, what the cell at work misleads, time left.

    Parameters
    ----------
    state
        The run.
    costs
        Roughly the seconds per image of each cell.
    """

    def __init__(self, state: "RunState", costs: Sequence[float]):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._state, self._warned, self._asked, self._workers = state, 0, 0.0, ""
        self._tasks = state.cells
        self._misled = {task.folder: _count_misled(state.records[task.folder], task.photos) for task in self._tasks}
        self._costs = {task.folder: cost for task, cost in zip(self._tasks, costs, strict=True)}
        self._images = sum(len(task.photos) for task in self._tasks)
        self._ready = self._images - sum(len(task.waiting) for task in self._tasks)
        self._left = {task.folder: len(task.waiting) for task in self._tasks}
        self._finished = sum(not left for left in self._left.values())
        self._measured = 0
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
        for name, rate in list(self._state.rates.items())[:_MOST_WORKERS]:
            err.print(f"{plain(name)}: {rate:.3g} images/s")

    def step(self, step: "Step") -> None:
        """Show what has just been done."""
        if step.record is not None and step.cell is not None:
            self._ready += 1
            folder = step.cell.folder
            self._left[folder] -= 1
            self._finished += not self._left[folder]
            self._misled[folder] += step.record.success
            self._progress.advance(self._bar, self._costs[folder])
            if step.record.error:
                self._progress.console.print(plain(f"{step.record.source}: {step.record.error}"))
        self._measured += step.measured
        for line in self._state.warnings[self._warned :]:
            self._progress.console.print(f"note: {plain(line)}")
            self._warned += 1
        if step.cell or step.measured:
            self._show(step.cell)

    def _show(self, task: "CellProgress | None") -> None:
        cells = len(self._tasks)
        state = [f"{self._ready}/{self._images}"]
        if cells > 1:
            state.append(f"{self._finished}/{cells} cells")
        if task:
            ready = len(task.photos) - self._left[task.folder]
            state.append(f"{self._misled[task.folder]} of {ready} misled")
        if self._measured:
            state.append(f"{self._measured} measured")
        if workers := self._tell_workers():
            state.append(workers)
        name = plain(task.folder if cells > 1 and task else self._tasks[0].job.cell.label)
        self._progress.update(self._bar, description=name if task else "originals", state=", ".join(state))

    def _tell_workers(self) -> str:
        """Return how fast the workers are, asked for once a second."""
        if time.monotonic() - self._asked > 1:
            self._asked, rates = time.monotonic(), sorted(self._state.rates.values())
            if rates:
                several = f"{rates[0]:.2g} to {rates[-1]:.2g} images/s each, {sum(rates):.3g} in all"
                told = several if len(rates) > 1 else f"{rates[0]:.3g} images/s"
                self._workers = f"{len(rates)} worker{'s' * (len(rates) > 1)}: {told}"
        return self._workers
