"""`edgefool classify` against the bare network on the same photos, which are then decoded and resized already."""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import torch

from benchmarks.shared import SHARED
from edgefool.classifiers import load_classifier
from edgefool.datasets import Photo, find_photos
from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos
from edgefool.execution.classification import classify
from edgefool.images import read_image


@contextmanager
def at_hand(count: int) -> Iterator[list[Photo]]:
    """Yield photos of NIPS 2017 (299 x 299) where they are at hand, else those of the demo, again and again."""
    with tempfile.TemporaryDirectory() as folder:
        nips2017 = SHARED / "images" / "nips2017"
        found = [nips2017] if nips2017.is_dir() else write_demo_photos(Path(folder), list(DEMO_PHOTOS))
        yield list(islice(cycle(find_photos(found)), count))


@torch.no_grad()
def main() -> None:
    """Print the seconds of both and their ratios in each round; each goes first in every other one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default="efficientnet-lite0", help="one that works offline")
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    size = arguments.batch_size
    classifier = load_classifier(arguments.classifier)
    with at_hand(arguments.images) as photos:
        images = [read_image(photo.path, on_warning=lambda line: None)[None] for photo in photos]
        batches = torch.split(torch.cat([classifier.preprocessing.resize(image) for image in images]), size)

        def bare() -> None:
            for batch in batches:
                classifier.classify_resized(batch).argmax(1)

        def whole() -> None:
            for _ in classify(photos, [classifier], batch_size=size):
                pass

        bare()
        for number in range(arguments.rounds):
            seconds, cpu = {}, {}
            for function in (bare, whole) if number % 2 else (whole, bare):
                start, used = time.perf_counter(), sum(os.times()[:4])  # with those of finished workers
                function()
                seconds[function], cpu[function] = time.perf_counter() - start, sum(os.times()[:4]) - used
            print(
                f"{len(photos)} photos, {classifier.name}: bare {seconds[bare]:.1f} s, "
                f"classify {seconds[whole]:.1f} s: {seconds[bare] / seconds[whole]:.3f} of its photos per second, "
                f"by CPU time {cpu[bare]:.1f} s and {cpu[whole]:.1f} s: {cpu[bare] / cpu[whole]:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
