"""Foolbox and torchattacks on a small network, with the same constants."""

import pytest
import torch
import torchattacks
from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
from foolbox.attacks.deepfool import L2DeepFoolAttack
from foolbox.models.pytorch import PyTorchModel
from torch import nn

from edgefool.attacks import CW, NFGSM, DeepFool


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(128, 12)]
    net = nn.Sequential(*layers).eval().requires_grad_(False)
    net[4].weight *= 8
    return net


@pytest.fixture(scope="module")
def images():
    return 0.2 + 0.6 * torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_nfgsm_is_torchattacks_bim(net, images, attack_floats):
    bim = torchattacks.BIM(net, eps=8 / 255, alpha=1 / 255, steps=10)
    theirs = bim(images, net(images).argmax(1))
    assert (attack_floats(NFGSM(), net, images)[0] - theirs).abs().max() < 1 / 255


def test_deepfool_is_foolboxs(net, images, attack_floats):
    attack = L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02)
    theirs, _, success = attack(PyTorchModel(net, bounds=(0, 1)), images, net(images).argmax(1), epsilons=None)
    assert success.all()
    torch.testing.assert_close(attack_floats(DeepFool(), net, images)[0], theirs, atol=1e-4, rtol=0)


def test_cw_is_foolboxs(net, images, attack_floats):
    """One image at a time, as theirs stops a batch by the sum of its losses; Adam's ε as theirs."""
    ours, _ = attack_floats(CW(max_iterations=40, adam_epsilon=1e-8), net, images)
    attack = L2CarliniWagnerAttack(steps=40, stepsize=5e-3, binary_search_steps=5, initial_const=1e-2)
    model = PyTorchModel(net, bounds=(0, 1))
    for image, mine in zip(images.split(1), ours, strict=True):
        theirs, _, success = attack(model, image, net(image).argmax(1), epsilons=None)
        assert success.all()
        lengths = (mine - image[0]).norm(), (theirs - image).norm()
        assert lengths[0] <= 1.02 * lengths[1]
