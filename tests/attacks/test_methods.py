"""What every method promises, whatever it does."""

import math

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
    make_attack,
)
from edgefool.errors import UsageError

# Quick ones, by their names.
ATTACKS = {
    "edgefool": EdgeFool(max_iterations=3),
    "robust-edgefool": RobustEdgeFool(max_iterations=3),
    "nfgsm": NFGSM(),
    "pfgsm": PFGSM(max_iterations=12),
    "deepfool": DeepFool(max_iterations=6),
    "sparsefool": SparseFool(max_iterations=3, border_iterations=5),
    "cw": CW(binary_search_steps=2, max_iterations=20),
    "semanticadv": SemanticAdv(trials=20),
    "enhance": Enhance(),
}
METHOD = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
# Those that follow the classifier's gradient alone.
BY_GRADIENT = pytest.mark.parametrize(
    "attack", [ATTACKS[name] for name in ("nfgsm", "pfgsm", "deepfool", "sparsefool", "cw")]
)


class Wavy(nn.Module):
    """Smooth, with borders that are no planes; reads the colours of four quarters."""

    def __init__(self, classes=5):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.register_buffer("first", 6 * torch.randn(12, 16, generator=generator))
        self.register_buffer("second", torch.randn(16, classes, generator=generator))

    def forward(self, images):
        colours = nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        return (colours @ self.first).sin() @ self.second


class Constant(nn.Module):
    """Says the same of every image; ``attached`` if its logits belong to a graph."""

    def __init__(self, attached):
        super().__init__()
        self.attached = attached

    def forward(self, images):
        logits = images.new_tensor([1.0, 3.0, 2.0]).expand(len(images), 3)
        return logits + 0 * images.sum((1, 2, 3))[:, None] if self.attached else logits


class BreaksAt(Wavy):
    """Has no finite gradient where the first value of an image is near 0."""

    def forward(self, images):
        first = images[:, 0, 0, 0]
        root = (first * (first > 0.002)).sqrt()  # of infinite slope at 0, times 0
        return super().forward(images) + 1e-3 * root[:, None]


def images(count=6, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 3, size, size, generator=generator) * 254 + 1).round() / 255


def test_every_method_is_tested():
    assert ATTACKS.keys() == METHODS.keys()
    for name, attack in ATTACKS.items():
        assert attack.name == name
        assert type(attack) is METHODS[name]


@METHOD
def test_results_are_on_the_8_bit_grid_and_judged_there(attack):
    classifier = Wavy()
    result = attack(classifier, images(), batch_size=4)
    levels = result.adversarial * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert result.adversarial.aminmax().min >= 0
    assert result.adversarial.aminmax().max <= 1
    assert torch.equal(result.original_class, classifier(images()).argmax(1))
    assert torch.equal(result.adversarial_class, classifier(result.adversarial).argmax(1))
    assert torch.equal(result.success, result.adversarial_class != result.original_class)
    assert (result.iterations >= 1).all()
    assert not result.lost_gradient.any()


@METHOD
def test_forward_passes_are_the_classifiers(attack):
    class Counting(Wavy):
        calls = 0

        def forward(self, images):
            self.calls += len(images)
            return super().forward(images)

    classifier = Counting()
    result = attack(classifier, images(), batch_size=4)
    assert result.forward_passes.sum() == classifier.calls


@METHOD
def test_other_images_order_and_batch_size_change_nothing(attack):
    classifier, photos, seeds = Wavy(), images(), [7, 1, 5, 2, 9, 4]
    together = attack(classifier, photos, seeds=seeds, batch_size=6)
    for order, batch_size in [([0, 1, 2, 3, 4, 5], 1), ([5, 3, 0, 4, 2, 1], 4)]:
        other = attack(classifier, photos[order], seeds=[seeds[i] for i in order], batch_size=batch_size)
        # Within a level: rounding to 8 bits may go either way.
        assert (other.adversarial - together.adversarial[order]).abs().max() <= 1.01 / 255
        for field in ("success_float", "converged", "iterations", "backward_passes", "original_class"):
            assert torch.equal(getattr(other, field), getattr(together, field)[order]), field


