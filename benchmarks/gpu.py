"""EdgeFool on a GPU: images per second by batch size, beside Foolbox, and end to end, as one table.

ResNet-50 has random weights, as only its speed matters; success is that on EfficientNet-Lite. The photos are random
crops of the demo's.
"""

import argparse
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import cast

import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks import kernels
from benchmarks.gpu_table import Bench, crop, tf32
from edgefool.attacks import CW, Attack, AttackResult, DeepFool, EdgeFool, RobustEdgeFool
from edgefool.classifiers.precision import full_float32
from edgefool.execution import RunState, Step, run_local
from edgefool.experiments import Experiment, make_plan
from edgefool.filters import fcnn, smoother_parameters
from edgefool.runs import open_run

ITERATIONS = 6
"""Of each image where its outcome does not matter: from the trained start ResNet-50 takes 4 in the median, at most 10
for nine photos of ten."""


def run(bench: Bench, attack: EdgeFool | RobustEdgeFool, classifier: nn.Module, batch: int) -> AttackResult | None:
    """Add a line for an attack on one batch, after a short one that is not counted; None if it does not fit."""
    images, results = bench.photos(batch), list[AttackResult]()
    try:
        replace(attack, max_iterations=1)(classifier, images, batch_size=batch)
        seconds = bench.timed(lambda: results.append(attack(classifier, images, batch_size=batch)))
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        bench.row(attack.name, batch, "out of memory")
        return None
    bench.row(attack.name, batch, f"{batch / seconds:.1f} images/s")
    return results[0]


FIXED = EdgeFool(tau=1e-12, max_iterations=ITERATIONS)


def edgefool(bench: Bench) -> None:
    """EdgeFool with a fixed number of iterations, by batch size."""
    bench.row(f"EdgeFool, {ITERATIONS} iterations, ResNet-50", "", "float32", memory=False)
    for batch in bench.batches:
        if run(bench, FIXED, bench.resnet50(), batch) is None:
            break


def robust(bench: Bench) -> None:
    """Robust EdgeFool with three members, by batch size."""
    attack = RobustEdgeFool(max_iterations=2) if bench.small else RobustEdgeFool()
    bench.row(f"robust EdgeFool, {attack.max_iterations} steps, three members", "", "float32", memory=False)
    for batch in bench.batches:
        if (found := run(bench, attack, bench.ensemble(), batch)) is None:
            break
        fooled = (found.adversarial_class != found.original_class)[:, 1:].float().mean(0).tolist()
        bench.row("", batch, "fooled: " + ", ".join(f"Lite{k} {f:.0%}" for k, f in enumerate(fooled)), memory=False)


def outcomes(bench: Bench) -> None:
    """EdgeFool until it succeeds, and what TF32 would give."""
    bench.row("EdgeFool, EfficientNet-Lite0", "", "until it succeeds", memory=False)
    if found := run(bench, EdgeFool(), bench.lite(0), bench.usual):
        iterations = found.iterations.float()
        bench.row(
            "",
            bench.usual,
            f"success {share(found.success)}, below τ {share(found.converged)}; iterations: median "
            f"{int(iterations.median())}, mean {float(iterations.mean()):.1f}",
            memory=False,
        )
    bench.row("EdgeFool on ResNet-50 and robust EdgeFool as above", "", "TF32", memory=False)
    with tf32():
        run(bench, FIXED, bench.resnet50(), bench.usual)
        run(bench, RobustEdgeFool(max_iterations=2) if bench.small else RobustEdgeFool(), bench.ensemble(), bench.usual)


def share(mask: Tensor) -> str:
    """Return a mask's count of its length."""
    return f"{int(mask.sum())}/{len(mask)}"


