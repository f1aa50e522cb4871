"""The rate of iterations when images finish at very different times, against that of a batch that finishes together."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from benchmarks.shared import load
from edgefool.attacks import EdgeFool
from edgefool.attacks.edgefool import EdgeFoolState
from edgefool.classifiers import Classifier


@plain_dataclass(kw_only=True)
class ScheduledState(EdgeFoolState):
    """Images and the iterations that each is to take."""

    schedule: Tensor


@dataclass(frozen=True)
class Scheduled(EdgeFool):
    """EdgeFool that finishes each image after as many iterations as its seed says."""

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> ScheduledState:
        """Begin as EdgeFool does."""
        state = super().begin(classifier, images, seeds)
        return ScheduledState(**vars(state), schedule=torch.tensor(seeds))

    def step(self, classifier: nn.Module, state: EdgeFoolState) -> None:
        """Take a step and finish those whose time has come."""
        super().step(classifier, state)
        assert isinstance(state, ScheduledState)
        state.finished = state.iterations.cpu() == state.schedule


def rate(classifier: Classifier, images: torch.Tensor, iterations: np.ndarray, batch_size: int) -> float:
    """Return iterations of single images per second."""
    start = time.perf_counter()
    Scheduled(tau=1e-12)(classifier, images, seeds=iterations.tolist(), batch_size=batch_size)
    return float(iterations.sum()) / (time.perf_counter() - start)


def main() -> None:
    """Print both rates and their ratio; the counts are drawn from a log-normal with the spread that was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default="caltech101-resnet", help="a name that `edgefool list` shows")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    classifier, _, images = load(arguments.classifier, arguments.photos, arguments.device)
    # Median 6, 90th percentile 15: what EdgeFool took for 20 photos of NIPS 2017 and a ResNet-18.
    drawn = np.random.default_rng(0).lognormal(np.log(6), np.log(15 / 6) / 1.2816, len(images))
    scattered = np.maximum(1, drawn.round()).astype(int)
    together = np.full(len(images), round(scattered.mean()))
    rate(classifier, images[: arguments.batch_size], np.ones(arguments.batch_size, dtype=int), arguments.batch_size)
    full = rate(classifier, images, together, arguments.batch_size)
    tailed = rate(classifier, images, scattered, arguments.batch_size)
    print(
        f"{len(images)} photos in batches of {arguments.batch_size} on {arguments.device}: {full:.2f} iterations a "
        f"second where all take {together[0]}, {tailed:.2f} where they take {scattered.min()} to {scattered.max()}: "
        f"{tailed / full:.2f}"
    )


if __name__ == "__main__":
    main()
