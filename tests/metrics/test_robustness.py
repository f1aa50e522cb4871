"""Transformations: by the encoders themselves, closed forms and scikit-image."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.restoration import denoise_nl_means

from edgefool.errors import UsageError
from edgefool.metrics import TRANSFORMATIONS, check_transformation, transform
from edgefool.metrics.robustness import blur, crop_centre, encode_and_decode, post, shrink


def photo(height=48, width=64, seed=0):
    """Return soft colours with some texture, as a photo has."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (pixels + random.integers(-12, 13, pixels.shape)).clip(0, 255).astype(np.uint8)


def by_pillow(pixels, encoder, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, encoder, **options)
    return np.asarray(Image.open(file).convert("RGB"))


def test_the_names_of_the_documentation():
    documented = ["jpeg90", "jpeg75", "jpeg50", "half", "blur1", "crop90", "webp80", "denoise"]
    assert list(TRANSFORMATIONS) == [*documented, "social"]


@pytest.mark.parametrize("quality", [90, 75, 50])
def test_jpeg_is_that_of_pillow_with_coarse_colours(quality):
    pixels = photo()
    expected = by_pillow(pixels, "JPEG", quality=quality, subsampling="4:2:0")
    assert np.array_equal(TRANSFORMATIONS[f"jpeg{quality}"](pixels), expected)
    assert not np.array_equal(by_pillow(pixels, "JPEG", quality=quality, subsampling="4:4:4"), expected)


def test_webp_is_lossy_and_of_pillow():
    pixels = photo()
    assert np.array_equal(TRANSFORMATIONS["webp80"](pixels), by_pillow(pixels, "WEBP", quality=80))
    assert not np.array_equal(encode_and_decode(pixels, "WEBP", 80), encode_and_decode(pixels, "WEBP", 30))


@pytest.mark.parametrize(("size", "half"), [((48, 64), (24, 32)), ((33, 17), (16, 8)), ((1, 5), (1, 2))])
def test_half_the_size(size, half):
    pixels = photo(*size)
    expected = Image.fromarray(pixels).resize(half[::-1], Image.Resampling.BICUBIC)
    assert np.array_equal(TRANSFORMATIONS["half"](pixels), np.asarray(expected))


def test_shrinking_does_not_alias():
    """A checkerboard of single pixels is grey from afar."""
    board = (255 * ((np.arange(64)[:, None] + np.arange(64)) % 2)).astype(np.uint8)
    inside = shrink(np.repeat(board[:, :, None], 3, 2), 0.5)[4:-4, 4:-4].astype(int)
    assert abs(inside - 127.5).max() <= 1


def test_blur_is_a_gaussian():
    pixels = np.zeros((21, 21, 3), dtype=np.uint8)
    pixels[10, 10] = 255
    line = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    found = TRANSFORMATIONS["blur1"](pixels)
    assert abs(found[6:15, 6:15, 1] - 255 * kernel).max() <= 0.5 + 1e-3
    assert found[:6].max() == 0
    assert np.array_equal(blur(np.full((9, 7, 3), 200, dtype=np.uint8), 1), np.full((9, 7, 3), 200))


def test_crop_is_the_centre():
    rows = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 60, 1).repeat(3, 2)
    cropped = crop_centre(rows, 0.9)
    assert cropped.shape == (90, 54, 3)
    assert cropped[:, 0, 0].tolist() == list(range(5, 95))
    assert crop_centre(rows[:1, :1], 0.9).shape == (1, 1, 3)


def test_denoise_is_that_of_scikit_image():
    pixels = photo()
    values = denoise_nl_means(
        pixels / 255, patch_size=5, patch_distance=6, h=0.05, fast_mode=True, channel_axis=2, sigma=0.0
    )
    found = TRANSFORMATIONS["denoise"](pixels)
    assert abs(found - 255 * values).max() <= 0.51
    noise = np.random.default_rng(1).normal(0, 5, (48, 64, 3))
    flat = (128 + noise).round().clip(0, 255).astype(np.uint8)
    assert TRANSFORMATIONS["denoise"](flat).std() < 0.5 * flat.std()


@pytest.mark.parametrize(
    ("size", "shown"), [((600, 2160), (300, 1080)), ((1081, 541), (1080, 540)), ((1080, 40), (1080, 40))]
)
def test_a_social_network_shows_1080_pixels_in_jpeg(size, shown):
    pixels = photo(*size)
    small = np.asarray(Image.fromarray(pixels).resize(shown[::-1], Image.Resampling.BICUBIC))
    assert np.array_equal(post(pixels), by_pillow(small, "JPEG", quality=80, subsampling="4:2:0"))


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_tensors(name):
    pixels = photo(33, 20)
    image = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    before, found = image.clone(), transform(image, name)
    assert torch.equal(image, before)
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.tensor(TRANSFORMATIONS[name](pixels)).permute(2, 0, 1) / 255)
    assert torch.equal(transform(image, name), found), "it is a function"
    assert transform(image.double(), name).dtype == torch.float64
    assert len(transform(torch.rand(3, 16, 17), name)) == 3


@pytest.mark.parametrize("image", [torch.rand(1, 3, 8, 8), torch.rand(4, 8, 8), torch.zeros(3, 8, 8).byte()])
def test_other_tensors_are_refused(image):
    with pytest.raises(UsageError, match="image must be"):
        transform(image, "half")


def test_unknown_names():
    with pytest.raises(UsageError, match="unknown transformation 'jpg75'; did you mean jpeg75"):
        check_transformation("jpg75")
    with pytest.raises(UsageError, match="unknown transformation"):
        transform(torch.rand(3, 8, 8), "sepia")
