"""Every filter, and the network, in both precisions."""

import pytest
import torch
from torch.nn.functional import mse_loss

from edgefool.classifiers.precision import full_float32
from edgefool.filters import (
    enhance_details,
    fcnn,
    guided_filter,
    identity_parameters,
    l0_smooth,
    smoother_parameters,
    texture_mask,
)

pytestmark = pytest.mark.gpu
DTYPE = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
FILTERS = {
    "enhance_details": lambda images: enhance_details(images, images.roll(1, -1)),
    "literal": lambda images: enhance_details(images, images.roll(1, -1), literal=True),
    "guided_filter": lambda images: guided_filter(images.roll(1, -1), images, eps=1e-4),
    "texture_mask": lambda images: texture_mask(images, images.roll(1, -1)),
}


@DTYPE
@pytest.mark.parametrize("name", FILTERS)
def test_filter(name, dtype, photos, device):
    images = photos.to(dtype)
    with full_float32():
        there = FILTERS[name](images.to(device))
    assert there.dtype == dtype
    torch.testing.assert_close(
        there.cpu(), FILTERS[name](images), atol=1e-3 if dtype == torch.float32 else 1e-6, rtol=0
    )


@DTYPE
def test_l0_smooth(dtype, photos, device):
    images = photos.to(dtype)
    apart = (l0_smooth(images.to(device)).cpu() - l0_smooth(images)).abs()
    # A gradient at the threshold may be an edge for one and not for the other, and move its region.
    assert (apart > 1 / 255).double().mean() < (0.02 if dtype == torch.float32 else 1e-3)


@DTYPE
@pytest.mark.parametrize("side", [112, 61])
@pytest.mark.parametrize("count", [1, 3])
def test_network_and_its_gradient(dtype, side, count, photos, device):
    rows = torch.stack([identity_parameters(7), smoother_parameters(), smoother_parameters() * 1.01])[:count].to(dtype)
    images = photos[:count, :, :side, :side].to(dtype)
    outputs, gradients = [], []
    for place in (torch.device("cpu"), device):
        parameters = rows.to(place).requires_grad_()
        with full_float32():
            output = fcnn(parameters, images.to(place))
            (gradient,) = torch.autograd.grad(mse_loss(output, images.to(place)), parameters)
        outputs.append(output.detach().cpu())
        gradients.append(gradient.cpu())
    single = dtype == torch.float32
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-4 if single else 1e-10, rtol=0)
    size = torch.linalg.vector_norm(gradients[0], dim=1)
    error = torch.linalg.vector_norm(gradients[1] - gradients[0], dim=1)
    assert (error / size).max() < (1e-3 if single else 1e-9)
