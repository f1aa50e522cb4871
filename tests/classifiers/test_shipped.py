"""The classifiers that ship with the package: their files, their gradients, and what they reach on unseen photos."""

import json
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from edgefool.classifiers.shipped import shipped_alexnet, shipped_resnet

# As the cards say.
INPUT_SIZE, MEAN, STD = 112, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = ["caltech101_resnet", "caltech101_alexnet"]
ARCHITECTURES: dict[str, Callable[[int], nn.Module]] = dict(zip(NAMES, [shipped_resnet, shipped_alexnet], strict=True))
LEAST_TOP1 = dict(zip(NAMES, [0.65, 0.55], strict=True))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def weights(name: str) -> Path:
    with as_file(files("edgefool.classifiers") / "data" / f"{name}.safetensors") as path:
        return path


@pytest.fixture
def classes(weights: Path) -> list[str]:
    with safe_open(weights, "pt") as file:
        return json.loads(file.metadata()["classes"])


@pytest.fixture
def network(name: str, weights: Path, classes: list[str]) -> nn.Module:
    network = ARCHITECTURES[name](len(classes))
    network.load_state_dict(load_file(weights), strict=True)
    return network.eval()


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Do what the package does around the network: resize inside, normalise."""
    images = F.interpolate(images, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True, align_corners=False)
    return network((images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1))


def test_file_is_small_half_precision_and_described(name: str, weights: Path, classes: list[str]) -> None:
    assert weights.stat().st_size <= 4_000_000
    tensors = load_file(weights)
    assert {key for key, value in tensors.items() if value.dtype != torch.float16} == {
        key for key in tensors if key.endswith("num_batches_tracked")
    }
    assert classes == sorted(set(classes))
    card = weights.with_suffix(".md").read_text(encoding="utf-8")
    with safe_open(weights, "pt") as file:
        top1 = float(file.metadata()["held_out_top1"].split()[0])
    assert f"**{top1:.1%}**" in card
    assert "CC BY 4.0" in card
    assert "python training/classifiers.py" in card


def test_networks_are_of_two_families() -> None:
    residual, plain = (ARCHITECTURES[name](2) for name in NAMES)
    assert any(hasattr(module, "skip") for module in residual.modules())
    assert not any(hasattr(module, "skip") for module in plain.modules())


@pytest.mark.parametrize("num_classes", [1, 7])
def test_logits_follow_the_number_of_classes(name: str, num_classes: int) -> None:
    network = ARCHITECTURES[name](num_classes).eval()
    assert network(torch.zeros(2, 3, INPUT_SIZE, INPUT_SIZE)).shape == (2, num_classes)


def test_a_batch_is_its_images_one_by_one_and_repeats_exactly(network: nn.Module) -> None:
    images = torch.rand(3, 3, 224, 224, generator=torch.manual_seed(0))
    with torch.inference_mode():
        together, again = logits_of(network, images), logits_of(network, images)
        alone = torch.cat([logits_of(network, image[None]) for image in images])
    assert torch.equal(together, again)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0, None], ids=["black", "grey", "white", "noise"])
def test_input_gradients_are_finite_and_reach_every_part(network: nn.Module, fill: float | None) -> None:
    images = torch.rand(1, 3, 224, 224, generator=torch.manual_seed(0))
    if fill is not None:
        images.fill_(fill)
    images.requires_grad_()
    logits = logits_of(network, images)
    (gradient,) = torch.autograd.grad(logits.max(), images)
    assert logits.isfinite().all()
    assert gradient.isfinite().all()
    assert (F.avg_pool2d(gradient.abs(), 32) > 0).all()


def test_gradient_descends(network: nn.Module) -> None:
    images = torch.rand(1, 3, 224, 224, generator=torch.manual_seed(0)).requires_grad_()
    before = logits_of(network, images).max()
    label = logits_of(network, images).argmax()
    (gradient,) = torch.autograd.grad(before, images)
    with torch.inference_mode():
        after = logits_of(network, images - 1e-3 * gradient.sign())[0, label]
    assert after < before


def read(path: Path) -> Tensor:
    """Return a photo as (3, 224, 224) in [0, 1], resized as for an attack."""
    with Image.open(path) as file:
        pixels = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)
    return F.interpolate(pixels[None] / 255, (224, 224), mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("step", [12, pytest.param(3, marks=pytest.mark.slow)])
def test_reaches_its_top1_on_unseen_photos(
    name: str, network: nn.Module, classes: list[str], shared: Path, step: int
) -> None:
    paths = sorted((shared / "images" / "caltech101" / "test").glob("*/*"))[::step]
    truth = torch.tensor([classes.index(path.parent.name) for path in paths])
    with torch.inference_mode():
        batches = DataLoader([read(path) for path in paths], batch_size=59)
        guesses = torch.cat([logits_of(network, images).argmax(1) for images in batches])
    assert len(paths) == 1416 // step
    assert (guesses == truth).double().mean() >= LEAST_TOP1[name]
