"""A small network, images, and our attacks as users of other libraries would set them."""

import pytest
import torch
from torch import nn

from edgefool.attacks import (
    CW,
    METHODS,
    NFGSM,
    PFGSM,
    DeepFool,
    EdgeFool,
    Enhance,
    RobustEdgeFool,
    SemanticAdv,
    SparseFool,
)

# Quick ones.
ATTACKS = (
    EdgeFool(max_iterations=2),
    RobustEdgeFool(max_iterations=2),
    NFGSM(),
    PFGSM(max_iterations=3),
    DeepFool(max_iterations=2),
    SparseFool(max_iterations=2, border_iterations=2),
    CW(binary_search_steps=1, max_iterations=5),
    SemanticAdv(trials=5),
    Enhance(),
)
assert {attack.name for attack in ATTACKS} == set(METHODS)


class Normalised(nn.Module):
    """A network behind the usual normalisation."""

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self, net):
        super().__init__()
        self.net = net

    def normalise(self, images):
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std

    def forward(self, images):
        return self.net(self.normalise(images))


@pytest.fixture(params=ATTACKS, ids=lambda attack: attack.name)
def attack(request):
    """Return each of our attacks."""
    return request.param


@pytest.fixture
def net(images):
    """Return a network of seven classes that NFGSM fools."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(54, 7)]
    net = nn.Sequential(*layers).eval()
    net[4].weight.data *= 20
    net[4].bias.data -= net(images).mean(0)  # so that it does not say the same of all images
    return net


@pytest.fixture
def images():
    """Return images with values off the 8-bit grid, from near 0 to near 1."""
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels(net, images):
    """Return what the network says of the images."""
    return net(images).argmax(1)


@pytest.fixture
def normalised(net):
    """Return the network behind the usual normalisation."""
    return Normalised(net)
