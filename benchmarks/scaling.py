"""What EdgeFool costs against the work: seconds per photo and peak memory, each setting in a process of its own."""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from benchmarks.memory import peak_memory
from benchmarks.shared import load
from edgefool.attacks import EdgeFool

SETTINGS = (  # photos, batch, side
    *((1, 1, side) for side in (128, 224, 448)),
    *((count, min(count, 16), 224) for count in (4, 16, 64)),
)


def main() -> None:
    """Print a line for each setting and the slopes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default="resnet50", help="a name that `edgefool list` shows")
    parser.add_argument("--iterations", type=int, default=5, help="per photo, whatever becomes of it")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.classifier, arguments.iterations, *arguments.measure)))
        return
    results = []
    for setting in SETTINGS:
        command = [sys.executable, "-m", "benchmarks.scaling", "--classifier", arguments.classifier]
        command += ["--iterations", str(arguments.iterations), "--measure", json.dumps(setting)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        seconds, memory = json.loads(output)
        results.append((*setting, seconds, memory))
        count, batch, side = setting
        print(
            f"{count} photos of {side} x {side} in batches of {batch}: {seconds / count:.2f} s per photo, "
            f"peak memory {memory:.2f} GB",
            flush=True,
        )
    by_side = np.array([(side**2, seconds) for _, _, side, seconds, _ in results[:3]])
    by_count = np.array([(count, seconds) for count, _, _, seconds, _ in results[3:]])
    by_batch = np.array([(batch, memory) for _, batch, side, _, memory in results if side == 224])
    print(f"seconds grow with the pixels to the power {slope(by_side):.2f}, with the photos {slope(by_count):.2f}")
    print(f"memory: {np.polyfit(by_batch[:, 0], by_batch[:, 1], 1)[0]:.2f} GB for each photo in the batch")


def slope(points: np.ndarray) -> float:
    """Return the exponent of a power law through points (N, 2)."""
    return float(np.polyfit(np.log(points[:, 0]), np.log(points[:, 1]), 1)[0])


def measure(name: str, iterations: int, count: int, batch: int, side: int) -> tuple[float, float]:
    """Return the seconds and the process's peak memory in GB."""
    classifier, _, images = load(name, count, side=side)
    attack = EdgeFool(tau=1e-12, max_iterations=iterations)
    attack(classifier, images[:1], batch_size=1)  # what happens only once
    start = time.perf_counter()
    attack(classifier, images, batch_size=batch)
    return time.perf_counter() - start, peak_memory()


if __name__ == "__main__":
    main()
