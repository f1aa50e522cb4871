"""How many finished images a second one driver takes from many workers and writes down, as if they were on 64 GPUs."""

import argparse
import pickle
import resource
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from benchmarks.bookkeeping import CLASSIFIERS
from edgefool.cli.progress import track_run
from edgefool.datasets import Photo
from edgefool.execution import RunState, run_distributed
from edgefool.execution.cell_attack import Outcome
from edgefool.execution.distributed.driver import WorkerEvent
from edgefool.execution.distributed.work_queue import WorkItem
from edgefool.execution.distributed.worker import WorkerReady, WorkerReport
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import Quality, Record, load_records, open_run
from edgefool.storage import parse_path

CAPACITY = 160  # of a worker on a GPU, in work items


class InstantPool:
    """Workers that need no time, with items and reports pickled as Ray's are."""

    def __init__(self, size: int):
        self.size = size
        self._sent: deque[tuple[str, bytes]] = deque()
        self._names = iter(range(size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self) -> str:
        """Start a worker that is ready at once."""
        name = f"worker {next(self._names)}"
        self._sent.append((name, pickle.dumps(WorkerReady("fake", CAPACITY))))
        return name

    def submit(self, name: str, items: Sequence[WorkItem]) -> None:
        """Report on the items in two halves, so that the worker is never out of work."""
        items = pickle.loads(pickle.dumps(items))  # noqa: S301  (our own bytes)
        for half in (items[: len(items) // 2], items[len(items) // 2 :]):
            if half:
                report = WorkerReport([(item.number, outcome(item)) for item in half], 0.0)
                self._sent.append((name, pickle.dumps(report)))

    def poll(self, name: str) -> None:
        """Do nothing: reports are sent unasked."""

    def stop(self, name: str) -> None:
        """Do nothing."""

    def events(self, timeout: float) -> list[WorkerEvent]:
        """Return the reports of ten workers."""
        sent = [self._sent.popleft() for _ in range(min(10, len(self._sent)))]
        return [WorkerEvent(name, pickle.loads(data)) for name, data in sent]  # noqa: S301  (our own bytes)


def outcome(item: WorkItem) -> Outcome:
    """Return an outcome as full as that of a real image."""
    assert item.photo
    photo = item.photo
    digest = f"{item.number:064x}"
    record = Record(
        cell=item.cell, dataset="demo", image=photo.name, source=photo.key, method="enhance",
        classifier="classifiers-one", sha256=digest, original_png=digest, png=digest, structure_png=digest, width=224,
        height=224, seed=2**62 + item.number, original_class=1, original_name="tabby",
        original_probability=0.123456789, adversarial_class=2, adversarial_name="tiger cat",
        adversarial_probability=0.987654321, success=True, success_float=True, converged=True, iterations=17,
        forward_passes=20, backward_passes=17, seconds=1.23456789, smoothing_loss=0.000123456789,
    )  # fmt: skip
    quality = Quality(
        cell=item.cell, image=photo.name, png=digest, ciede2000=2.3456789, linf=0.123456789, changed_pixels=0.98765432,
        psnr=21.3456789, ssim=0.87654321,
    )  # fmt: skip
    return Outcome(record, quality)


def plan_of(count: int, folder: Path) -> Experiment:
    """Return an experiment of so many photos, which need not be there, and one cell."""
    file = folder / "classifiers.py"
    file.write_text(CLASSIFIERS)
    settings = {"classifiers": [{"name": f"{file}:one"}], "methods": [{"name": "enhance"}]}
    experiment = Experiment(make_plan({**settings, "datasets": [{"kind": "demo", "names": ["cat"]}]}))
    keys = [f"{k % 1000}/{k}.jpg" for k in range(count)]
    experiment.photos["demo"] = [Photo(parse_path(f"/photos/{key}"), key, f"{k}") for k, key in enumerate(keys)]
    return experiment


def finish(experiment: Experiment, folder: Path, workers: int) -> Iterator[None]:
    """Yield after each image that is recorded."""
    with open_run(folder, experiment.plan.to_toml(), experiment.cells) as run:
        state = RunState(experiment, run, predict=False)
        for _ in track_run(state, run_distributed(state, InstantPool(workers)), [1.0]):
            yield


def main() -> None:
    """Print the rate, the memory and how long it takes to read the records again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:  # on a disk, not in memory
        folder = Path(temporary)
        experiment = plan_of(arguments.images, folder)
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        count = sum(1 for _ in finish(experiment, folder / "run", arguments.workers))
        seconds = time.perf_counter() - start
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = (folder / "run/records.jsonl").stat().st_size
        start = time.perf_counter()
        assert len(load_records(folder / "run")) == count == arguments.images
        reading = time.perf_counter() - start
    print(
        f"{count:,} images from {arguments.workers} workers in {seconds:.1f} s: {count / seconds:,.0f} a second "
        f"through the records and the progress, {grown / 2**10 / count * 1000:.1f} MiB for each thousand; "
        f"{size / count:,.0f} bytes each, read again in {reading:.1f} s"
    )


if __name__ == "__main__":
    main()
