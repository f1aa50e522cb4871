"""Resizing and cropping against the transforms of torchvision and timm.

On floating-point tensors ours are theirs. Theirs on PIL images round to 8 bits and clip to [0, 255] after each of the
two axes, ours do neither. Bicubic interpolation overshoots at sharp edges: between black and white, clipping changes
single pixels by up to 15 grey levels. So the comparison with PIL is on images without black and white.
"""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from edgefool.classifiers.preprocessing import IMAGENET, Preprocessing
from edgefool.classifiers.published import timm_preprocessing, torchvision_preprocessing
from edgefool.classifiers.vision import torchvision

WEIGHTS = {
    repr(weights.transforms()): weights
    for network in torchvision.models.list_models(module=torchvision.models)
    for weights in torchvision.models.get_model_weights(network)
}
"""One of the weights of torchvision for each recipe."""


def photo(height, width, contrast=1.0):
    """Return an 8-bit image with smooth areas, sharp edges and noise; contrast 1 reaches black and white."""
    random = np.random.default_rng(height * width)
    y, x = np.mgrid[:height, :width]
    pixels = 128 + 60 * np.stack([np.sin(x / 40), np.cos(y / 25), np.sin((x + y) / 60)], -1)
    pixels[(x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2] = 255
    pixels[height // 3 : height // 2, width // 2 :] = 0
    pixels += random.normal(0, 20, pixels.shape) * (x > width / 2)[..., None]
    return np.clip(128 + contrast * (np.clip(pixels, 0, 255) - 128), 0, 255).round().astype(np.uint8)


def normalised(preprocessing, images):
    """Return what the network sees."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (preprocessing.resize(images) - mean) / std


def assert_within_a_grey_level(preprocessing, recipe, shape, name):
    """Compare with what a library's transform makes of a PIL image, which it rounds."""
    pixels = photo(*shape, contrast=0.5)
    seen = recipe(Image.fromarray(pixels))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    difference = (255 * preprocessing.resize(as_tensor(pixels))).round() - 255 * (seen * std + mean)
    assert difference.abs().max() < 1.01, name


def as_tensor(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=str)
def test_every_recipe_of_torchvision(weights):
    found, recipe = torchvision_preprocessing(weights), weights.transforms()
    for shape in ((375, 500), (333, 250), (97, 61)):
        images = as_tensor(photo(*shape))
        torch.testing.assert_close(normalised(found, images), recipe(images), atol=1e-5, rtol=0)
        assert_within_a_grey_level(found, recipe, shape, weights)


def timm_configs():
    """Yield the name and the data configuration of one published classifier for each recipe of timm."""
    seen = set()
    for name in timm.list_models(pretrained=True, include_tags=True):
        published = timm.get_pretrained_cfg(name)
        config = resolve_data_config(pretrained_cfg=published.to_dict())
        recipe = (config["input_size"], config["crop_pct"], config["crop_mode"], config["interpolation"])
        if published.num_classes >= 2 and recipe not in seen:
            seen.add(recipe)
            yield name, config


@pytest.mark.slow
def test_every_recipe_of_timm():
    found = list(timm_configs())
    assert len(found) >= 40
    assert {config["crop_mode"] for _, config in found} == {"center", "squash"}
    for name, config in found:
        preprocessing, recipe = timm_preprocessing(config), create_transform(**config)
        for shape in ((375, 500), (97, 61)):
            images = as_tensor(photo(*shape))
            assert (normalised(preprocessing, images) - recipe(images)).abs().max() <= 1e-5, name
            assert_within_a_grey_level(preprocessing, recipe, shape, name)


@pytest.mark.parametrize("crop_pct", [1.0, 0.9])
@pytest.mark.parametrize("shape", [(375, 500), (333, 250), (97, 61), (200, 200)])
def test_border(shape, crop_pct):
    """The longer side fits and the rest is grey. timm's works on PIL images only: tensors have another fill colour."""
    config = {"input_size": (3, 128, 128), "crop_pct": crop_pct, "crop_mode": "border", "interpolation": "bicubic"}
    config |= {"mean": IMAGENET.mean, "std": IMAGENET.std}
    assert_within_a_grey_level(timm_preprocessing(config), create_transform(**config), shape, config)


def test_cropping_passes_gradients_to_what_is_seen():
    preprocessing = Preprocessing(32, resize_size=32, crop_mode="center")
    images = torch.rand(1, 3, 32, 64, requires_grad=True)
    preprocessing.resize(images).sum().backward()
    assert torch.equal(images.grad[..., 16:48], torch.ones(1, 3, 32, 32))
    assert images.grad.sum() == 3 * 32 * 32


def test_the_default_of_a_size_is_direct_resizing():
    images = as_tensor(photo(60, 90))
    expected = torch.nn.functional.interpolate(images, (224, 224), mode="bilinear", antialias=True)
    assert torch.equal(IMAGENET.resize(images), expected)
    assert Preprocessing().resize(images) is images


@pytest.mark.parametrize("shape", [(60, 90), (224, 300), (500, 310), (224, 224)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("resize_size", "crop_mode"), [(None, "squash"), (256, "squash"), (256, "center"), (200, "center")]
)
def test_resizing_is_a_product_with_two_matrices(shape, interpolation, resize_size, crop_mode):
    preprocessing = Preprocessing(224, interpolation, resize_size=resize_size, crop_mode=crop_mode)
    images = torch.rand(2, 3, *shape, dtype=torch.float64)
    rows, columns = preprocessing.resize_matrices(images)
    torch.testing.assert_close(rows @ images @ columns.T, preprocessing.resize(images))


def test_no_matrices_where_there_is_no_resizing_or_coloured_padding():
    images = torch.rand(1, 3, 40, 30)
    assert Preprocessing().resize_matrices(images) is None
    assert Preprocessing(32, crop_mode="border").resize_matrices(images) is None
