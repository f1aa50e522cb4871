"""Changes of lightness on full photos, against kornia's CIELAB."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.color import lab_to_rgb, rgb_to_lab
from PIL import Image

from edgefool.protection import full_resolution
from edgefool.protection.full_resolution import add_lightness, lightness_change


def by_kornia(pixels, change):
    """Return levels, not rounded, in double precision."""
    lab = rgb_to_lab(torch.from_numpy(pixels).permute(2, 0, 1).double() / 255)
    lab[0] += torch.from_numpy(change)
    return (lab_to_rgb(lab[None])[0] * 255).permute(1, 2, 0).numpy()


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (60, 90, 4), dtype=np.uint8)


@pytest.fixture
def change():
    return np.random.default_rng(1).normal(0, 12, (60, 90)).astype(np.float32)


def test_no_change_gives_the_same_bytes():
    levels = np.arange(0, 256, 3, dtype=np.uint8)
    every = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 86, 3)
    assert np.array_equal(add_lightness(every, np.zeros((9, 7), np.float32)), every)
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(add_lightness(grey, np.zeros((9, 7), np.float32)), grey)


def test_colours_change_as_in_kornia(colours, change):
    changed = add_lightness(colours[..., :3].copy(), change)
    assert np.abs(changed - by_kornia(colours[..., :3], change)).max() < 0.51
    assert np.array_equal(add_lightness(colours[..., :3], 2 * change, 0.5), changed)


def test_alpha_stays(colours, change):
    changed = add_lightness(colours, change)
    assert np.array_equal(changed[..., 3], colours[..., 3])
    assert np.array_equal(changed[..., :3], add_lightness(colours[..., :3], change))


def test_grey_changes_as_grey_colours(colours, change):
    grey, alpha = colours[..., :1], colours[..., 3:]
    expected = add_lightness(np.repeat(grey, 3, 2), change)
    changed = add_lightness(np.concatenate([grey, alpha], 2), change)
    assert np.abs(changed[..., :1].astype(int) - expected).max() <= 1  # kornia's white is grey to within .0002
    assert np.array_equal(changed[..., 1:], alpha)
    assert np.array_equal(add_lightness(grey, change), changed[..., :1])


@pytest.mark.parametrize("rows", [1, 7, 59])
def test_strips_give_the_same_as_one_piece(monkeypatch, colours, rows):
    change = np.random.default_rng(1).normal(0, 12, (13, 17)).astype(np.float32)
    whole = add_lightness(colours, change)
    enlarged = np.asarray(Image.fromarray(change).resize((90, 60), Image.Resampling.BICUBIC))
    assert np.array_equal(whole, add_lightness(colours, enlarged))
    monkeypatch.setattr(full_resolution, "STRIP", 90 * rows)
    apart = np.abs(add_lightness(colours, change).astype(int) - whole)
    assert apart.max() <= 1
    assert apart.astype(bool).mean() < 1e-3  # where a value lies between two levels


@given(st.floats(-100, 100), st.integers(16, 40), st.integers(16, 40))
def test_lightness_is_added(lightness, height, width):
    """Grey photos of any size get the lightness that they should have, as far as there is one."""
    pixels = np.full((height, width, 3), 119, np.uint8)  # L* 50
    changed = add_lightness(pixels, np.full((16, 16), lightness, np.float32))
    images = [torch.from_numpy(image).permute(2, 0, 1) / 255 for image in (pixels, changed)]
    expected = min(max(lightness, -50), 50)
    assert np.abs(lightness_change(*images) - expected).max() < 0.6


@pytest.mark.parametrize("cores", [2, 5])
def test_several_cores_give_the_same_as_one(monkeypatch, colours, cores):
    change = np.random.default_rng(2).normal(0, 12, (13, 17)).astype(np.float32)
    monkeypatch.setattr(full_resolution, "STRIP", 90 * 7)
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, cores):
            torch.set_num_threads(count)
            results.append(add_lightness(colours, change))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*results)
