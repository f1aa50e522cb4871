"""What a run of many records costs once it is done: finding that nothing is missing, the tables and the page."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.bookkeeping import CLASSIFIERS
from benchmarks.memory import peak_memory
from edgefool.datasets.demo import write_demo_photos
from edgefool.execution import RunState, run_local
from edgefool.experiments import Experiment, Plan, make_plan
from edgefool.images import encode_png, read_image, resize_image
from edgefool.report import load_results, make_tables, write_report
from edgefool.runs import open_run, read_run
from edgefool.storage.keyed_log import KeyedLog

SIDE, METHODS = 32, 4
T = TypeVar("T")


def plan_of(photos: Path, folder: Path) -> Plan:
    """Return a plan of four methods on one classifier, with another one as a judge."""
    file = folder / "classifiers.py"
    file.write_text(CLASSIFIERS)
    methods = [
        {"name": "nfgsm", "label": f"e{k}", "constants": {"epsilon": 0.01 * (k + 1), "max_iterations": 1}}
        for k in range(METHODS)
    ]
    return make_plan(
        {
            "datasets": [{"kind": "folder", "name": "photos", "path": str(photos)}],
            "classifiers": [{"name": f"{file}:one"}, {"name": f"{file}:two", "role": "judge"}],
            "methods": methods,
            "size": SIDE,
        }
    )


def work(plan: Plan, run: Path) -> int:
    """Carry a plan out, or find that nothing is missing; return the number of steps."""
    experiment = Experiment(plan)
    with open_run(run, plan.to_toml(), experiment.cells) as opened:
        return sum(1 for _ in run_local(RunState(experiment, opened)))


def grow(photos: Path, run: Path, count: int) -> None:
    """Add copies of the only photo, with what a run would hold of them: lines, and links to its PNGs."""
    (first,) = photos.iterdir()
    (name,) = {record.image for record in read_run(run).records()}
    names = [f"photo{k:06}" for k in range(count - 1)]
    for other in names:
        os.link(first, photos / f"{other}{first.suffix}")
    for png in list(run.rglob(f"{name}.png")):
        for other in names:
            os.link(png, png.with_name(f"{other}.png"))
    folder = read_run(run)
    logs: tuple[KeyedLog[Any], ...] = (folder.record_lines, folder.prediction_lines, folder.quality_lines)
    for log in logs:
        lines = log.read()
        for other in names:
            update = {"image": other, "source": f"{other}{first.suffix}"}
            log.append(
                (
                    line.model_copy(update={key: new for key, new in update.items() if hasattr(line, key)})
                    for line in lines
                ),
                durable=False,
            )


def timed(what: str, function: Callable[[], T]) -> T:
    """Call a function, print what it took, and return its result."""
    start = time.perf_counter()
    result = function()
    print(f"{what}: {time.perf_counter() - start:.1f} s, peak memory {peak_memory():.2f} GB", flush=True)
    return result


def main() -> None:
    """Print the seconds and the peak memory so far of each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the images are tiny
    with tempfile.TemporaryDirectory() as temporary:
        folder, photos = Path(temporary), Path(temporary) / "photos"
        (photo,) = write_demo_photos(folder, ["cat"])
        photos.mkdir()
        (photos / "cat.png").write_bytes(encode_png(resize_image(read_image(photo), SIDE)))
        plan = plan_of(photos, folder)
        work(plan, folder / "run")
        grow(photos, folder / "run", arguments.records // METHODS)
        print(f"{arguments.records} records of {arguments.records // METHODS} photos")
        for what in ("opened for the first time since, every PNG read", "nothing is missing"):
            steps = timed(what, lambda: work(plan, folder / "run"))
            if steps:
                raise SystemExit(f"{steps} steps were missing")
        run = read_run(folder / "run")
        results = timed("results loaded", lambda: load_results(run.path))
        tables = timed("tables", lambda: make_tables(results))
        timed("page", lambda: write_report(run, results, tables))


if __name__ == "__main__":
    main()
