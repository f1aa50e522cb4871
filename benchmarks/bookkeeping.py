"""What a plan of many small cells costs beside its attacks, and how long it takes to find that all is done."""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from edgefool.datasets.demo import write_demo_photos
from edgefool.execution import RunState, run_local
from edgefool.execution.judge import judge
from edgefool.experiments import Experiment, Plan, make_plan
from edgefool.images import encode_png, read_image, resize_image
from edgefool.metrics import PAPER_SQUEEZERS, squeezing_scores
from edgefool.report import load_results, make_tables
from edgefool.runs import open_run

SIDE = 32
# Quick, so that what is measured is not lost in their passes.
CLASSIFIERS = """
import torch
from torch import nn

def one(seed=0):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5, bias=False))
    net[2].weight.data = 8 * torch.randn(5, 48, generator=torch.Generator().manual_seed(seed))
    return net

def two():
    return one(1)
"""


def plan_of(cells: int, folder: Path) -> Plan:
    """Return a plan of so many cells of one photo each: two classifiers and N-FGSM with different ε."""
    file = folder / "classifiers.py"
    file.write_text(CLASSIFIERS)
    methods = [
        {"name": "nfgsm", "label": f"e{k}", "constants": {"epsilon": 0.01 + k * 1e-6, "max_iterations": 1}}
        for k in range(cells // 2)
    ]
    return make_plan(
        {
            "datasets": [{"kind": "demo", "names": ["cat"]}],
            "classifiers": [{"name": f"{file}:one"}, {"name": f"{file}:two"}],
            "methods": methods,
            "size": SIDE,
        }
    )


def bare(experiment: Experiment) -> float:
    """Do the same attacks, judgements and measurements in a loop that keeps nothing; return the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        photo = write_demo_photos(Path(folder), ["cat"])[0]
        image = resize_image(read_image(photo), SIDE)[None]
    start = time.perf_counter()
    for job in experiment.jobs:
        result = job.attack(job.classifier, image, batch_size=1)
        adversarial = read_image(encode_png(result.adversarial[0]))
        judge(image[0], adversarial, job.classifier)
        for classifier in experiment.classifiers["demo"]:
            own = classifier is job.classifier
            squeezing_scores(classifier, adversarial[None], PAPER_SQUEEZERS if own else ())
    return time.perf_counter() - start


def run(plan: Plan, folder: Path) -> tuple[float, float]:
    """Carry a plan out, or go on with it; return the seconds of that and of the tables."""
    start = time.perf_counter()
    experiment = Experiment(plan)
    with open_run(folder, plan.to_toml(), experiment.cells) as opened:
        for _ in run_local(RunState(experiment, opened)):
            pass
    done = time.perf_counter()
    results = load_results(folder)
    make_tables(results)
    return done - start, time.perf_counter() - done


def main() -> None:
    """Print the overhead per finished image and the seconds of a resumption."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the images are tiny
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        plan = plan_of(arguments.cells, folder)
        seconds, tables = run(plan, folder / "run")
        again, tables_again = run(plan, folder / "run")
        experiment = Experiment(plan)
    images = len(experiment.jobs)
    alone = bare(experiment)
    print(
        f"{images} cells of one image: run {seconds:.1f} s, the same attacks and measures in a loop {alone:.1f} s, "
        f"{(seconds - alone) / images * 1e3:.2f} ms more each; resumed in {again:.2f} s; "
        f"tables {tables:.1f} and {tables_again:.1f} s"
    )


if __name__ == "__main__":
    main()
