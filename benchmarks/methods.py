"""The six methods and the null method on real photos, beside Foolbox 3 and torchattacks with the same constants."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import matplotlib.colors
import torch
import torchattacks
from foolbox.attacks.base import Attack as FoolboxAttack
from foolbox.attacks.basic_iterative_method import LinfBasicIterativeAttack
from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
from foolbox.attacks.deepfool import L2DeepFoolAttack
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn

from benchmarks.memory import peak_memory
from benchmarks.shared import PlainClassifier, load
from edgefool.attacks import CW, METHODS, NFGSM, PFGSM, Attack, AttackResult, DeepFool, Enhance, SemanticAdv, SparseFool
from edgefool.classifiers import Classifier
from edgefool.images import round_to_8_bits


@dataclass
class Bench:
    """What all comparisons run on: our classifier, and the same network as users of the peers have it."""

    classifier: Classifier
    plain: PlainClassifier
    images: Tensor
    batch_size: int

    def decide(self, images: Tensor) -> Tensor:
        """Return the plain classifier's decisions."""
        with torch.no_grad():
            return torch.cat([self.plain(batch).argmax(1) for batch in torch.split(images, self.batch_size)])

    def ours(self, attack: Attack) -> tuple[AttackResult, float]:
        """Run an attack of ours, say how it went, and return its result and seconds."""
        start = time.perf_counter()
        result = attack(self.classifier, self.images, batch_size=self.batch_size)
        seconds = time.perf_counter() - start
        n = len(result)
        print(
            f"{attack.name}: success {int(result.success_float.sum())}/{n} in float, {int(result.success.sum())}/{n} "
            f"as re-read; iterations: median {result.iterations.median()}; passes "
            f"forward {result.forward_passes.sum()}, backward {result.backward_passes.sum()}; {seconds:.1f} s",
            flush=True,
        )
        return result, seconds

    def theirs(self, attack: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, float, str]:
        """Run a peer's attack, batch by batch; return its images, its seconds and how often it succeeds.

        As ours, it is asked for the classes before, and for those after, as the images are and as read again.
        """
        start = time.perf_counter()
        labels = self.decide(self.images)
        batches = zip(torch.split(self.images, self.batch_size), torch.split(labels, self.batch_size), strict=True)
        images = torch.cat([attack(*batch) for batch in batches])
        changed = [(self.decide(final) != labels).sum() for final in (images, round_to_8_bits(images))]
        seconds = time.perf_counter() - start
        return images, seconds, f"success {changed[0]}/{len(images)} in float, {changed[1]} as re-read"


def nfgsm(bench: Bench) -> None:
    """Compare with torchattacks' BIM and Foolbox's."""
    _, seconds = bench.ours(NFGSM())
    same = NFGSM()(bench.plain, bench.images, batch_size=bench.batch_size).adversarial
    bim = torchattacks.BIM(bench.plain, eps=8 / 255, alpha=1 / 255, steps=10)
    images, theirs, rate = bench.theirs(bim)
    apart = (same - images).abs()
    share = (apart > 1.01 / 255).float().mean()
    print(
        f"  torchattacks' BIM: {rate}, {theirs / seconds:.2f} times our seconds; on the same network ours is apart by "
        f"at most {apart.max() * 255:.2f} levels, by more than one in {share:.1e} of the values"
    )
    fool = LinfBasicIterativeAttack(abs_stepsize=1 / 255, steps=10, random_start=False)
    images, theirs, rate = bench.theirs(in_foolbox(bench, fool, epsilon=8 / 255))
    print(f"  Foolbox's BIM: {rate}, {theirs / seconds:.2f} times our seconds", flush=True)


def pfgsm(bench: Bench) -> None:
    """There is no peer."""
    bench.ours(PFGSM())


def enhance(bench: Bench) -> None:
    """There is no peer."""
    bench.ours(Enhance())


def deepfool(bench: Bench) -> None:
    """Compare with Foolbox's; torchattacks takes the gradient of each and every class."""
    result, seconds = bench.ours(DeepFool())
    fool = L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02)
    images, theirs, rate = bench.theirs(in_foolbox(bench, fool))
    print(
        f"  Foolbox's: {rate}, {theirs / seconds:.2f} times our seconds; median L2 ours "
        f"{result.details['l2'].median():.4f}, theirs {median_l2(images, bench):.4f}",
        flush=True,
    )


def cw(bench: Bench, iterations: int) -> None:
    """Compare with Foolbox's, also without stopping early, and one search with torchattacks', which has but one.

    Foolbox stops a whole batch early, by the sum of its losses: only without is the work the same.
    """
    for abort_early in (False, True):
        result, seconds = bench.ours(CW(max_iterations=iterations, abort_early=abort_early))
        fool = L2CarliniWagnerAttack(
            binary_search_steps=5,
            steps=iterations,
            stepsize=5e-3,
            confidence=0,
            initial_const=1e-2,
            abort_early=abort_early,
        )
        images, theirs, rate = bench.theirs(in_foolbox(bench, fool))
        print(
            f"  Foolbox's, 5 searches of {iterations} iterations{' at most' if abort_early else ''}: {rate}, "
            f"{theirs / seconds:.2f} times our seconds; median L2 ours {result.details['l2'].median():.4f}, "
            f"theirs {median_l2(images, bench):.4f}",
            flush=True,
        )
    result, seconds = bench.ours(CW(max_iterations=iterations, binary_search_steps=1, initial_const=1.0))
    peer = torchattacks.CW(bench.plain, c=1.0, kappa=0, steps=iterations, lr=5e-3)
    images, theirs, rate = bench.theirs(peer)
    print(
        f"  torchattacks', one search with c = 1: {rate}, {theirs / seconds:.2f} times our seconds; median L2 ours "
        f"{result.details['l2'].median():.4f}, theirs {median_l2(images, bench):.4f}",
        flush=True,
    )


