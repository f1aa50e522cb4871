"""The scores of feature squeezing against the bare passes of the classifier over as many images."""

import argparse
import time

import torch
from torch import Tensor

from benchmarks.shared import load
from edgefool.classifiers import Classifier
from edgefool.metrics import PAPER_SQUEEZERS, squeezing_scores

PHOTOS = 120  # as many as NIPS 2017 has at hand; more images are these again


@torch.no_grad()
def bare(classifier: Classifier, batch: Tensor) -> None:
    """Run as many passes as the scores take, and nothing else."""
    for _ in range(1 + len(PAPER_SQUEEZERS)):
        classifier(batch)


def scores(classifier: Classifier, batch: Tensor) -> None:
    """Take the scores by the paper's squeezers."""
    squeezing_scores(classifier, batch, PAPER_SQUEEZERS)


def main() -> None:
    """Print the seconds of both and their ratio; batch by batch in turns, each going first in every other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default="caltech101-resnet", help="a name that `edgefool list` shows")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    classifier, _, photos = load(arguments.classifier, min(arguments.images, PHOTOS), arguments.device)
    batches = torch.split(torch.arange(arguments.images) % len(photos), arguments.batch_size)
    seconds = {scores: 0.0, bare: 0.0}
    for function in seconds:  # what happens only once
        function(classifier, photos[batches[0]])
    for number, indices in enumerate(batches):
        batch = photos[indices]
        for function in (scores, bare) if number % 2 else (bare, scores):
            start = time.perf_counter()
            function(classifier, batch)
            if batch.is_cuda:
                torch.cuda.synchronize()
            seconds[function] += time.perf_counter() - start
    passes = 1 + len(PAPER_SQUEEZERS)
    print(
        f"{arguments.images} images of 224 x 224 in batches of {arguments.batch_size} on {arguments.device}, "
        f"{torch.get_num_threads()} threads: scores by {len(PAPER_SQUEEZERS)} squeezers {seconds[scores]:.1f} s, "
        f"{passes} bare passes of {arguments.classifier} {seconds[bare]:.1f} s: "
        f"{seconds[scores] / seconds[bare]:.3f} times (target: 1.15)"
    )


if __name__ == "__main__":
    main()
