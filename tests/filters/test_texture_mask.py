"""The mask is large in textures, small at silhouettes and on smooth surfaces."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, minimum_filter
from skimage.color import rgb2lab
from skimage.feature import structure_tensor, structure_tensor_eigenvalues

from edgefool.filters import l0_smooth, texture_mask
from edgefool.filters.texture_mask import local_deviation


def noise(size=64, seed=0):
    return torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(seed))


def scene():
    """Return two smooth surfaces, the second from column 20 on, and a texture from column 40 on, (1, 3, 64, 64)."""
    image = torch.full((1, 3, 64, 64), 0.3)
    image[..., 20:] = 0.6
    image[..., 40:] += 0.2 * (noise()[..., 40:] - 0.5)
    return image


def test_textures_hide_changes_and_silhouettes_do_not():
    image = scene()
    mask = texture_mask(image, l0_smooth(image), edges=0.15)[0, 0]
    smooth, silhouette, texture = (mask[8:-8, columns].mean() for columns in (slice(8), slice(16, 24), slice(50, 60)))
    assert smooth == pytest.approx(0.05, abs=1e-3)
    assert texture > 0.8
    assert silhouette < 0.2
    assert mask[8:-8, 30:37].mean(0).max() < 0.06, "a texture stays out of the surface beside it"
    assert (texture_mask(image, l0_smooth(image), edges=0.5)[0, 0] >= mask).all()


def test_the_formula_by_scikit_image_and_scipy():
    image = (scene() + 0.05 * noise(seed=1)).clamp(0, 1)
    structure = l0_smooth(image)
    lightness, smooth = (
        rgb2lab(x[0].double().clamp(0, 1).numpy(), channel_axis=0)[0] / 100 for x in (image, structure)
    )
    windows = np.lib.stride_tricks.sliding_window_view(lightness - smooth, (7, 7))
    detail = np.clip(minimum_filter(windows.std((2, 3)), 5) / 0.02, 0, 1)  # of the inner pixels
    tensor = structure_tensor(lightness / 8, sigma=2, mode="nearest", order="xy")
    smaller = np.sqrt(structure_tensor_eigenvalues(tensor)[1].clip(0))[3:-3, 3:-3]
    expected = gaussian_filter(np.maximum(detail * (0.4 + 0.6 * np.clip(smaller / 0.02, 0, 1)), 0.05), 1, truncate=3)
    mask = texture_mask(image, structure)[0, 0, 3:-3, 3:-3]
    np.testing.assert_allclose(mask[6:-6, 6:-6], expected[6:-6, 6:-6], atol=0.02)


def test_the_deviation_is_cropped_at_the_border():
    values = noise().double()
    deviation = local_deviation(values)[0, 0]
    assert deviation[0, 0] == pytest.approx(float(values[0, 0, :4, :4].std(correction=0)))
    assert deviation[20, 30] == pytest.approx(float(values[0, 0, 17:24, 27:34].std(correction=0)))


def test_each_image_has_its_own():
    pair = torch.cat([scene(), noise().expand(1, 3, -1, -1)])
    structures = l0_smooth(pair)
    together = texture_mask(pair, structures)
    assert torch.allclose(together[1:], texture_mask(pair[1:], structures[1:]), atol=1e-6)
    assert together.aminmax().min >= 0.0199
    assert together.aminmax().max <= 1 + 1e-6