def sparsefool(bench: Bench, count: int) -> None:
    """Compare the first few photos with torchattacks', which goes through all classes; ours also with a smaller λ."""
    bench.ours(SparseFool())
    few = Bench(bench.classifier, bench.plain, bench.images[:count], bench.batch_size)
    result, seconds = few.ours(SparseFool())
    near, _ = few.ours(SparseFool(lam=1.5))
    images, theirs, rate = few.theirs(torchattacks.SparseFool(few.plain, steps=20, lam=3, overshoot=0.02))
    print(
        f"  torchattacks', {count} photos: {rate}, {theirs / seconds:.1f} times our seconds; pixels "
        f"changed: ours {changed_pixels(result.adversarial, few)}, with λ = 1.5 "
        f"{changed_pixels(near.adversarial, few)}, theirs {changed_pixels(images, few)}",
        flush=True,
    )


def semanticadv(bench: Bench) -> None:
    """Compare with a loop of single trials."""
    attack = SemanticAdv()
    result, seconds = bench.ours(attack)
    start = time.perf_counter()
    trials = [single_trials(bench.plain, image, attack.draw(i)) for i, image in enumerate(bench.images)]
    loop = time.perf_counter() - start
    print(
        f"  a loop of single trials: {loop / seconds:.2f} times our seconds; the same first trial in "
        f"{sum(a == b for a, b in zip(trials, result.iterations.tolist(), strict=True))} of {len(trials)}",
        flush=True,
    )


def single_trials(classifier: nn.Module, image: Tensor, shifts: Tensor) -> int:
    """Go through the trials as the authors do: HSV by NumPy, one image at a time; return how many were made."""
    pixels = image.permute(1, 2, 0).numpy()
    with torch.no_grad():
        original = classifier(image[None]).argmax()
        for made, (hue, saturation) in enumerate(shifts.tolist()):
            hsv = matplotlib.colors.rgb_to_hsv(pixels)
            hsv[..., 0] = (hsv[..., 0] + hue / (2 * torch.pi)) % 1
            hsv[..., 1] = (hsv[..., 1] + saturation).clip(0, 1)
            trial = torch.from_numpy(matplotlib.colors.hsv_to_rgb(hsv)).permute(2, 0, 1)[None].float()
            if classifier(trial).argmax() != original:
                return made + 1
    return len(shifts)


def in_foolbox(bench: Bench, attack: FoolboxAttack, epsilon: float | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a call of a Foolbox attack that takes images and labels."""
    model = PyTorchModel(bench.plain, bounds=(0, 1))

    def run(images: Tensor, labels: Tensor) -> Tensor:
        raw, clipped, _ = attack(model, images, labels, epsilons=epsilon)
        adversarial: Tensor = raw if epsilon is None else clipped
        return adversarial

    return run


def median_l2(adversarial: Tensor, bench: Bench) -> float:
    """Return the median L2 distance to the images."""
    return float((adversarial - bench.images).flatten(1).norm(dim=1).median())


def changed_pixels(adversarial: Tensor, bench: Bench) -> list[int]:
    """Return how many pixels of each image changed by at least half a level."""
    changed = ((adversarial - bench.images).abs() > 0.5 / 255).any(1)
    return [int(count) for count in changed.sum((1, 2))]


def memory(name: str, arguments: argparse.Namespace) -> None:
    """Print the peak memory of one method in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.methods", "--classifier", arguments.classifier, "--measure", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    print(f"  peak memory in a batch of 16: {json.loads(output):.2f} GB", flush=True)


def measure(name: str, classifier: str) -> float:
    """Return the process's peak memory in GB after a few steps with 16 photos."""
    net, _, images = load(classifier, 16)
    attack = METHODS[name]()
    state = attack.begin(net, images, range(16))
    for _ in range(4 if name == "semanticadv" else 2):  # as many as bring it to its largest batch
        if not state.finished.all():
            state = state.select(~state.finished)
            attack.step(net, state)
    return peak_memory()


def main() -> None:
    """Print a few lines for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default="resnet18", help="a name that `edgefool list` shows, not from timm")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=16)
    methods = [name for name in METHODS if name not in ("edgefool", "robust-edgefool")]
    parser.add_argument("--methods", nargs="+", default=methods, choices=methods)
    parser.add_argument("--cw-iterations", type=int, default=100)
    parser.add_argument("--sparse-images", type=int, default=2)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.classifier)))
        return
    print(", ".join(f"{peer} {version(peer)}" for peer in ("foolbox", "torchattacks")))
    classifier, _, images = load(arguments.classifier, arguments.images)
    bench = Bench(classifier, PlainClassifier(arguments.classifier), images, arguments.batch_size)
    comparisons: dict[str, Callable[[], None]] = {
        "nfgsm": lambda: nfgsm(bench),
        "pfgsm": lambda: pfgsm(bench),
        "deepfool": lambda: deepfool(bench),
        "sparsefool": lambda: sparsefool(bench, arguments.sparse_images),
        "cw": lambda: cw(bench, arguments.cw_iterations),
        "semanticadv": lambda: semanticadv(bench),
        "enhance": lambda: enhance(bench),
    }
    for name in arguments.methods:
        comparisons[name]()
        memory(name, arguments)


if __name__ == "__main__":
    main()
