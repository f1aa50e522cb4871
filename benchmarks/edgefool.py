"""EdgeFool against a real classifier, beside the authors' procedure on the same photos."""

import argparse
import time
from collections.abc import Iterator

import torch
from kornia.color import rgb_to_lab
from torch import Tensor

from benchmarks import authors
from benchmarks.shared import load
from edgefool.attacks import ActiveBatch, AttackResult, EdgeFool, Sample
from edgefool.attacks.edgefool import EdgeFoolState
from edgefool.images import encode_png, read_image


def attacked(batch: ActiveBatch[EdgeFoolState], images: Tensor) -> Iterator[tuple[int, AttackResult]]:
    """Give each image's row and result as soon as it is finished."""
    waiting = [Sample(image, row, row) for row, image in enumerate(images)]
    while waiting or len(batch):
        room = batch.room(images.shape[1:])
        batch.admit(waiting[:room])
        del waiting[:room]
        for row, result in batch.step():
            assert isinstance(row, int)
            yield row, result


def main() -> None:
    """Attack the first photos of the list, some also in the authors' way; print a line for each and the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default="resnet18", help="a name that `edgefool list` shows")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--start", default="smoother", choices=["smoother", "identity"])
    parser.add_argument("--authors", type=int, default=0, help="how many of the photos also in the authors' way")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--max-iterations", type=int, default=5000, help="in the authors' way")
    arguments = parser.parse_args()
    classifier, names, images = load(arguments.classifier, arguments.images, arguments.device)

    fooled = converged = 0
    colours = torch.zeros(2)
    start = time.perf_counter()
    seconds, iterations = torch.zeros(len(images)), torch.zeros(len(images))
    batch = ActiveBatch(EdgeFool(start=arguments.start), classifier, arguments.batch_size)
    for index, result in attacked(batch, images):
        original = images[index][None]
        reread = read_image(encode_png(result.adversarial[0].cpu()))[None].to(original.device)
        with torch.no_grad():
            success = bool(classifier(reread).argmax() != classifier(original).argmax())
        fooled += success
        converged += success and bool(result.converged)
        change = (rgb_to_lab(reread) - rgb_to_lab(original)).abs().mean((0, 2, 3))[1:]
        colours += change.cpu()
        seconds[index], iterations[index] = float(result.seconds), float(result.iterations)
        print(
            f"{names[index]} success {success} converged {bool(result.converged)} iterations {int(result.iterations)} "
            f"L_s {float(result.details['smoothing_loss']):.6f} |Δa| {change[0]:.2f} |Δb| {change[1]:.2f} "
            f"{float(result.seconds):.1f} s",
            flush=True,
        )
    count, taken = len(images), time.perf_counter() - start
    print(f"success {fooled}/{count}, also under τ {converged}/{count}, mean |Δa| and |Δb| {colours / count}")
    print(f"iterations: median {iterations.median():.0f}, 90th percentile {iterations.quantile(0.9):.0f}")
    print(
        f"seconds: median {seconds.median():.2f}, mean {seconds.mean():.2f}; {count / taken:.2f} images per second",
        flush=True,
    )

    theirs = torch.zeros(min(arguments.authors, count))
    for index in range(len(theirs)):
        start = time.perf_counter()
        outcome = authors.attack(classifier, images[index][None], index, arguments.max_iterations)
        theirs[index] = time.perf_counter() - start
        print(
            f"{names[index]} the authors' way: success {outcome.misled} converged {outcome.converged} "
            f"iterations {outcome.iterations} {theirs[index]:.1f} s, {theirs[index] / seconds[index]:.0f} times ours",
            flush=True,
        )
    if len(theirs):
        ratio = theirs.median() / seconds[: len(theirs)].median()
        print(f"median seconds of these {len(theirs)} photos: {ratio:.0f} times ours")


if __name__ == "__main__":
    main()
