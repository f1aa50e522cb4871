import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from edgefool.errors import UsageError
from edgefool.filters import FCNN, fcnn, identity_parameters
from edgefool.filters._fcnn_cpu import NormaliseAndActivate, WideConvolution, grouped
from edgefool.filters.fcnn import PARAMETERS


def random_parameters(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(count, PARAMETERS, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("network", [fcnn, grouped], ids=["one by one", "grouped, as on a GPU"])
def test_equals_the_module_forward_and_backward(network):
    parameters, images = random_parameters(3).requires_grad_(), torch.rand(3, 3, 20, 17, dtype=torch.float64)
    structures = network(parameters, images)
    gradient = torch.autograd.grad(structures.square().sum(), parameters)[0]
    net = FCNN().double()
    for row, image, structure, row_gradient in zip(parameters, images, structures, gradient, strict=True):
        vector_to_parameters(row.detach(), net.parameters())
        net.zero_grad()
        expected = net(image[None])
        expected.square().sum().backward()
        torch.testing.assert_close(structure, expected[0])
        torch.testing.assert_close(row_gradient, parameters_to_vector(p.grad for p in net.parameters()))


def test_single_precision_is_close_to_double():
    parameters, images = random_parameters(1), torch.rand(1, 3, 32, 32, dtype=torch.float64)
    single = fcnn(parameters.float(), images.float())
    torch.testing.assert_close(single.double(), fcnn(parameters, images), rtol=1e-3, atol=1e-3)


def test_gradient_of_normalisation_and_activation():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 4, 5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    vectors = [torch.randn(4, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(NormaliseAndActivate.apply, (maps, *vectors))


def test_other_images_in_the_batch_change_nothing():
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
    assert torch.autograd.gradcheck(WideConvolution.apply, (maps, weight, 2))
    assert torch.autograd.gradcheck(WideConvolution.apply, (maps, weight, 4))


@pytest.mark.parametrize("count", [1, 2])
def test_saving_memory_changes_neither_structures_nor_gradients(count):
    images = torch.rand(count, 3, 40, 37, generator=torch.Generator().manual_seed(0))
    rows = torch.stack([identity_parameters(seed) for seed in range(count)])
    found = []
    for save_memory in (False, True):
        parameters = rows.clone().requires_grad_()
        structures = fcnn(parameters, images, save_memory=save_memory)
        (gradients,) = torch.autograd.grad(structures.square().sum(), parameters)
        found.append((structures, gradients))
    for plain, saved in zip(*found, strict=True):
        assert torch.equal(plain, saved)
