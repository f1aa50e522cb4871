"""The paper's Table 1 under other readings: EdgeFool's start, images squeezed before rounding, N-FGSM's first success.

Each result is a line of ``--out``; a repeated command computes only what is missing there. The tables come last.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.readings_tables import FLOAT, ORIGINAL, ROUNDED, Log, print_tables
from benchmarks.shared import SHARED, load
from edgefool.attacks import CW, NFGSM, ActiveBatch, Attack, AttackResult, DeepFool, EdgeFool, Enhance, Sample
from edgefool.attacks.functional import margin
from edgefool.classifiers import CLASSIFIERS, Classifier, load_classifier
from edgefool.images import IMAGE_SUFFIXES, read_image, resize_image
from edgefool.metrics import PAPER_SQUEEZERS, median_smoothing, squeezing_scores

ATTACKS: dict[str, Attack] = {
    "enhance": Enhance(),
    "edgefool": EdgeFool(),
    "nfgsm": NFGSM(),
    "nfgsm-first": NFGSM(early_stop=True),
    "deepfool": DeepFool(),
    "deepfool-authors": DeepFool(space="normalised", clip=False),
    "cw": CW(cut_late_searches=False),
    "edgefool-identity": EdgeFool(start="identity"),
}
SLOW = ("cw", "edgefool-identity")


@dataclass(frozen=True)
class Unrounded:
    """An attack that also returns its images before rounding, among the details."""

    attack: Attack

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> Any:
        """Prepare the images."""
        return self.attack.begin(classifier, images, seeds)

    def step(self, classifier: nn.Module, state: Any) -> None:
        """Take one iteration."""
        self.attack.step(classifier, state)

    def current(self, state: Any) -> Tensor:
        """Return the images before rounding."""
        return self.attack.current(state)

    def details(self, state: Any) -> dict[str, Tensor]:
        """Return the attack's own details and the images."""
        return {**self.attack.details(state), "unrounded": state.adversarial}


def scores(classifier: Classifier, images: Tensor) -> list[list[float]]:
    """Return the scores (N, S) by the squeezers of `readings_tables`."""
    logits, by_paper = squeezing_scores(classifier, images, PAPER_SQUEEZERS)
    with torch.no_grad():
        squeezed = classifier(lower_median(images)).softmax(1)
    by_lower = (squeezed - logits.softmax(1)).abs().sum(1, keepdim=True)
    both: list[list[float]] = torch.cat([by_paper, by_lower], 1).tolist()
    return both


def lower_median(images: Tensor) -> Tensor:
    """Return the smaller middle value of each pixel and its neighbours below, to the right and below right.

    So the code of RP-FGSM, by the same group, takes its 2 x 2 median, except at the border.

    >>> lower_median(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)).flatten()
    tensor([2., 2., 3., 4.])
    """
    return -median_smoothing(-images.flip(2, 3), 2).flip(2, 3)


def score_originals(log: Log, classifier: Classifier, photos: dict[str, Tensor], batch_size: int) -> None:
    """Score the photos themselves, for the thresholds."""
    waiting = [name for name in photos if name not in log.of(ORIGINAL)]
    for start in range(0, len(waiting), batch_size):
        names = waiting[start : start + batch_size]
        for name, row in zip(names, scores(classifier, torch.stack([photos[name] for name in names])), strict=True):
            log.add(ORIGINAL, name, scores={ROUNDED: row})


