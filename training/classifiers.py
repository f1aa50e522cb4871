"""Train the two classifiers that ship with the package on Caltech-101, and write their cards.

The teacher is two frozen MobileNets with a linear head, fitted here. Each student imitates the teacher's probabilities
and features on crops of the training images. Sums depend on the number of threads, so each process fixes it: the
result does not depend on how many cores there are.
"""

import argparse
import functools
import importlib.util
import json
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from edgefool.classifiers import CLASSIFIERS, Classifier
from edgefool.classifiers.shipped import shipped_alexnet, shipped_resnet

STUDENTS = {
    "caltech101_resnet": ("a residual network of six blocks", shipped_resnet),
    "caltech101_alexnet": ("a plain network like AlexNet", shipped_alexnet),
}
PREPROCESSING = CLASSIFIERS["caltech101-resnet"].preprocessing
INPUT_SIZE = cast(int, PREPROCESSING.input_size)
ATTACK_SIZE = 224  # what users attack; the classifier resizes to INPUT_SIZE inside
TEACHER_SIZE = 160
CROPS = 8
BATCH = 64
TEMPERATURE = 2.0
FEATURE_WEIGHT = 5.0
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05

Example = tuple[Path, int]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Job:
    """What every process needs."""

    teachers: Path
    out: Path
    cache: Path
    seed: int
    epochs: int
    classes: list[str]
    train: list[Example]
    test: list[Example]
    held_out: str
    start: float


def main() -> None:
    """Cache the crops and the teacher's view of them, then train both students side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/CLASS/*.jpg and test/CLASS/*.jpg")
    parser.add_argument("--teachers", type=Path, required=True, help="folder with models.py and its MobileNets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights and the cards")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument(
        "--validate",
        action="store_true",
        help="measure on every eighth training image, left out of training, not on test",
    )
    options = parser.parse_args()

    make_deterministic(2)
    classes = sorted(folder.name for folder in (options.data / "train").iterdir())
    train, test = examples(options.data / "train", classes), examples(options.data / "test", classes)
    held_out = f"the test split, {len(test):,} images"
    if options.validate:
        train, test = [train[i] for i in range(len(train)) if i % 8], train[::8]
        held_out = f"every eighth training image, left out of training, {len(test):,} images"
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as cache,
        ProcessPoolExecutor(2, get_context("spawn"), initializer=make_deterministic, initargs=(1,)) as pool,
    ):
        paths = options.teachers, options.out, Path(cache)
        job = Job(*paths, options.seed, options.epochs, classes, train, test, held_out, time.time())
        teach(job, pool)
        list(pool.map(functools.partial(make_student, job), STUDENTS))


def examples(folder: Path, classes: list[str]) -> list[Example]:
    """Return every image with the index of its class, in a fixed order."""
    return [(path, label) for label, name in enumerate(classes) for path in sorted((folder / name).iterdir())]


def make_deterministic(threads: int) -> None:
    """Make a process compute the same each time."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def say(job: Job, text: str) -> None:
    """Print a line of progress, with the minutes since the start."""
    print(f"{(time.time() - job.start) / 60:5.1f} min  {text}", flush=True)


# The teacher


def teach(job: Job, pool: ProcessPoolExecutor) -> None:
    """Save crops of the training images (uint8), and the teacher's features and logits for each crop."""
    crops, features = look(job, job.train, CROPS, pool)
    mean, std = features.mean((0, 1)), features.std((0, 1)) + 1e-3
    features = (features - mean) / std
    labels = torch.tensor([label for _, label in job.train])[:, None].expand(-1, CROPS)
    torch.manual_seed(job.seed)
    head = fit_head(features.flatten(0, 1), labels.flatten(), len(job.classes))
    save_file({"crops": crops, "features": features, "logits": head(features)}, job.cache / "train.safetensors")

    unseen = (look(job, job.test, 1, pool)[1][:, 0] - mean) / std
    truth = torch.tensor([label for _, label in job.test])
    say(job, f"teacher: top-1 {accuracy(head(unseen), truth):.1%} ({job.held_out})")


def look(job: Job, images: list[Example], crops: int, pool: ProcessPoolExecutor) -> tuple[Tensor, Tensor]:
    """Return crops (images, crops, S, S, 3) and the teacher's features (images, crops, D); the first crop is all."""
    parts = []
    for part in pool.map(functools.partial(look_at, job, crops), range(len(images)), images, chunksize=32):
        parts.append(part)
        if len(parts) % 500 == 0:
            say(job, f"teacher: {len(parts)} of {len(images)} images seen")
    small, features = zip(*parts, strict=True)
    return torch.from_numpy(np.stack(small)), torch.from_numpy(np.stack(features))


