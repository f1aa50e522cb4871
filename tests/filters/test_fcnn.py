import math

import pytest
import torch
from torch import nn

from edgefool.errors import UsageError
from edgefool.filters import fcnn, identity_parameters
from edgefool.filters.fcnn import DILATIONS, MAPS, PARAMETERS, _grouped, _NormaliseAndActivate, _WideConvolution


class AdaptiveNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w0, self.w1 = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(MAPS, eps=1e-3)

    def forward(self, x):
        return self.w0 * x + self.w1 * self.norm(x)


def reference_network():
    """The network of Sec. 3 from torch's own layers, for one image at a time."""
    layers = []
    for index, dilation in enumerate(DILATIONS):
        width = 3 if index == 0 else MAPS
        layers += [nn.Conv2d(width, MAPS, 3, padding=dilation, dilation=dilation, bias=False)]
        layers += [AdaptiveNorm(), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(MAPS, 3, 1)).double()


def random_parameters(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(count, PARAMETERS, dtype=torch.float64, generator=generator)


def test_has_the_size_that_the_paper_implies():
    assert PARAMETERS == 32_177 == sum(p.numel() for p in reference_network().parameters())
    assert DILATIONS == (1, 2, 4, 8, 16, 32, 1)


@pytest.mark.parametrize("network", [fcnn, _grouped], ids=["one by one", "grouped, as on a GPU"])
def test_equals_torchs_own_layers_forward_and_backward(network):
    parameters, images = random_parameters(3).requires_grad_(), torch.rand(3, 3, 20, 17, dtype=torch.float64)
    structures = network(parameters, images)
    gradient = torch.autograd.grad(structures.square().sum(), parameters)[0]
    net = reference_network()
    for row, image, structure, row_gradient in zip(parameters, images, structures, gradient, strict=True):
        nn.utils.vector_to_parameters(row.detach(), net.parameters())
        net.zero_grad()
        expected = net(image[None])
        expected.square().sum().backward()
        torch.testing.assert_close(structure, expected[0])
        torch.testing.assert_close(row_gradient, torch.cat([p.grad.flatten() for p in net.parameters()]))


def test_single_precision_is_close_to_double():
    parameters, images = random_parameters(1), torch.rand(1, 3, 32, 32, dtype=torch.float64)
    single = fcnn(parameters.float(), images.float())
    torch.testing.assert_close(single.double(), fcnn(parameters, images), rtol=1e-3, atol=1e-3)


def test_gradient_of_normalisation_and_activation():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 4, 5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    vectors = [torch.randn(4, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(_NormaliseAndActivate.apply, (maps, *vectors))


def test_the_start_passes_the_image_to_the_last_convolution():
    images = torch.rand(1, 3, 40, 40)
    row = identity_parameters(7)
    last = row[-75:-3].reshape(3, MAPS)
    expected = torch.einsum("om,nmhw->nohw", last[:, :3], images)
    torch.testing.assert_close(fcnn(row[None], images), expected, atol=1e-5, rtol=1e-4)
    assert last.abs().max() <= math.sqrt(6 / (MAPS + 3))
    assert last.std() == pytest.approx(math.sqrt(2 / (MAPS + 3)), rel=0.2)


def test_the_start_depends_on_the_seed_alone():
    assert torch.equal(identity_parameters(3), identity_parameters(3))
    assert not torch.equal(identity_parameters(3), identity_parameters(4))


def test_neighbours_change_nothing():
    parameters = torch.stack([identity_parameters(seed) for seed in range(4)])
    images = torch.rand(4, 3, 24, 24)
    together = fcnn(parameters, images)
    for index in range(4):
        assert torch.equal(together[index], fcnn(parameters[index : index + 1], images[index : index + 1])[0])


@pytest.mark.parametrize(("rows", "shape"), [(1, (2, 3, 8, 8)), (1, (1, 1, 8, 8)), (2, (3, 8, 8))])
def test_refuses_shapes_that_do_not_fit(rows, shape):
    with pytest.raises(UsageError):
        fcnn(torch.zeros(rows, PARAMETERS), torch.rand(shape))


def test_gradient_of_the_wide_convolution_at_an_odd_width():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 2, 5, 7, dtype=torch.float64, generator=generator).requires_grad_()
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(_WideConvolution.apply, (maps, weight, 2))
    assert torch.autograd.gradcheck(_WideConvolution.apply, (maps, weight, 4))
