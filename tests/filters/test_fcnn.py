import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from edgefool.filters import FCNN, identity_parameters
from edgefool.filters.fcnn import DILATIONS, MAPS, PARAMETERS


class BatchNormed(nn.Module):
    """Adaptive normalisation as the authors' code has it, by batch normalisation."""

    def __init__(self):
        super().__init__()
        self.w0, self.w1 = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(MAPS, eps=1e-3)

    def forward(self, x):
        return self.w0 * x + self.w1 * self.norm(x)


def authors_network():
    """The network of Sec. 3 for one image at a time."""
    layers = []
    for index, dilation in enumerate(DILATIONS):
        width = 3 if index == 0 else MAPS
        layers += [nn.Conv2d(width, MAPS, 3, padding=dilation, dilation=dilation, bias=False)]
        layers += [BatchNormed(), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(MAPS, 3, 1))


def test_has_the_size_that_the_paper_implies():
    assert PARAMETERS == 32_177 == sum(p.numel() for p in authors_network().parameters())
    assert DILATIONS == (1, 2, 4, 8, 16, 32, 1)


def test_equals_the_authors_network():
    row = 0.3 * torch.randn(PARAMETERS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours, theirs = FCNN().double(), authors_network().double()
    vector_to_parameters(row, ours.parameters())
    vector_to_parameters(row, theirs.parameters())
    for image in torch.rand(2, 1, 3, 20, 17, dtype=torch.float64):
        torch.testing.assert_close(ours(image), theirs(image))


def test_images_in_a_batch_are_normalised_on_their_own():
    net, images = FCNN(), torch.rand(3, 3, 12, 12)
    vector_to_parameters(0.3 * torch.randn(PARAMETERS), net.parameters())
    torch.testing.assert_close(net(images), torch.cat([net(image[None]) for image in images]))


def test_making_one_leaves_the_global_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    FCNN(seed=3)
    assert torch.equal(torch.rand(1), expected)


def test_the_row_of_parameters_is_that_of_the_module():
    assert torch.equal(identity_parameters(3), parameters_to_vector(FCNN(3).parameters()))


def test_the_start_passes_the_image_to_the_last_convolution():
    images = torch.rand(1, 3, 40, 40)
    row = identity_parameters(7)
    last = row[-75:-3].reshape(3, MAPS)
    expected = torch.einsum("om,nmhw->nohw", last[:, :3], images)
    torch.testing.assert_close(FCNN(7)(images), expected, atol=1e-5, rtol=1e-4)
    assert last.abs().max() <= math.sqrt(6 / (MAPS + 3))
    assert last.std() == pytest.approx(math.sqrt(2 / (MAPS + 3)), rel=0.2)


def test_the_start_depends_on_the_seed_alone():
    assert torch.equal(identity_parameters(3), identity_parameters(3))
    assert not torch.equal(identity_parameters(3), identity_parameters(4))