def look_at(job: Job, crops: int, index: int, example: Example) -> tuple[np.ndarray, np.ndarray]:
    """Return the crops of one image and the teacher's features for them."""
    rng = np.random.default_rng((job.seed, index))
    with Image.open(example[0]) as file:
        image = file.convert("RGB")
    boxes = [(0.0, 0.0, float(image.width), float(image.height))]
    boxes += [random_box(rng, image.width, image.height) for _ in range(crops - 1)]
    large = torch.from_numpy(resized(image, boxes, TEACHER_SIZE)).permute(0, 3, 1, 2) / 255
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        features = torch.cat([net(large).float() for net in teacher_networks(job.teachers)], 1)
    return resized(image, boxes, INPUT_SIZE), features.numpy()


def random_box(rng: np.random.Generator, width: int, height: int) -> Box:
    """Draw a crop of 30 to 100 % of the area and of roughly the image's own shape."""
    area, aspect = rng.uniform(0.3, 1), np.exp(rng.uniform(-0.3, 0.3))
    w, h = min(1.0, np.sqrt(area * aspect)), min(1.0, np.sqrt(area / aspect))
    x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
    return x * width, y * height, (x + w) * width, (y + h) * height


def resized(image: Image.Image, boxes: list[Box], size: int) -> np.ndarray:
    """Return the boxes of an image, each resized to a square: (boxes, size, size, 3), uint8."""
    return np.stack([np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box)) for box in boxes])


@functools.cache
def teacher_networks(folder: Path) -> list[nn.Module]:
    """Load the MobileNets (images in [0, 1] to pooled features)."""
    spec = importlib.util.spec_from_file_location("models", folder / "models.py")
    assert spec is not None
    assert spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    networks: list[nn.Module] = [models.mobilenet_v1(), models.mobilenet_v2()]
    for network in networks:
        network.fc = nn.Identity()
    return networks


def fit_head(features: Tensor, labels: Tensor, num_classes: int) -> nn.Linear:
    """Fit logistic regression with weight decay."""
    head = nn.Linear(features.shape[1], num_classes)
    nn.init.zeros_(head.weight)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(head(features), labels) + 0.05 * head.weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return head.requires_grad_(False)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of rows whose highest logit is the label's."""
    return (logits.argmax(1) == labels).double().mean().item()


# The students


def make_student(job: Job, name: str) -> None:
    """Train a student, round its weights to fp16, measure these, and write them with their card."""
    description, architecture = STUDENTS[name]
    torch.manual_seed(job.seed)
    student = architecture(len(job.classes))
    train_student(job, name, student)
    weights = {
        key: value.half().contiguous() if value.is_floating_point() else value
        for key, value in student.state_dict().items()
    }
    student.load_state_dict(weights)
    classifier = Classifier(student, name=name, classes=job.classes, architecture=name, preprocessing=PREPROCESSING)
    top1 = measure(classifier, job.test)
    say(job, f"{name}: top-1 {top1:.1%} ({job.held_out})")

    file = job.out / f"{name}.safetensors"
    metadata = {
        "classes": json.dumps(job.classes),
        "description": f"{description}, trained by EdgeFool's training/classifiers.py on Caltech-101",
        "licence": "Apache-2.0; trained on Caltech-101 (CC BY 4.0) with MobileNet v1 and v2 (Apache-2.0) as teacher",
        "held_out_top1": f"{top1:.4f} ({job.held_out})",
    }
    file.write_bytes(save(weights, metadata))
    parameters = sum(parameter.numel() for parameter in student.parameters())
    (job.out / f"{name}.md").write_text(card(job, name, top1, parameters, file.stat().st_size), encoding="utf-8")


