"""Train the smoother that ships with the package: the FCNN of Sec. 3 as a general L0 filter, on Caltech-101.

One network for all images, from the authors' start, trained on the mean squared error, Eq. 6, with a cosine schedule:
Muon for the 3x3 kernels, Adam for the rest (after 1,000 steps of 128 x 128 crops the median on ImageNet was 9.2e-4,
with Adam for all 1.6e-3). Crops come first, then whole images of 224 x 224, which is what the network will see. The
convolutions compute in bfloat16. A run that is stopped goes on from its checkpoint.
"""

import argparse
import math
import platform
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from edgefool.filters import fcnn, identity_parameters, l0_smooth
from edgefool.filters.fcnn import DILATIONS, EPSILON, KERNELS, MAPS, PARAMETERS, SLOPE, is_kernel, split_parameters
from edgefool.images import read_image, resize_image, round_to_8_bits

SIZE = 224  # of the images that the network is for
CROP = 128
CROPS, WHOLES = 8, 3  # images in a batch
WHOLE_SHARE = 0.25  # of the steps, at the end
KERNEL_RATE = 5e-3  # learning rate of Muon
OTHER_RATE = 5e-3  # learning rate of Adam
WARM_UP = 200  # steps
REPORT = 500  # steps
THREADS = 2

Pair = tuple[Tensor, Tensor]


