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
from edgefool.console import Follower
from edgefool.datasets import Photo
from edgefool.execution.distributed.driver import DistributedExecution
from edgefool.execution.distributed.ray_pool import Event
from edgefool.execution.distributed.worker import Order, Ready, Report
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import Record, load_records, open_run

BATCH = 160  # orders in hand, as a worker on a GPU


class Fakes:
    """Workers that have done at once what they are given, and say so in reports that are pickled as Ray's are."""

    def __init__(self, size: int):
        self.size = size
        self._said: deque[tuple[str, bytes]] = deque()
        self._names = iter(range(size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def hire(self) -> str:
        """Be ready at once."""
        name = f"worker {next(self._names)}"
        self._said.append((name, pickle.dumps(Ready("fake", BATCH))))
        return name

    def give(self, name: str, orders: Sequence[Order]) -> None:
        """Do what is asked in two reports, so that the worker is never out of work."""
        orders = pickle.loads(pickle.dumps(orders))  # noqa: S301  (our own bytes)
        for part in (orders[: len(orders) // 2], orders[len(orders) // 2 :]):
            if part:
                self._said.append((name, pickle.dumps(Report([(o.number, record(o)) for o in part], 0.0))))

    def ask(self, name: str) -> None:
        """Have said it already."""

    def dismiss(self, name: str) -> None:
        """Go."""

    def events(self, timeout: float) -> list[Event]:
        """Return what ten workers say."""
        said = [self._said.popleft() for _ in range(min(10, len(self._said)))]
        return [Event(name, pickle.loads(data)) for name, data in said]  # noqa: S301  (our own bytes)


def record(order: Order) -> Record:
    """Return a record as full as that of a real image."""
    assert order.wanted
    photo = order.wanted.photo
    digest = f"{order.number:064x}"
    return Record(
        cell=order.cell, dataset="demo", image=photo.name, source=str(photo.path), method="enhance",
        classifier="classifiers-one", sha256=digest, original_png=digest, png=digest, structure_png=digest, width=224,
        height=224, seed=2**62 + order.number, original_class=1, original_name="tabby",
        original_probability=0.123456789, adversarial_class=2, adversarial_name="tiger cat",
        adversarial_probability=0.987654321, success=True, success_float=True, converged=True, iterations=17,
        forward_passes=20, backward_passes=17, seconds=1.23456789, smoothing_loss=0.000123456789, psnr=21.3456789,
        ssim=0.87654321,
    )  # fmt: skip


def plan_of(count: int, folder: Path) -> Experiment:
    """Return an experiment of so many photos, which need not be there, and one cell."""
    file = folder / "classifiers.py"
    file.write_text(CLASSIFIERS)
    settings = {"classifiers": [{"name": f"{file}:one"}], "methods": [{"name": "enhance"}]}
    experiment = Experiment(make_plan({**settings, "datasets": [{"kind": "demo", "names": ["cat"]}]}))
    experiment.photos["demo"] = [Photo(Path(f"/photos/{k % 1000}/{k}.jpg"), f"{k}") for k in range(count)]
    return experiment


def finish(experiment: Experiment, folder: Path, workers: int) -> Iterator[None]:
    """Yield after each image that is recorded."""
    with open_run(folder, experiment.plan.to_toml(), experiment.cells) as run:
        execution = DistributedExecution(experiment, run, lambda _: Fakes(workers))
        with Follower(execution, [1.0]) as follower:
            for step in execution.attack():
                follower.step(step)
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
