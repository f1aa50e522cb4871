import pytest
import torch

from edgefool.filters.fourier import irfft2, rfft2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [16, 17, 34, 47, 51, 53, 451, 1])  # 17, 47, 51 and 451 go to SciPy
@pytest.mark.parametrize("height", [1, 12, 19])
def test_it_is_the_transform_of_torch_at_every_size(height, width, dtype):
    images = torch.rand(2, 3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(0))
    spectrum, exact = rfft2(images), torch.fft.rfft2(images.double())
    assert spectrum.dtype == exact.to(spectrum.dtype).dtype
    error = 1e-6 if dtype == torch.float32 else 1e-14
    assert (spectrum - exact).abs().max() < error * exact.abs().max()
    back = irfft2(spectrum, (height, width))
    assert back.dtype == dtype
    torch.testing.assert_close(back, images, atol=error, rtol=0)


def test_views_of_images_are_transformed_too():
    images = torch.rand(1, 3, 17, 12).transpose(2, 3)
    torch.testing.assert_close(rfft2(images), torch.fft.rfft2(images))