class Progress:
    """The weights in training, their optimisers, and the step reached."""

    def __init__(self, row: Tensor, steps: int) -> None:
        self.steps = steps
        self.step, self.seconds = 0, 0.0
        pieces = list(split_parameters(row[None]))
        self.pieces = [p.reshape(MAPS, -1) if is_kernel(p) else p[0] for p in pieces]
        self.pieces = [piece.clone().requires_grad_() for piece in self.pieces]
        kernels = [piece for piece in self.pieces if piece.dim() == 2]
        others = [piece for piece in self.pieces if piece.dim() == 1]
        self.optimisers: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Muon(kernels, lr=KERNEL_RATE, weight_decay=0), KERNEL_RATE),
            (torch.optim.Adam(others, lr=OTHER_RATE, betas=(0.9, 0.99)), OTHER_RATE),
        ]

    def row(self) -> Tensor:
        """Return the weights as `fcnn` takes them, (P,)."""
        return torch.cat([piece.flatten() for piece in self.pieces])

    def update(self, loss: Tensor) -> None:
        """Take a step of the schedule: a linear start, then half a cosine."""
        share = min(1.0, (self.step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        gradients = torch.autograd.grad(loss, self.pieces)
        for piece, gradient in zip(self.pieces, gradients, strict=True):
            piece.grad = gradient
        for optimiser, rate in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            optimiser.step()
        self.step += 1

    def load(self, checkpoint: Path) -> None:
        """Resume an interrupted run from its checkpoint."""
        state = torch.load(checkpoint, weights_only=True)
        if state["steps"] != self.steps:
            raise SystemExit(f"{checkpoint} is of a run of {state['steps']} steps, not {self.steps}: delete it first")
        for mine, saved in zip(self.pieces, state["pieces"], strict=True):
            mine.data.copy_(saved)
        for (optimiser, _), saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self, checkpoint: Path) -> None:
        """Write the checkpoint; the old one stays until the new one is complete."""
        state = {
            "pieces": [piece.detach() for piece in self.pieces],
            "optimisers": [optimiser.state_dict() for optimiser, _ in self.optimisers],
            "steps": self.steps,
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(checkpoint)


def main() -> None:
    """Prepare the pairs of image and smoothed image, train, measure, and write the weights with their card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/CLASS/*.jpg")
    parser.add_argument("--validation", type=Path, required=True, help="folder of photos that are only measured")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, card and checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=16_000)
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps must be at least 1")

    torch.set_num_threads(THREADS)  # sums depend on it
    torch.use_deterministic_algorithms(True)
    options.out.mkdir(parents=True, exist_ok=True)
    photos = sorted((options.data / "train").glob("*/*.jpg"))
    unseen = sorted(path for path in options.validation.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    print(f"{len(photos)} photos for training, {len(unseen)} for validation", flush=True)
    few = [pair(resize_image(read_image(path), SIZE)) for path in unseen[:48]]
    pool = [variants(path, options.seed + index) for index, path in enumerate(photos)]
    print("smoothed", flush=True)

    progress = train(pool, few, options.seed, options.steps, options.out / "smoother.checkpoint")
    row = progress.row().detach()
    errors = [mean_squared_error(row, pair(resize_image(read_image(path), SIZE))) for path in unseen]
    median = torch.tensor(errors).median().item()
    print(f"median MSE {median:.3e} on {len(unseen)} photos of validation")
    save_file({"parameters": row}, options.out / "smoother.safetensors")
    text = card(options, len(photos), errors, progress.seconds)
    (options.out / "smoother.md").write_text(text, encoding="utf-8")


# Data


def variants(path: Path, seed: int) -> list[Pair]:
    """Return four views of a photo, all but the first varied, as 8-bit pairs (3, H, W) of image and smoothed image."""
    photo, generator = read_image(path), torch.Generator().manual_seed(seed)

    def between(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    def varied(image: Tensor, size: int) -> Tensor:
        image = image.flip(2) if between(0, 1) < 0.5 else image
        image = resize_image(image.contiguous(), size) ** between(0.7, 1.4)
        gain = between(0.6, 1.3) * torch.tensor([between(0.9, 1.1) for _ in range(3)]).view(3, 1, 1)
        return round_to_8_bits((image * gain).clamp(0, 1))

    height, width = photo.shape[1:]
    h, w = round(height * between(0.6, 1)), round(width * between(0.6, 1))
    top, left = round(between(0, height - h)), round(between(0, width - w))
    views = [
        resize_image(photo, SIZE),
        varied(photo[:, top : top + h, left : left + w], SIZE),
        varied(photo, 8 * round(between(20, 26))),
        varied(photo, 144),
    ]
    return [pair(view) for view in views]


def pair(image: Tensor) -> Pair:
    """Return an image (3, H, W) and its smoothed version, both 8-bit."""
    smooth = l0_smooth(image[None])[0].clamp(0, 1)
    return (image * 255).round().byte(), (smooth * 255).round().byte()


def batch(pool: list[list[Pair]], generator: torch.Generator, *, whole: bool) -> Pair:
    """Draw crops, or whole images of the full size, half of them transposed: (N, 3, S, S) each."""

    def draw(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    drawn = []
    for _ in range(WHOLES if whole else CROPS):
        views = pool[draw(len(pool))]
        both = torch.stack(views[draw(2 if whole else len(views))])
        if not whole:
            top, left = draw(both.shape[2] - CROP + 1), draw(both.shape[3] - CROP + 1)
            both = both[:, :, top : top + CROP, left : left + CROP]
        drawn.append(both.mT if draw(2) else both)
    images, targets = torch.stack(drawn).float().div_(255).unbind(1)
    return images, targets


# Training


def network(row: Tensor, images: Tensor) -> Tensor:
    """Do what `fcnn` does, with one set of weights for all images, for the compiler; convolutions in bfloat16."""
    pieces = split_parameters(row[None])
    maps = images.contiguous(memory_format=torch.channels_last)
    for kernel, dilation in zip(KERNELS, DILATIONS, strict=True):
        weight = next(pieces).reshape(kernel).contiguous(memory_format=torch.channels_last)
        w0, w1, gain, bias = (next(pieces).reshape(1, -1, 1, 1) for _ in range(4))
        maps = F.conv2d(maps.bfloat16(), weight.bfloat16(), padding=dilation, dilation=dilation).float()
        mean = maps.mean((2, 3), keepdim=True)
        variance = (maps.square().mean((2, 3), keepdim=True) - mean.square()).clamp_min(0)
        scale = w1 * gain * (variance + EPSILON).rsqrt()
        maps = F.leaky_relu((w0 + scale) * maps + (w1 * bias - scale * mean), SLOPE)
    weight = next(pieces).reshape(3, -1, 1, 1)
    return F.conv2d(maps.bfloat16(), weight.bfloat16()).float() + next(pieces).reshape(1, 3, 1, 1)


def train(pool: list[list[Pair]], few: list[Pair], seed: int, steps: int, checkpoint: Path) -> Progress:
    """Take the remaining steps, saving a checkpoint at every report."""
    progress = Progress(identity_parameters(seed), steps)
    if checkpoint.exists():
        progress.load(checkpoint)
        print(f"going on from step {progress.step}", flush=True)
    compiled = torch.compile(network, dynamic=False)
    total, start = 0.0, time.time() - progress.seconds
    while progress.step < steps:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + progress.step)
        images, targets = batch(pool, generator, whole=progress.step >= (1 - WHOLE_SHARE) * steps)
        loss = F.mse_loss(compiled(progress.row(), images), targets)
        progress.update(loss)
        total += loss.item()
        if progress.step % REPORT == 0 or progress.step == steps:
            progress.seconds = time.time() - start
            errors = torch.tensor([mean_squared_error(progress.row(), one) for one in few])
            print(
                f"{progress.seconds / 60:5.1f} min  step {progress.step}  loss {total / REPORT:.3e}  "
                f"validation median {errors.median():.3e}",
                flush=True,
            )
            total = 0.0
            progress.save(checkpoint)
    return progress


@torch.inference_mode()
def mean_squared_error(row: Tensor, one: Pair) -> float:
    """Return Eq. 6 for a pair, as the attack will compute it."""
    image, target = (part[None].float() / 255 for part in one)
    return F.mse_loss(fcnn(row[None], image), target).item()


# Results


def card(options: argparse.Namespace, photos: int, errors: list[float], seconds: float) -> str:
    """Return the text of the model card."""
    quantiles = torch.tensor(errors).quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    machine = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"
    return f"""# smoother

The FCNN of the paper's Sec. 3, trained as a general L0 filter (lambda 0.02, kappa 2): where EdgeFool starts from.

| | |
| --- | --- |
| Mean squared error from the L0 filter, {SIZE}x{SIZE} | median **{quantiles[1]:.2e}**, 10th percentile \
{quantiles[0]:.2e}, 90th {quantiles[2]:.2e} |
| measured on | {len(errors):,} photos of `{options.validation.name}`, none of them trained on |
| Size | {PARAMETERS:,} parameters, fp32 |
| Data | {photos:,} training images of Caltech-101 (Li, Andreeto, Ranzato and Perona, 2022; CC BY 4.0), no labels |
| Licence of the weights | Apache-2.0, as the package |
| Trained in | {options.steps:,} steps, {seconds / 60:.0f} minutes on {THREADS} cores ({machine}) |

To train it again (same seed, same torch, same compiler, same kind of processor: same weights):

    python training/smoother.py --data ../shared/images/caltech101 --validation ../shared/images/imagenet_val \\
        --out src/edgefool/filters/data --seed {options.seed} --steps {options.steps}
"""


if __name__ == "__main__":
    main()
