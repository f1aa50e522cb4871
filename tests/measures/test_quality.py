import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edgefool.measures import psnr, ssim


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 40, 30, generator=generator)
    return (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(0, 1), images


def test_psnr_equals_scikit_images(pair):
    for ours, a, b in zip(psnr(*pair), *pair, strict=True):
        assert ours.item() == pytest.approx(peak_signal_noise_ratio(b.numpy(), a.numpy(), data_range=1), abs=1e-3)


def test_ssim_equals_scikit_images(pair):
    for ours, a, b in zip(ssim(*pair), *pair, strict=True):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        _, full = structural_similarity(
            b.double().numpy(), a.double().numpy(), data_range=1, channel_axis=0, full=True, **options
        )
        # kornia and scikit-image differ in the border of half a window only in how they pad
        assert ours.item() == pytest.approx(float(np.mean(full)), abs=5e-3)
