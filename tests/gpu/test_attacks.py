"""Every attack, on one classifier and on an ensemble, finds on a GPU what it finds on a CPU."""

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
    FromLabels,
    RobustEdgeFool,
    SemanticAdv,
    SparseFool,
    Targeted,
)
from edgefool.classifiers import Ensemble

pytestmark = pytest.mark.gpu

ATTACKS = [
    EdgeFool(max_iterations=3),
    RobustEdgeFool(max_iterations=3),
    NFGSM(),
    PFGSM(max_iterations=12),
    DeepFool(max_iterations=6),
    SparseFool(max_iterations=3, border_iterations=5),
    CW(binary_search_steps=2, max_iterations=20),
    SemanticAdv(trials=20),
    Enhance(),
]
OTHERS = [
    EdgeFool(start="identity", max_iterations=3),
    EdgeFool(guide=True, max_iterations=3),
    RobustEdgeFool(mask="none", max_iterations=3),
    NFGSM(early_stop=True),
    SparseFool(max_iterations=2, border_iterations=5, released_solver=True),
]
QUICK = {
    "robust-edgefool": RobustEdgeFool(max_iterations=10),
    "nfgsm": NFGSM(max_iterations=2),
    "pfgsm": PFGSM(max_iterations=2),
    "sparsefool": SparseFool(max_iterations=3),
    "cw": CW(binary_search_steps=2, max_iterations=20),
    "semanticadv": SemanticAdv(trials=40),
}
BY_NAME = {"ids": lambda attack: attack.name}


class Wavy(nn.Module):
    """Smooth, with borders that are no planes; reads the colours of four quarters."""

    def __init__(self, classes=5, seed=3):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("first", 6 * torch.randn(12, 16, generator=generator))
        self.register_buffer("second", torch.randn(16, classes, generator=generator))

    def forward(self, images):
        colours = nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        return (colours @ self.first).sin() @ self.second


def draw(dtype=torch.float32):
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return ((images * 255).round() / 255).to(dtype)


def compare(attack, make, images, device, **options):
    """Attack with both; images may differ by a grey level, and by more in a few values.

    With an L0 filter in float32 in a fiftieth, else in a thousandth: a gradient at its threshold may be an edge for one
    and not for the other, which moves a region. Between float32 and float64 on a CPU a two-hundredth differs.
    """
    here = attack(make(), images, batch_size=4, **options)
    there = attack(make().to(device), images.to(device), batch_size=4, **options)
    assert there.adversarial.device.type == device.type
    assert there.adversarial.dtype == images.dtype
    apart = (there.adversarial.cpu() - here.adversarial).abs() * 255
    smooths = attack.name in ("edgefool", "robust-edgefool", "enhance") and images.dtype == torch.float32
    assert (apart > 1.01).float().mean() <= (0.02 if smooths else 1e-3)
    for field in ("original_class", "adversarial_class", "success", "success_float", "iterations", "lost_gradient"):
        assert torch.equal(getattr(there, field).cpu(), getattr(here, field)), field
    assert there.details.keys() == here.details.keys()


def test_every_attack_is_here():
    assert {attack.name for attack in ATTACKS} == set(METHODS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("attack", [*ATTACKS, *OTHERS], **BY_NAME)
def test_one_classifier(attack, dtype, device):
    compare(attack, lambda: Wavy().to(dtype), draw(dtype), device)


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.takes_ensembles], **BY_NAME)
def test_ensemble(attack, device):
    compare(attack, lambda: Ensemble([Wavy(), Wavy(7, seed=5), Wavy(4, seed=6)]), draw(), device)


@pytest.mark.parametrize("criterion", [Targeted(2), FromLabels([0, 1, 2, 3, 4, 0])], ids=["target", "labels"])
@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.takes_targets], **BY_NAME)
def test_criterion(attack, criterion, device):
    compare(attack, Wavy, draw(), device, criterion=criterion)


@pytest.mark.parametrize("name", METHODS)
def test_real_network(name, photos, networks, device):
    attack = QUICK.get(name, METHODS[name]())
    here, there = (attack(net, photos.to(net._mean.device)) for net in networks)
    assert torch.equal(there.success_float.cpu(), here.success_float)
    # An iteration more or less for round-off, as a small difference grows from step to step. Signs are only two,
    # so it grows faster: with float32 and float64 on a CPU to .01 grey levels in two steps, to 2 in ten.
    levels = 0.05 if name in ("nfgsm", "pfgsm") else 2
    assert (there.adversarial.cpu() - here.adversarial).abs().mean() * 255 < levels
    with torch.no_grad():
        judged = networks[0](there.adversarial.cpu())
    margins = judged.topk(2).values
    clear = margins[:, 0] - margins[:, 1] > 1e-3
    assert torch.equal(judged.argmax(1)[clear], there.adversarial_class.cpu()[clear])


def test_no_image_depends_on_its_batch(photos, networks):
    net, attack = networks[1], EdgeFool()
    images = photos.to(net._mean.device)
    together, alone = attack(net, images, batch_size=3), attack(net, images, batch_size=1)
    assert torch.equal(together.success_float, alone.success_float)
    assert ((together.iterations - alone.iterations).abs() <= 1).all()
