"""What `benchmarks.gpu` measures with: a table that grows, photos and classifiers on the device."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.__main__ import machine
from edgefool.classifiers import Classifier, Ensemble, load_classifier
from edgefool.classifiers.fusion import fold_batch_norms
from edgefool.classifiers.preprocessing import IMAGENET
from edgefool.classifiers.vision import torchvision
from edgefool.datasets.demo import DEMO_PHOTOS


class Bench:
    """The device, the sizes, and the table, to which each part adds lines as soon as it knows them."""

    def __init__(self, out: Path, device: str, small: bool):
        self.out, self.device, self.small = out, torch.device(device), small
        self.side = 64 if small else 224
        self.batches: tuple[int, ...] = (2, 4) if small else (16, 64, 128, 256, 512)
        self.usual = 2 if small else 128
        out.write_text(f"{machine()}\n\n| what | batch | result | peak GB |\n| --- | --- | --- | --- |\n")

    def row(self, what: str, batch: int | str, result: str, memory: bool = True) -> None:
        """Add a line to the table, with the device's peak memory since `timed` began."""
        peak = f"{torch.cuda.max_memory_allocated() / 1e9:.1f}" if memory and self.device.type == "cuda" else ""
        line = f"| {what} | {batch} | {result} | {peak} |"
        print(line, flush=True)
        with self.out.open("a") as table:
            table.write(line + "\n")

    def timed(self, function: Callable[[], object]) -> float:
        """Return the seconds of a function, with what it left to the device."""
        self._wait()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        function()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @cache  # noqa: B019  # there is only one
    def photos(self, count: int) -> Tensor:
        """Return so many random crops of the demo's photos, (N, 3, side, side)."""
        pixels = np.stack([crop(k, self.side) for k in range(count)])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(self.device).float() / 255

    @cache  # noqa: B019
    def lite(self, number: int) -> Classifier:
        """Return EfficientNet-Lite."""
        return load_classifier(f"efficientnet-lite{number}", device=self.device)

    @cache  # noqa: B019
    def resnet50(self) -> Classifier:
        """Return ResNet-50 with random weights, folded as those that are loaded."""
        torch.manual_seed(0)
        net = torchvision.models.resnet50(weights=None).eval()
        fold_batch_norms(net)
        names = self.lite(0).classes
        found = Classifier(net, name="resnet50", classes=names, architecture="random", preprocessing=IMAGENET)
        return found.to(self.device)

    def ensemble(self) -> Ensemble:
        """Return the three members of robust EdgeFool."""
        return Ensemble([self.resnet50(), self.lite(0), self.lite(1)])


@cache
def _demo(name: str) -> Image.Image:
    return Image.fromarray(DEMO_PHOTOS[name]())


def crop(seed: int, side: int) -> np.ndarray:
    """Return a random square of a photo of the demo, perhaps mirrored, (side, side, 3)."""
    random = np.random.default_rng(seed)
    photo = _demo(list(DEMO_PHOTOS)[seed % len(DEMO_PHOTOS)])
    size = int(min(photo.size) * random.uniform(0.5, 1))
    left, top = (int(random.integers(length - size + 1)) for length in photo.size)
    found = np.asarray(photo.resize((side, side), box=(left, top, left + size, top + size)))
    return found[:, ::-1] if random.random() < 0.5 else found


@contextmanager
def tf32() -> Iterator[None]:
    """Let attacks use TF32: in convolutions, as torch does by default, and in matrix products."""

    @contextmanager
    def as_it_is() -> Iterator[None]:
        yield

    package, products = "edgefool.classifiers", torch.backends.cuda.matmul
    before, products.fp32_precision = products.fp32_precision, "tf32"
    try:
        with (
            patch(f"{package}.safe_classifier.full_float32", as_it_is),
            patch(f"{package}.classifier.full_float32", as_it_is),
        ):
            yield
    finally:
        products.fp32_precision = before
