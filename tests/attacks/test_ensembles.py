"""Attacks on ensembles, and with criteria other than the default."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgefool.attacks import (
    CW,
    METHODS,
    NFGSM,
    PFGSM,
    ActiveBatch,
    DeepFool,
    EdgeFool,
    Enhance,
    FromLabels,
    Misclassification,
    RobustEdgeFool,
    Sample,
    SemanticAdv,
    SparseFool,
    Targeted,
)
from edgefool.classifiers import Ensemble
from edgefool.errors import UsageError, describe_failure

ON_ENSEMBLES = {
    "edgefool": EdgeFool(max_iterations=4),
    "robust-edgefool": RobustEdgeFool(max_iterations=4, mask="none"),
    "nfgsm": NFGSM(epsilon=24 / 255),
    "pfgsm": PFGSM(epsilon=24 / 255, max_iterations=30),
    "cw": CW(binary_search_steps=3, max_iterations=40),
    "semanticadv": SemanticAdv(trials=40),
    "enhance": Enhance(),
}
LONGER = ON_ENSEMBLES | {
    "edgefool": EdgeFool(max_iterations=20),
    "robust-edgefool": RobustEdgeFool(max_iterations=80, mask="none", transform_probability=0, blocks=1),
}
TARGETED = ("edgefool", "robust-edgefool", "nfgsm", "pfgsm", "cw")
ON_ENSEMBLE = pytest.mark.parametrize("attack", ON_ENSEMBLES.values(), ids=ON_ENSEMBLES.keys())
SHARED = ("adversarial", "success", "success_float", "iterations", "forward_passes", "backward_passes", "converged")


class Colours(nn.Module):
    """Smooth, of any number of classes; reads the colours of four quarters."""

    def __init__(self, classes, seed=3):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("first", 6 * torch.randn(12, 16, generator=generator))
        self.register_buffer("second", torch.randn(16, classes, generator=generator))

    def forward(self, images):
        return (F.adaptive_avg_pool2d(images, 2).flatten(1) @ self.first).sin() @ self.second


def images(count=6, size=16):
    return (torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255).round() / 255


@pytest.fixture
def ensemble():
    return Ensemble([Colours(5), Colours(7, seed=4)])


@ON_ENSEMBLE
def test_success_is_that_every_member_is_fooled(attack, ensemble):
    result = attack(ensemble, images(), batch_size=4)
    before, after = ensemble.classes(images()), ensemble.classes(result.adversarial)
    assert torch.equal(result.original_class, before)
    assert torch.equal(result.adversarial_class, after)
    assert torch.equal(result.success, (before != after).all(1))
    assert [logits.shape for logits in result.logits] == [(6, 5), (6, 7)]
    for logits, member in zip(result.logits, ensemble.members, strict=True):
        torch.testing.assert_close(logits, member(result.adversarial))


@pytest.mark.parametrize("name", TARGETED)
def test_attacks_fool_all_members_at_once(name, ensemble):
    """Those that follow gradients do so for more images than by attacking the first member alone."""
    attack = LONGER[name]
    together = attack(ensemble, images(), batch_size=6)
    alone = attack(ensemble.members[0], images(), batch_size=6)
    by_chance = (ensemble.classes(alone.adversarial) != together.original_class).all(1)
    assert together.success.sum() > by_chance.sum()


@ON_ENSEMBLE
def test_an_ensemble_of_one_is_the_classifier(attack):
    single, one = attack(Colours(5), images()), attack(Ensemble([Colours(5)]), images())
    for field in SHARED:
        assert torch.equal(getattr(one, field), getattr(single, field)), field
    assert torch.equal(one.original_class, single.original_class[:, None])


@ON_ENSEMBLE
def test_other_images_change_nothing(attack, ensemble):
    together = attack(ensemble, images(), batch_size=6)
    order = [5, 3, 0, 4, 2, 1]
    other = attack(ensemble, images()[order], seeds=order, batch_size=2)
    assert (other.adversarial - together.adversarial[order]).abs().max() <= 1.01 / 255
    assert torch.equal(other.iterations, together.iterations[order])


@pytest.mark.parametrize("attack", [DeepFool(), SparseFool()], ids=["deepfool", "sparsefool"])
def test_methods_for_one_classifier_refuse_ensembles_by_name(attack, ensemble):
    with pytest.raises(UsageError, match=f"^{attack.name} attacks one classifier, not an ensemble$"):
        attack(ensemble, images())


def test_nfgsm_follows_the_mean_of_the_members_losses(ensemble):
    x = images().requires_grad_()
    losses = [F.cross_entropy(member(x), member(x).argmax(1), reduction="none") for member in ensemble.members]
    (gradient,) = torch.autograd.grad(sum(losses).sum(), x)
    expected = (images() + 2 / 255 * gradient.sign()).clamp(0, 1)
    result = NFGSM(epsilon=2 / 255, alpha=2 / 255, max_iterations=1)(ensemble, images())
    torch.testing.assert_close(result.adversarial, expected, atol=1e-6, rtol=0)


def test_pfgsm_draws_an_unlikely_class_for_each_member(ensemble):
    many = images(64)
    targets = PFGSM(sigma=0.5, max_iterations=1)(ensemble, many).details["target"]
    assert targets.shape == (64, 2)
    for column, member in zip(targets.T, ensemble.members, strict=True):
        logits = member(many)
        assert (column != logits.argmax(1)).all()
        assert len(column.unique()) == logits.shape[1]  # each class is drawn for some image
    alone = PFGSM(sigma=0.5, max_iterations=1)(ensemble.members[0], many).details["target"]
    assert torch.equal(targets[:, 0], alone)
    pairs = zip(targets.T, ensemble.members, strict=True)
    ranks = [member(many).argsort(1).argsort(1).gather(1, column[:, None])[:, 0] for column, member in pairs]
    assert not torch.equal(*ranks)  # the draws are independent


def test_the_network_is_as_it_was_afterwards(ensemble):
    ensemble.members[0].add_module("drop", nn.Dropout())
    ensemble.train()
    NFGSM()(ensemble, images())
    assert ensemble.members[0].training
    assert ensemble.members[0].drop.training


@pytest.mark.parametrize("name", TARGETED)
@pytest.mark.parametrize("on_ensemble", [False, True])
def test_targets_are_reached(name, on_ensemble, ensemble):
    attack = LONGER[name]
    victim = ensemble if on_ensemble else ensemble.members[0]
    second = torch.stack([member(images()).topk(2).indices[:, 1] for member in ensemble.members], 1)  # the second best
    targets = second if on_ensemble else second[:, 0]
    result = attack(victim, images(), criterion=Targeted(targets), batch_size=6)
    reached = result.adversarial_class == targets
    assert torch.equal(result.success, reached.all(1) if on_ensemble else reached)
    assert result.success.sum() >= (1 if on_ensemble and "edgefool" in name else 3)
    if name == "pfgsm":
        assert torch.equal(result.details["target"], targets)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - set(TARGETED)))
def test_other_methods_refuse_targets_by_name(name):
    with pytest.raises(UsageError, match=f"^{name} cannot be targeted$"):
        METHODS[name]()(Colours(5), images(), criterion=Targeted(1))


@pytest.mark.parametrize("name", METHODS)
def test_from_labels_that_are_right_is_the_default(name):
    quick = {**ON_ENSEMBLES, "deepfool": DeepFool(), "sparsefool": SparseFool(max_iterations=5)}[name]
    classifier = Colours(5)
    default = quick(classifier, images(), criterion=Misclassification())
    labelled = quick(classifier, images(), criterion=FromLabels(classifier(images()).argmax(1)))
    for field in SHARED:
        assert torch.equal(getattr(labelled, field), getattr(default, field)), field
    assert not labelled.success_before.any()


@pytest.mark.parametrize("name", METHODS)
def test_images_that_are_wrong_from_the_start_stay_wrong_and_are_counted_apart(name):
    quick = {**ON_ENSEMBLES, "deepfool": DeepFool(), "sparsefool": SparseFool(max_iterations=5)}[name]
    classifier = Colours(5)
    labels = classifier(images()).argmax(1)
    labels[:3] = (labels[:3] + 1) % 5
    result = quick(classifier, images(), criterion=FromLabels(labels))
    assert result.success_before.tolist() == [True] * 3 + [False] * 3
    assert torch.equal(result.success, classifier(result.adversarial).argmax(1) != labels)
    if name not in ("enhance", "nfgsm"):  # these do not look where they go
        assert result.success[:3].all()
    if name == "deepfool":
        assert torch.equal(result.adversarial[:3], images()[:3])


def test_images_of_one_batch_may_have_other_criteria():
    classifier = Colours(5)
    target = int(classifier(images(1)).argmin())
    batch = ActiveBatch(NFGSM(epsilon=24 / 255), classifier)
    image = images(1)[0]
    batch.admit([Sample(image, 0, "away"), Sample(image, 0, "towards", Targeted(target))])
    results = {}
    while len(batch):
        results |= dict(batch.step())
    alone = NFGSM(epsilon=24 / 255)(classifier, images(1))
    assert torch.equal(results["away"].adversarial, alone.adversarial)
    assert results["towards"].adversarial_class.item() == target


def test_classes_that_do_not_exist_are_refused(ensemble):
    with pytest.raises(UsageError, match="class 5 is not one of the classes 0 to 4"):
        NFGSM()(ensemble, images(), criterion=Targeted(5))
    with pytest.raises(UsageError, match="classes of 2 images, not of 6"):
        NFGSM()(ensemble, images(), criterion=FromLabels([1, 2]))


class Spoilt(Colours):
    """Does something to its logits."""

    name = "the spoilt one"

    def __init__(self, spoil):
        super().__init__(5)
        self.spoil = spoil

    def forward(self, images):
        return self.spoil(super().forward(images))


def fail(logits):
    raise ValueError("no such layer\nat all")


@ON_ENSEMBLE
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (fail, "no such layer (in the spoilt one)"),
        (lambda logits: logits[:, 0], "the spoilt one must return logits (N, D) of at least two classes, not "),
        (lambda logits: logits / 0, "the logits of the spoilt one for the original image are not finite numbers"),
    ],
)
def test_a_member_that_fails_is_named(attack, spoil, message):
    with pytest.raises((ValueError, UsageError)) as caught:
        attack(Ensemble([Colours(7), Spoilt(spoil)]), images(2))
    assert describe_failure(caught.value).startswith(message)
