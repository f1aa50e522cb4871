"""What attacks and protection cost against the work: seconds and peak memory, each setting in a process of its own."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.memory import peak_memory
from benchmarks.shared import load
from edgefool.attacks import Attack, EdgeFool, RobustEdgeFool
from edgefool.classifiers import Ensemble, Victim
from edgefool.datasets.demo import write_demo_photos
from edgefool.protection import ENSEMBLE, Protector, open_photo

SUBJECTS = {"edgefool": "pixels a side", "robust": "pixels a side", "protect": "million pixels"}
SIZES = {"edgefool": (128, 224, 448), "robust": (128, 224, 448), "protect": (1, 12, 50)}
COMMON = {"edgefool": 224, "robust": 224, "protect": 0.2}
"""The size of several photos, as of a photo in ImageNet."""


class Setting(NamedTuple):
    """How many photos of which size, in the units of `SUBJECTS`, and how many at a time."""

    photos: int
    batch: int
    size: float


def main() -> None:
    """Print a line for each setting and the slopes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", choices=SUBJECTS, default="edgefool")
    parser.add_argument("--classifier", default="resnet50", help="that EdgeFool attacks: a name of `edgefool list`")
    parser.add_argument("--iterations", type=int, default=5, help="of an attack on each photo, whatever becomes of it")
    parser.add_argument("--sizes", type=float, nargs="+", help="of one photo: pixels a side, or million pixels")
    parser.add_argument("--photos", type=int, nargs="+", default=[4, 16, 64], help="how many, at the common size")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    subject = arguments.subject
    if arguments.measure:
        print(json.dumps(measure(arguments, Setting(*arguments.measure))))
        return
    sizes = [Setting(1, 1, size) for size in arguments.sizes or SIZES[subject]]
    batch = 1 if subject == "protect" else 16
    counts = [Setting(count, min(count, batch), COMMON[subject]) for count in arguments.photos]
    results = {}
    for setting in dict.fromkeys([*sizes, *counts]):
        command = [sys.executable, "-m", "benchmarks.scaling", *sys.argv[1:], "--measure", json.dumps(setting)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        seconds, memory = results[setting] = json.loads(output)
        print(
            f"{setting.photos} photos of {setting.size:g} {SUBJECTS[subject]} in batches of {setting.batch}: "
            f"{seconds / setting.photos:.2f} s per photo, peak memory {memory:.2f} GB",
            flush=True,
        )
    pixels = [setting.size ** (1 if subject == "protect" else 2) for setting in sizes]
    if len(sizes) > 1:
        print(f"seconds grow with the pixels to the power {slope(pixels, [results[s][0] for s in sizes]):.2f}")
    if len(counts) > 1:
        photos, seconds, memory = zip(*[(s.photos, *results[s]) for s in counts], strict=True)
        print(f"seconds grow with the photos to the power {slope(photos, seconds):.2f}")
        batches = [setting.batch for setting in counts]
        if len(set(batches)) > 1:
            print(f"memory: {np.polyfit(batches, memory, 1)[0]:.2f} GB for each photo in the batch")


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the exponent of a power law through points."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def measure(arguments: argparse.Namespace, setting: Setting) -> tuple[float, float]:
    """Return the seconds and the process's peak memory in GB."""
    if arguments.subject == "protect":
        return protect(setting)
    side = int(setting.size)
    attack: Attack
    if arguments.subject == "robust":
        members = [load(name, setting.photos, side=side) for name in ENSEMBLE]
        victim: Victim = Ensemble([member for member, _, _ in members])
        images, attack = members[0][2], RobustEdgeFool(max_iterations=arguments.iterations)
    else:
        victim, _, images = load(arguments.classifier, setting.photos, side=side)
        attack = EdgeFool(tau=1e-12, max_iterations=arguments.iterations)
    attack(victim, images[:1], batch_size=1)  # what happens only once
    start = time.perf_counter()
    attack(victim, images, batch_size=setting.batch)
    return time.perf_counter() - start, peak_memory()


def protect(setting: Setting) -> tuple[float, float]:
    """Protect a JPEG as often as asked, from file to file, with the defaults."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        # In a process of its own, whose memory does not count.
        write = f"from benchmarks.scaling import write_photo; write_photo({str(photo)!r}, {setting.size})"
        subprocess.run([sys.executable, "-c", write], check=True)  # noqa: S603
        protector = Protector()
        start = time.perf_counter()
        for _ in range(setting.photos):
            data, _ = protector.protect_photo(open_photo(photo))
            photo.with_name("protected.jpg").write_bytes(data)
        return time.perf_counter() - start, peak_memory()


def write_photo(path: str, megapixels: float) -> None:
    """Write a photo of the demo, enlarged, with grain as a camera has it."""
    with tempfile.TemporaryDirectory() as folder:
        image = Image.open(write_demo_photos(Path(folder), ["cat"])[0]).convert("RGB")
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    large = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).normal(0, 4, (large.height, large.width, 1)).astype(np.float32)
    pixels = (np.asarray(large, dtype=np.float32) + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=92)


if __name__ == "__main__":
    main()