def peers(bench: Bench) -> None:
    """DeepFool and CW beside Foolbox's, with the same classifier, photos and settings, each after a short run."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # foolbox imports it, and there may be no git
    from foolbox.attacks.base import Attack as FoolboxAttack
    from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
    from foolbox.attacks.deepfool import L2DeepFoolAttack
    from foolbox.models.pytorch import PyTorchModel

    count, steps = (2, 10) if bench.small else (64, 100)
    images, classifier = bench.photos(count), bench.lite(0)
    model = PyTorchModel(classifier, bounds=(0, 1), device=bench.device)
    with torch.no_grad():
        labels = classifier(images).argmax(1)
    pairs: list[tuple[str, Attack, FoolboxAttack]] = [
        ("DeepFool", DeepFool(), L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02))
    ]
    for early in (False, True):
        peer = L2CarliniWagnerAttack(
            binary_search_steps=5, steps=steps, stepsize=5e-3, confidence=0, initial_const=1e-2, abort_early=early
        )
        name = f"CW, 5 searches of {'up to ' if early else ''}{steps}"
        pairs.append((name, CW(max_iterations=steps, abort_early=early), peer))
    for name, attack, theirs_attack in pairs:
        attack(classifier, images[:2])
        ours, theirs = list[Tensor](), list[Tensor]()

        def attack_ours(attack: Attack = attack, to: list[Tensor] = ours) -> None:
            to.append(attack(classifier, images, batch_size=count).details["l2"])

        def attack_theirs(peer: FoolboxAttack = theirs_attack, to: list[Tensor] = theirs) -> None:
            with full_float32():
                found, _, _ = peer(model, images, labels, epsilons=None)
            to.append((found - images).flatten(1).norm(dim=1))

        own, other = bench.timed(attack_ours), bench.timed(attack_theirs)
        bench.row(
            f"{name}, Lite0", count, f"{count / own:.1f} images/s, {other / own:.2f} times Foolbox's; median L2 "
            f"{float(ours[0].median()):.4f}, theirs {float(theirs[0].median()):.4f}", memory=False
        )  # fmt: skip


def end_to_end(bench: Bench, limit: float = 80) -> None:
    """EdgeFool on JPEG files to PNG files and records, as `edgefool attack` does it, for at most so many seconds."""
    count = 12 if bench.small else 3000
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "photos").mkdir()
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(write_photo, place / "photos"), range(count)))
        settings = {
            "datasets": [{"kind": "folder", "name": "photos", "path": str(place / "photos")}],
            "classifiers": [{"name": "efficientnet-lite0"}],
            "methods": [{"name": "edgefool"}],
            "size": bench.side,
        }
        start = time.perf_counter()
        experiment = Experiment(make_plan(settings), str(bench.device))
        with open_run(place / "run", experiment.plan.to_toml(), experiment.cells, alone=True) as opened:
            state = RunState(experiment, opened, predict=False)
            loaded, done, seconds = time.perf_counter() - start, 0, 0.0
            with closing(cast(Generator[Step, None, None], run_local(state))) as steps:
                for step in steps:
                    done, seconds = done + (step.record is not None), time.perf_counter() - start
                    if seconds > limit:
                        break
            (records,) = state.records.values()
            fooled = sum(record.success for record in records.values())
    bench.row(
        f"{count} JPEG files of 500 x 375 to PNG and records, Lite0", "", f"{done} in {seconds:.1f} s "
        f"({loaded:.1f} s of it before the first): {done / (seconds - loaded):.1f} images/s; success {fooled}/{done}"
    )  # fmt: skip


def write_photo(folder: Path, number: int) -> None:
    """Write a random crop as a JPEG file."""
    Image.fromarray(crop(number, 500)[:375]).save(folder / f"{number:04}.jpg", quality=90)


def networks(bench: Bench) -> None:
    """Ways to run one network per image, forward and backward, in float32 and TF32."""
    count = 2 if bench.small else 32
    images = bench.photos(count)
    parameters = smoother_parameters().to(bench.device).expand(count, -1).contiguous().requires_grad_()
    ways: dict[str, kernels.Network] = {
        "fcnn": fcnn,
        "plain": kernels.each(kernels.with_convolution(kernels.grouped)),
        "grouped": kernels.with_convolution(kernels.grouped),
        "matrices": kernels.with_convolution(kernels.shifted),
        "unfolded": kernels.with_convolution(kernels.unfolded),
    }
    with full_float32(), torch.no_grad():
        expected = fcnn(parameters, images)

    def train(way: kernels.Network) -> None:
        torch.autograd.grad(way(parameters, images).square().mean(), parameters)

    for name, way in ways.items():
        cells = []
        for precision in (full_float32, tf32):
            with precision():
                train(way)
                seconds = min(bench.timed(partial(train, way)) for _ in range(2 if bench.small else 5))
                with torch.no_grad():
                    error = float((way(parameters, images) - expected).abs().max())
            label = "TF32" if precision is tf32 else "float32"
            cells.append(f"{label} {1e3 * seconds / count:.2f} ms an image, off by {error:.0e}")
        bench.row(f"network, {name}", count, "; ".join(cells))


def passes(bench: Bench) -> None:
    """ResNet-50 and Lite0, forward and the gradient of the images, by precision and memory format."""
    count = 2 if bench.small else 128
    for classifier in (bench.resnet50(), bench.lite(0)):
        cells = []
        for memory_format in (torch.contiguous_format, torch.channels_last):
            net = classifier.net.to(memory_format=memory_format)
            images = bench.photos(count).contiguous(memory_format=memory_format).clone().requires_grad_()

            def step(net: nn.Module = net, images: Tensor = images) -> None:
                torch.autograd.grad(net(images).float().sum(), images)

            for label, precision in (("float32", full_float32), ("TF32", tf32), ("bfloat16", autocast(bench.device))):
                with precision():
                    step()
                    seconds = min(bench.timed(step) for _ in range(3))
                order = "NHWC" if memory_format is torch.channels_last else "NCHW"
                cells.append(f"{label} {order} {count / seconds:.0f}")
        classifier.net.to(memory_format=torch.contiguous_format)
        bench.row(f"{classifier.name}, forward and backward, images/s", count, ", ".join(cells))


def autocast(device: torch.device) -> Callable[[], torch.autocast]:
    """Return what computes in bfloat16."""
    return partial(torch.autocast, device.type, dtype=torch.bfloat16)


PARTS: dict[str, tuple[Callable[[Bench], None], int]] = {
    "edgefool": (edgefool, 60),
    "robust": (robust, 60),
    "end-to-end": (end_to_end, 110),
    "outcomes": (outcomes, 40),
    "networks": (networks, 30),
    "peers": (peers, 60),
    "passes": (passes, 30),
}
"""What is measured, with the seconds that it may take."""


def main() -> None:
    """Run the parts, each within its time; one that fails does not stop the others."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu.md"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="small sizes, to try it on a CPU: --device cpu")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    arguments = parser.parse_args()
    bench = Bench(arguments.out, arguments.device, arguments.dry_run)
    signal.signal(signal.SIGALRM, _too_long)
    for name in arguments.parts:
        part, limit = PARTS[name]
        start = time.perf_counter()
        signal.alarm(0 if bench.small else limit)
        try:
            part(bench)
        except Exception as error:
            traceback.print_exc()
            bench.row(name, "", f"failed: {str(error).partition(chr(10))[0]}"[:200])
        finally:
            signal.alarm(0)
        print(f"# {time.perf_counter() - start:.0f} s", flush=True)
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("it took too long")


if __name__ == "__main__":
    main()