def run(
    log: Log, name: str, classifier: Classifier, photos: dict[str, Tensor], batch_size: int, seconds: float
) -> None:
    """Attack the photos that have no result yet, for at most so many seconds."""
    samples = [Sample(image, row, key) for row, (key, image) in enumerate(photos.items()) if key not in log.of(name)]
    batch, steps, start = ActiveBatch(Unrounded(ATTACKS[name]), classifier, batch_size), 0, time.perf_counter()
    shown = start
    while (samples or len(batch)) and time.perf_counter() - start < seconds:
        room = batch.room(next(iter(photos.values())).shape)
        batch.admit(samples[:room])
        del samples[:room]
        add_results(log, name, classifier, batch.step())
        steps += 1
        if time.perf_counter() - shown > 10:
            shown = time.perf_counter()
            print(f"{name}: {steps} steps in {shown - start:.0f} s, {len(samples) + len(batch)} to go", flush=True)
    left = len(samples) + len(batch)
    print(f"{name}: {steps} steps in {time.perf_counter() - start:.1f} s, {left} not finished", flush=True)


def add_results(log: Log, name: str, classifier: Classifier, finished: Sequence[tuple[Any, AttackResult]]) -> None:
    """Score the finished images, rounded and not, in one batch, and log them."""
    if not finished:
        return
    rounded = [result.adversarial for _, result in finished]
    unrounded = [result.details["unrounded"] for _, result in finished]
    rows = scores(classifier, torch.cat([*rounded, *unrounded]))
    for (image, result), own, before in zip(finished, rows[: len(finished)], rows[len(finished) :], strict=True):
        assert isinstance(result.logits, Tensor)
        loss = result.details.get("smoothing_loss")
        log.add(
            name,
            image,
            scores={ROUNDED: own, FLOAT: before},
            misled={ROUNDED: bool(result.success), FLOAT: bool(result.success_float)},
            margin=float(-margin(result.logits, result.original_class)),
            converged=bool(result.converged),
            iterations=int(result.iterations),
            seconds=float(result.seconds),
            smoothing_loss=None if loss is None else float(loss),
        )


def load_photos(arguments: argparse.Namespace) -> tuple[Classifier, dict[str, Tensor]]:
    """Return the classifier and the first photos by name, in the order of docs/results.md."""
    name, device = arguments.classifier, arguments.device
    if name in CLASSIFIERS and CLASSIFIERS[name].url is None:
        classifier, names, images = load(name, min(arguments.limit, 7), device)
        return classifier, dict(zip(names, images, strict=True))
    short = name.rpartition(":")[2]
    weights = arguments.weights or SHARED / "classifiers" / f"{short}.safetensors"
    folder = arguments.images or SHARED / "images" / "imagenet_val" / "images"
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)[: arguments.limit]
    photos = {path.stem: resize_image(read_image(path), 224).to(device) for path in files}
    return load_classifier(name, weights=weights, device=device), photos


def main() -> None:
    """Run the attacks and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default="resnet50", help="a name that `edgefool list` shows, or torchvision:…")
    parser.add_argument("--weights", type=Path, help="its checkpoint; by default that in EDGEFOOL_SHARED")
    parser.add_argument("--images", type=Path, help="a folder of photos; by default ImageNet's in EDGEFOOL_SHARED")
    parser.add_argument("--limit", type=int, default=100, help="how many photos, the first by name")
    parser.add_argument("--few", type=int, default=60, help=f"how many of them for {' and '.join(SLOW)}")
    parser.add_argument("--attacks", nargs="*", default=list(ATTACKS), choices=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="limit for each attack")
    parser.add_argument("--out", type=Path, help="file of results, to which new ones are added")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch-size", type=int, help="by default 32 on a GPU and 4 on a CPU")
    arguments = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False  # CW and DeepFool end closer to the boundary than its round-off
    classifier, photos = load_photos(arguments)
    few = dict(list(photos.items())[: arguments.few])
    size = arguments.batch_size or (4 if arguments.device == "cpu" else 32)
    log = Log(classifier.name, {name: ATTACKS[name].hyperparameters() for name in ATTACKS}, arguments.out)
    score_originals(log, classifier, photos, size)
    for name in arguments.attacks:
        run(log, name, classifier, few if name in SLOW else photos, size, arguments.seconds)
    print(f"\n{classifier.name}, {len(photos)} photos\n")
    print_tables(log)


if __name__ == "__main__":
    main()
