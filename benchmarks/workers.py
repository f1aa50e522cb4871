"""Ray workers of one core each against a run in this process; and what an image costs beside its work."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import tomli_w
import torch
from PIL import Image

from benchmarks.bookkeeping import CLASSIFIERS
from edgefool.cli.run import DEMO_PLAN
from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos
from edgefool.execution import RunState, make_ray_pool, run_distributed, run_local
from edgefool.experiments import Experiment, Plan, make_plan
from edgefool.runs import load_records, open_run


def demo_plan(times: int, folder: Path) -> Path:
    """Write the plan of `edgefool demo` for so many photos made of each of its own, and return its file."""
    photos = folder / "photos"
    for path in write_demo_photos(folder / "demo", list(DEMO_PHOTOS)):
        with Image.open(path) as image:
            for k in range(times):  # each with another edge cut off
                name = photos / f"{path.stem}-{k}.png"
                name.parent.mkdir(exist_ok=True)
                image.crop((k, k, image.width - k, image.height - 2 * k)).save(name)
    plan = folder / "plan.toml"
    demo = tomllib.loads(DEMO_PLAN.read_text())
    plan.write_text(tomli_w.dumps({**demo, "datasets": [{"kind": "folder", "name": "demo", "path": str(photos)}]}))
    return plan


def timed_run(plan: Path, out: Path, *options: str) -> float:
    """Run a plan by the command line in a process of its own; return the seconds of it all."""
    command = [sys.executable, "-m", "edgefool", "run", str(plan), "--out", str(out), "--device", "cpu", *options]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return time.perf_counter() - start


def compare(times: int, workers: int, local: list[str]) -> None:
    """Print the throughput of the demo plan by workers and in one process."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:
        folder = Path(temporary)
        plan = demo_plan(times, folder)
        alone = timed_run(plan, folder / "alone", *local)
        spread = timed_run(plan, folder / "spread", "--workers", str(workers))
        counts = [len(load_records(folder / name)) for name in ("alone", "spread")]
        assert counts[0] == counts[1]
    print(
        f"the demo plan x {times}, {counts[0]} images: in one process with {os.cpu_count()} cores {alone:.0f} s "
        f"({counts[0] / alone:.2f} images/s), with {workers} Ray workers of one core {spread:.0f} s "
        f"({counts[1] / spread:.2f} images/s), with start and page: {alone / spread:.2f} of the throughput"
    )


def quick_plan(photos: int, folder: Path) -> Plan:
    """Return a plan whose images take next to nothing to attack."""
    file = folder / "classifiers.py"
    file.write_text(CLASSIFIERS)
    images = folder / "images"
    images.mkdir()
    for k in range(photos):
        colours = torch.randint(0, 256, (36, 36, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(k))
        Image.fromarray(colours.numpy()).save(images / f"{k}.png")
    return make_plan(
        {
            "datasets": [{"kind": "folder", "name": "quick", "path": str(images)}],
            "classifiers": [{"name": f"{file}:one"}],
            "methods": [{"name": "nfgsm", "constants": {"max_iterations": 1}}],
            "size": 32,
        }
    )


def ticks(plan: Plan, folder: Path, workers: int) -> Iterator[float]:
    """Yield the time after each image; by workers, or in this process if there are none."""
    experiment = Experiment(plan)
    with open_run(folder, plan.to_toml(), experiment.cells) as run:
        state = RunState(experiment, run, predict=False)
        if workers:
            pool = make_ray_pool(state, workers=workers, device="cpu")
            steps = run_distributed(state, pool)
        else:
            steps = run_local(state, batch_size=4)
        for _ in steps:
            yield time.perf_counter()


def overhead(photos: int) -> None:
    """Print how much more an image costs by a worker than in this process."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:
        folder = Path(temporary)
        plan = quick_plan(photos, folder)
        each = []
        for workers in (0, 1, 2):
            times = list(ticks(plan, folder / f"by-{workers}", workers))
            first = len(times) // 10  # what starts slowly
            each.append((times[-1] - times[first]) / (len(times) - 1 - first) * 1e3)
    print(
        f"{photos} images of next to no work: {each[0]:.2f} ms each in this process, {each[1]:.2f} by one worker, "
        f"{each[2]:.2f} of two on {os.cpu_count()} cores: {max(each[1] - each[0], each[2] - each[0]):.2f} ms more each"
    )


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="photos made of each of the demo's")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=2000, help="of next to no work")
    parser.add_argument("--local", nargs="*", default=[], help="options of the run in one process")
    arguments = parser.parse_args()
    overhead(arguments.images)
    if arguments.times:
        compare(arguments.times, arguments.workers, [f"--{option}" for option in arguments.local])


if __name__ == "__main__":
    main()