@METHOD
def test_the_seed_alone_decides(attack):
    first, second = (attack(Wavy(), images(), seeds=range(6), batch_size=6).adversarial for _ in range(2))
    assert torch.equal(first, second)


@METHOD
def test_two_classes(attack):
    result = attack(Wavy(classes=2), images(), batch_size=6)
    assert set(result.adversarial_class.tolist()) <= {0, 1}


@METHOD
@pytest.mark.parametrize("attached", [True, False])
def test_a_constant_classifier_is_a_failure(attack, attached):
    result = attack(Constant(attached), images(2), batch_size=2)
    assert not result.success.any()
    assert not result.success_float.any()
    assert result.adversarial_class.tolist() == [1, 1]
    limit = getattr(attack, "max_iterations", None)
    if limit and attack.name != "cw":  # which stops where the loss no longer falls
        assert result.iterations.tolist() == [limit, limit]


@BY_GRADIENT
def test_no_gradient_is_reported(attack):
    result = attack(Constant(attached=True), images(2), batch_size=2)
    assert result.lost_gradient.all()
    assert result.adversarial.isfinite().all()


@BY_GRADIENT
def test_a_gradient_that_is_not_finite_is_reported_and_the_others_go_on(attack):
    photos = images(4)
    photos[:, 0, 0, 0] = 1.0
    photos[1, 0, 0, 0] = 0.0
    result = attack(BreaksAt(), photos, batch_size=4)
    assert result.lost_gradient.tolist() == [False, True, False, False]
    assert not result.success[1]
    assert torch.equal(result.adversarial[1], photos[1])
    others = [0, 2, 3]
    alone = attack(BreaksAt(), photos[others], seeds=others, batch_size=1)
    assert (result.adversarial[others] - alone.adversarial).abs().max() <= 1.01 / 255
    assert torch.equal(result.iterations[others], alone.iterations)


@METHOD
@pytest.mark.parametrize("factor", [255, -1, math.nan])
def test_images_out_of_range_are_refused(attack, factor):
    with pytest.raises(UsageError, match="must lie in"):
        attack(Wavy(), images() * factor)


@METHOD
def test_double_precision(attack):
    result = attack(Wavy().double(), images(2).double())
    assert result.adversarial.dtype == torch.float64


@METHOD
def test_constants_survive_the_plan(attack):
    """What `--set` and a plan say as text is the attack that they say."""
    import dataclasses

    constants = {name: str(value) for name, value in dataclasses.asdict(attack).items()}
    assert make_attack(attack.name, constants) == attack


@pytest.mark.parametrize(
    ("method", "bad"),
    [
        ("nfgsm", {"epsilon": 0}),
        ("nfgsm", {"epsilon": 8}),
        ("nfgsm", {"alpha": "fast"}),
        ("nfgsm", {"max_iterations": 0}),
        ("pfgsm", {"sigma": 1}),
        ("pfgsm", {"target_probability": 1}),
        ("deepfool", {"candidates": 1}),
        ("deepfool", {"overshoot": math.inf}),
        ("deepfool", {"space": "lab"}),
        ("sparsefool", {"lam": 0.5}),
        ("cw", {"initial_const": 0}),
        ("cw", {"confidence": -1}),
        ("semanticadv", {"trials": 0}),
        ("robust-edgefool", {"strength": 0}),
        ("robust-edgefool", {"strength": "faint"}),
        ("robust-edgefool", {"aim": "species"}),
        ("robust-edgefool", {"momentum": 1}),
        ("robust-edgefool", {"min_crop": 0}),
        ("enhance", {"v1": 101}),
    ],
)
def test_values_out_of_range_are_refused(method, bad):
    with pytest.raises(UsageError, match=f"{method}: {next(iter(bad))}="):
        make_attack(method, bad)
