"""Folded batch norms: the same logits and gradients, and nothing folded that is not a convolution and its norm."""

import copy
from dataclasses import replace

import pytest
import timm
import torch
from timm.layers import StdConv2d
from torch import nn

from edgefool.attacks import METHODS
from edgefool.classifiers import load_classifier
from edgefool.classifiers.fusion import fold_batch_norms
from edgefool.classifiers.vision import torchvision


def with_statistics(net):
    """Give the norms statistics and weights as after a training."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.running_mean, -0.5, 0.5), (module.running_var, 0.3, 2)):
                tensor.uniform_(low, high, generator=generator)
            if module.affine:
                module.weight.data.uniform_(0.3, 2, generator=generator)
                module.bias.data.uniform_(-0.5, 0.5, generator=generator)
    return net.eval().requires_grad_(False)


def pass_and_gradient(net, images):
    images = images.clone().requires_grad_()
    logits = net(images)
    return logits.detach(), torch.autograd.grad(logits.max(1).values.sum(), images)[0]


def assert_same(net, count, size=64):
    """The net folds so many norms, and its logits and gradients stay what they were."""
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    net = with_statistics(net).double()
    expected = pass_and_gradient(net, images)
    assert fold_batch_norms(net) == count
    for found, wanted in zip(pass_and_gradient(net, images), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9 * float(wanted.abs().max()))
    return net


@pytest.mark.parametrize(
    ("build", "count", "left"),
    [
        (lambda: torchvision.models.resnet18(), 20, 0),
        (lambda: torchvision.models.mobilenet_v3_small(), 34, 0),
        (lambda: torchvision.models.densenet121(), 59, 62),  # the others come before a convolution
        (lambda: timm.create_model("tf_efficientnet_lite0"), 49, 0),
        (lambda: timm.create_model("convnext_atto"), 0, 0),
    ],
    ids=["resnet18", "mobilenet_v3_small", "densenet121", "efficientnet_lite0", "convnext"],
)
def test_logits_and_gradients_stay(build, count, left):
    net = assert_same(build(), count)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in net.modules()) == left


def test_a_bias_and_a_norm_without_weights():
    assert_same(nn.Sequential(nn.Conv2d(3, 4, 3, bias=True), nn.BatchNorm2d(4, affine=False), nn.Flatten()), 1)


class Branches(nn.Module):
    """The result of the first convolution is used twice, the second convolution is, and the third is ordinary."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(4))

    def forward(self, x):
        y = self.first(x)
        y = y + self.norms[0](y)
        y = self.norms[1](self.second(y))
        y = self.norms[2](self.second(y))
        return self.norms[3](self.third(y)).mean((2, 3))


def test_what_is_used_twice_stays():
    net = assert_same(Branches(), 1)
    assert [type(norm).__name__ for norm in net.norms] == [*3 * ["BatchNorm2d"], "Identity"]


def test_other_kinds_of_convolutions_and_norms_stay():
    own = nn.BatchNorm2d(4, track_running_stats=False)
    assert_same(nn.Sequential(StdConv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten()), 0)
    assert fold_batch_norms(nn.Sequential(nn.Conv2d(3, 4, 3), own).eval()) == 0
    assert fold_batch_norms(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)).eval()) == 0


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x):
        return self.net(x).mean((2, 3)) if x.sum() > 0 else x


def test_code_that_depends_on_the_images_stays():
    assert_same(Untraceable(), 0)


def test_memory_format_and_type_stay():
    net = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval().to(torch.float16, memory_format=torch.channels_last)
    )
    fold_batch_norms(net)
    assert net[0].weight.dtype == net[0].bias.dtype == torch.float16
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_classifiers_are_folded_and_keep_their_fingerprint(tmp_path):
    net = with_statistics(torchvision.models.resnet18(num_classes=5))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    classifier = load_classifier("torchvision:resnet18", weights=tmp_path / "net.pt")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in classifier.net.modules())
    plain = copy.deepcopy(classifier)
    plain.net = net
    assert plain._fingerprint() == classifier.fingerprint
    images = torch.rand(2, 3, 50, 40)
    torch.testing.assert_close(classifier(images), plain(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_attacks_end_alike(name):
    """Folded or not, every method succeeds on the same images, after as many steps."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
        net = with_statistics(nn.Sequential(*layers, nn.Linear(128, 6))).double()
    net[-1].weight.data *= 20
    folded = copy.deepcopy(net)
    assert fold_batch_norms(folded) == 1
    images = (torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(1)) * 255).round().double() / 255
    attack = replace(METHODS[name](), **{"semanticadv": {"trials": 20}, "enhance": {}}.get(name, {"max_iterations": 5}))
    plain, other = attack(net, images), attack(folded, images)
    for field in ("original_class", "adversarial_class", "success", "success_float", "converged", "iterations"):
        assert torch.equal(getattr(plain, field), getattr(other, field)), field
    assert (plain.adversarial - other.adversarial).abs().max() < 1.01 / 255