def train_student(job: Job, name: str, student: nn.Module) -> None:
    """Train on random crops, warped, tinted and mixed in pairs."""
    data = load_file(job.cache / "train.safetensors")
    images = len(data["crops"])
    with torch.no_grad():
        width = student.get_submodule("body")(torch.zeros(2, 3, INPUT_SIZE, INPUT_SIZE)).shape[1]
    project = nn.Linear(width, data["features"].shape[-1])  # only for training
    parameters = [*student.parameters(), *project.parameters()]
    optimiser = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = images // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, job.epochs * steps, pct_start=0.1)
    student.train()
    for epoch in range(job.epochs):
        total = 0.0
        for rows in torch.randperm(images)[: steps * BATCH].view(steps, BATCH):
            index = rows, torch.randint(CROPS, (BATCH,))
            weight, partner = torch.distributions.Beta(0.4, 0.4).sample((BATCH, 1)), torch.randperm(BATCH)
            crops = vary(data["crops"][index])
            crops = torch.lerp(crops[partner], crops, weight[..., None, None])
            target = F.softmax(data["logits"][index] / TEMPERATURE, 1)
            target = torch.lerp(target[partner], target, weight)
            features = torch.lerp(data["features"][index][partner], data["features"][index], weight)
            with torch.autocast("cpu", torch.bfloat16):
                mine = student.get_submodule("body")(crops.contiguous(memory_format=torch.channels_last))
                logits, projected = student.get_submodule("head")(mine).float(), project(mine).float()
            imitation = F.kl_div(F.log_softmax(logits / TEMPERATURE, 1), target, reduction="batchmean")
            loss = TEMPERATURE**2 * imitation + FEATURE_WEIGHT * (1 - F.cosine_similarity(projected, features)).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            total += loss.item()
        if epoch % 5 == 4:
            say(job, f"{name}: epoch {epoch + 1} of {job.epochs}, loss {total / steps:.3f}")


def vary(crops: Tensor) -> Tensor:
    """Warp and tint uint8 crops (N, S, S, 3) at random; return normalised images (N, 3, S, S)."""
    n = len(crops)
    angle, zoom, flip = 0.25 * uniform(n), torch.exp(0.15 * uniform(n)), uniform(n).sign()
    x_row = torch.stack([flip * zoom * angle.cos(), -zoom * angle.sin(), 0.15 * uniform(n)], 1)
    y_row = torch.stack([flip * zoom * angle.sin(), zoom * angle.cos(), 0.15 * uniform(n)], 1)
    images = crops.permute(0, 3, 1, 2) / 255
    grid = F.affine_grid(torch.stack([x_row, y_row], 1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain = torch.exp(0.3 * uniform(n, 1, 1, 1) + 0.1 * uniform(n, 3, 1, 1))
    return normalised(images * gain + 0.1 * uniform(n, 1, 1, 1))


def uniform(*shape: int) -> Tensor:
    """Draw from [-1, 1]."""
    return 2 * torch.rand(shape) - 1


def normalised(images: Tensor) -> Tensor:
    """Subtract the mean and divide by the standard deviation of each channel."""
    return (images - torch.tensor(PREPROCESSING.mean).view(3, 1, 1)) / torch.tensor(PREPROCESSING.std).view(3, 1, 1)


# Results


@torch.inference_mode()
def measure(classifier: Classifier, test: list[Example]) -> float:
    """Return the top-1 on image files, resized to the attack's size and from there to the classifier's."""
    logits = []
    for path, _ in test:
        with Image.open(path) as file:
            image = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)[None] / 255
        image = F.interpolate(image, (ATTACK_SIZE, ATTACK_SIZE), mode="bilinear", align_corners=False)
        logits.append(classifier(image))
    return accuracy(torch.cat(logits), torch.tensor([label for _, label in test]))


def card(job: Job, name: str, top1: float, parameters: int, size: int) -> str:
    """Return the text of a model card."""
    return f"""# {name}

For trying EdgeFool offline: {STUDENTS[name][0]} (`edgefool.classifiers.shipped.{STUDENTS[name][1].__name__}`),
trained from random weights.

| | |
| --- | --- |
| Top-1, fp16 weights, {ATTACK_SIZE}x{ATTACK_SIZE} images | **{top1:.1%}** on {job.held_out} |
| Classes | {len(job.classes)} of Caltech-101; their names are in the file's metadata |
| Input | RGB, resized inside to {INPUT_SIZE}x{INPUT_SIZE} (bilinear, antialiased) |
| Normalisation | mean {PREPROCESSING.mean}, standard deviation {PREPROCESSING.std} |
| Size | {parameters:,} parameters, {size / 1e6:.2f} MB |
| Data | {len(job.train):,} training images of Caltech-101 (Li, Andreeto, Ranzato and Perona, 2022; CC BY 4.0) |
| Teacher | TensorFlow's MobileNet v1 and v2, Apache-2.0, with a linear head fitted on the same training images |
| Licence of the weights | Apache-2.0, as the package |
| Trained in | {(time.time() - job.start) / 60:.0f} minutes, both classifiers side by side on two cores ({machine()}) |

To train it again (same seed, same torch, same kind of processor: same weights):

    python training/classifiers.py --data ../shared/images/caltech101 --teachers ../shared/classifiers \\
        --out src/edgefool/classifiers/data --seed {job.seed}

Not for real work: it knows {len(job.classes)} classes, learnt from few photos.
"""


def machine() -> str:
    """Return the processor and the version of torch, on which the numbers depend."""
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
