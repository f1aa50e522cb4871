"""Foolbox and torchattacks on a small network, with the same constants."""

import pytest
import torch
import torchattacks
from foolbox.attacks.basic_iterative_method import LinfBasicIterativeAttack
from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
from foolbox.attacks.deepfool import L2DeepFoolAttack
from foolbox.criteria import Misclassification as FoolboxMisclassification
from foolbox.criteria import TargetedMisclassification
from foolbox.models.pytorch import PyTorchModel
from torch import nn

from edgefool.attacks import CW, NFGSM, DeepFool, FromLabels, Misclassification, Targeted


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


CRITERIA = pytest.mark.parametrize("criterion", ["own", "labels", "target"])


def both(criterion, net, images):
    """Return our criterion and Foolbox's; some labels are wrong, and a target is the least likely class."""
    logits = net(images)
    labels = logits.argmax(1)
    if criterion == "own":
        return Misclassification(), FoolboxMisclassification(labels)
    if criterion == "labels":
        labels = torch.where(torch.arange(len(images)) < 2, (labels + 1) % 12, labels)
        return FromLabels(labels), FoolboxMisclassification(labels)
    targets = logits.argmin(1)
    return Targeted(targets), TargetedMisclassification(targets)


@CRITERIA
def test_nfgsm_meets_criteria_as_foolboxs_bim_does(criterion, net, images):
    ours, theirs = both(criterion, net, images)
    result = NFGSM(epsilon=24 / 255, max_iterations=20)(net, images, criterion=ours)
    attack = LinfBasicIterativeAttack(abs_stepsize=1 / 255, steps=20, random_start=False)
    model = PyTorchModel(net, bounds=(0, 1))
    if criterion == "labels":  # Foolbox returns an image that is wrong from the start as it is
        rest = ~result.success_before
        assert rest.tolist() == [False, False, True, True, True, True]
        theirs = FoolboxMisclassification(ours_labels(ours)[rest])
    else:
        rest = torch.ones(len(images), dtype=torch.bool)
        assert not result.success_before.any()
    adversarial, _, success = attack(model, images[rest], theirs, epsilons=24 / 255)
    assert torch.equal(result.success_float[rest], success)
    assert (result.adversarial[rest] - adversarial).abs().max() <= 1 / 255


def ours_labels(criterion):
    return torch.tensor(criterion.classes)[:, 0]


@CRITERIA
def test_cw_meets_criteria_as_foolboxs_does(criterion, net, images):
    ours, theirs = both(criterion, net, images)
    result = CW(max_iterations=40, adam_epsilon=1e-8)(net, images, criterion=ours)
    attack = L2CarliniWagnerAttack(steps=40, stepsize=5e-3, binary_search_steps=5, initial_const=1e-2)
    model = PyTorchModel(net, bounds=(0, 1))
    kind, classes = type(theirs), getattr(theirs, "labels", getattr(theirs, "target_classes", None)).raw
    for row, image in enumerate(images.split(1)):
        adversarial, _, success = attack(model, image, kind(classes[row : row + 1]), epsilons=None)
        assert result.success_float[row] == success
        if success:
            ours_length, their_length = result.details["l2"][row], (adversarial - image).norm()
            assert ours_length <= 1.02 * their_length + 0.02  # theirs is 0 where the label is wrong
