"""Our attacks called as foolbox's are, by what foolbox's own tests ask of an attack."""

import warnings

import pytest
import torch
from torch import nn

from edgefool.attacks import NFGSM, DeepFool, EdgeFool, FromLabels, Targeted
from edgefool.errors import ClassifierWarning, UsageError

foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed")
eagerpy = pytest.importorskip("eagerpy", reason="foolbox is not installed")

from edgefool.adapters.foolbox import FoolboxAttack, to_classifier  # noqa: E402


@pytest.fixture
def fmodel(net):
    return foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")


def test_every_method_gives_what_a_direct_call_gives(attack, fmodel, net, images, labels):
    raw, clipped, is_adv = FoolboxAttack(attack)(fmodel, images, labels, epsilons=None)
    direct = attack(net, images, criterion=FromLabels(labels))
    assert torch.equal(raw, direct.adversarial)
    assert torch.equal(clipped, direct.adversarial)
    assert torch.equal(is_adv, direct.success)


def test_untargeted_attacks(fmodel, images, labels):
    """As foolbox's test_untargeted_attacks."""
    attack = FoolboxAttack(NFGSM())
    assert foolbox.accuracy(fmodel, images, labels) == 1
    advs, _, is_adv = attack(fmodel, images, foolbox.Misclassification(labels), epsilons=None)
    assert foolbox.accuracy(fmodel, advs, labels) == 1 - is_adv.float().mean() < 1
    assert is_adv.dtype == torch.bool
    assert is_adv.shape == (4,)


def test_targeted_attacks(fmodel, net, images, labels):
    """As foolbox's test_targeted_attacks."""
    targets = (labels + 1) % 7
    criterion = foolbox.TargetedMisclassification(targets)
    advs, _, is_adv = FoolboxAttack(NFGSM(epsilon=0.5, alpha=0.05))(fmodel, images, criterion, epsilons=None)
    assert is_adv.any()
    assert torch.equal(net(advs).argmax(1) == targets, is_adv)
    direct = NFGSM(epsilon=0.5, alpha=0.05)(net, images, criterion=Targeted(targets))
    assert torch.equal(advs, direct.adversarial)
    with pytest.raises(UsageError, match="deepfool cannot be targeted"):
        FoolboxAttack(DeepFool())(fmodel, images, criterion, epsilons=None)


def test_bounds(fmodel, images, labels):
    """As foolbox's test_model_bounds, which expects AssertionErrors."""
    for inputs in (images * 0 - 0.1, images * 0 + 1.1):
        for error in (AssertionError, UsageError):
            with pytest.raises(error, match=r"must lie in \[0, 1\]"):
                FoolboxAttack(NFGSM())(fmodel, inputs, labels, epsilons=None)
    images[0, 0, 0, 0] = 1 + 1e-7
    FoolboxAttack(NFGSM())(fmodel, images, labels, epsilons=None)


def test_epsilons_clip_the_perturbation_and_decide_success_on_what_is_left(fmodel, net, images, labels):
    attack = FoolboxAttack(NFGSM(), distance=foolbox.distances.linf)
    raw, clipped, is_adv = attack(fmodel, images, labels, epsilons=[1e-6, 4 / 255, None])
    assert len(raw) == len(clipped) == 3
    assert is_adv.shape == (3, 4)
    for bound, one, success in zip((1e-6, 4 / 255), clipped[:2], is_adv[:2], strict=True):
        assert (one - images).abs().max() <= bound + 1e-6
        assert torch.equal(net(one).argmax(1) != labels, success)
    assert torch.equal(clipped[2], raw[2])
    assert not is_adv[0].any()
    assert is_adv[2].any()
    single = attack(fmodel, images, labels, epsilons=4 / 255)
    assert torch.equal(single[1], clipped[1])


def test_what_cannot_be_honoured_is_refused(fmodel, images, labels):
    attack, criterion = FoolboxAttack(NFGSM()), foolbox.Misclassification(labels)
    for epsilons in (0.1, [None, 0.1]):
        with pytest.raises(UsageError, match="epsilons need a distance"):
            attack(fmodel, images, criterion, epsilons=epsilons)
    with pytest.raises(UsageError, match="the criterion must be Misclassification or TargetedMisclassification"):
        attack(fmodel, images, criterion & criterion, epsilons=None)
    with pytest.raises(UsageError, match=r"must be a foolbox\.PyTorchModel, not a TransformBoundsWrapper"):
        attack(fmodel.transform_bounds((0, 2), wrapper=True), images, criterion, epsilons=None)
    with pytest.raises(TypeError, match="unexpected keyword argument 'starting_points'"):
        attack(fmodel, images, criterion, epsilons=None, starting_points=images)
    with pytest.raises(UsageError, match="classes of 3 images, not of 4"):
        attack(fmodel, images, labels[:3], epsilons=None)


@pytest.mark.parametrize("bounds", [(0, 255), (-1, 1)])
def test_other_bounds_give_the_same_image(net, images, labels, bounds):
    low, high = bounds
    scaling = {"mean": float(low), "std": float(high - low)}
    scaled = foolbox.PyTorchModel(net, bounds=bounds, device="cpu", preprocessing=scaling)
    raw, _, is_adv = FoolboxAttack(NFGSM())(scaled, images * (high - low) + low, labels, epsilons=None)
    direct = NFGSM()(net, images, criterion=FromLabels(labels))
    levels = (raw - low) / (high - low) * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert ((levels.round() - direct.adversarial * 255).abs() > 0.5).float().mean() < 0.01, "signs of tiny gradients"
    assert torch.equal(is_adv, direct.success)


def test_eagerpy_tensors_seeds_and_repetition(fmodel, images, labels):
    attack = FoolboxAttack(EdgeFool(max_iterations=2), distance=foolbox.distances.l2)
    raw = attack(fmodel, images, labels, epsilons=None)[0]
    inputs, classes = eagerpy.astensors(images, labels)
    again, _, is_adv = attack.repeat(2)(fmodel, inputs, classes, epsilons=None)
    assert isinstance(again, eagerpy.PyTorchTensor)
    assert isinstance(is_adv, eagerpy.PyTorchTensor)
    assert torch.equal(again.raw, raw)
    assert torch.equal(attack(fmodel, images, labels, epsilons=None, seeds=range(4))[0], raw)


def test_the_network_stays_as_it_was(fmodel, net, images, labels):
    net.train()
    FoolboxAttack(NFGSM())(fmodel, images, labels, epsilons=None)
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_normalisation_twice_is_noticed(net, images, normalised):
    labels = normalised(images).argmax(1)
    preprocessing = {"mean": list(normalised.mean), "std": list(normalised.std), "axis": -3}
    once = foolbox.PyTorchModel(
        net, (0, 1), "cpu", {k: torch.tensor(v) if k != "axis" else v for k, v in preprocessing.items()}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw, _, _ = FoolboxAttack(NFGSM())(once, images, labels, epsilons=None)
    assert torch.equal(raw, NFGSM()(normalised, images, criterion=FromLabels(labels)).adversarial)
    wrong = (labels + 1) % 7
    with pytest.warns(ClassifierWarning, match="normalised twice or not at all"):
        FoolboxAttack(NFGSM())(once, images, wrong, epsilons=None)


# Classifiers


def test_a_model_becomes_a_classifier(net, images):
    preprocessing = {"mean": 0.5, "std": 0.25, "flip_axis": -3}
    fmodel = foolbox.PyTorchModel(net, bounds=(-1, 1), device="cpu", preprocessing=preprocessing)
    classifier = to_classifier(fmodel, name="mine", classes=list("abcdefg"))
    torch.testing.assert_close(classifier(images), fmodel(2 * images - 1))
    assert (classifier.name, classifier.classes, classifier.training) == ("mine", tuple("abcdefg"), False)
    result = NFGSM()(classifier, images)
    assert result.success.any()


def test_fingerprints_tell_preprocessing_and_weights_apart(net):
    def fingerprint(bounds=(0, 1), **preprocessing):
        return to_classifier(foolbox.PyTorchModel(net, bounds, "cpu", preprocessing)).fingerprint

    first = fingerprint()
    prints = [first, fingerprint((0, 255)), fingerprint(mean=0.5), fingerprint(std=0.5), fingerprint(flip_axis=-3)]
    assert len(set(prints)) == 5
    assert fingerprint() == first
    net[4].weight.data *= 2
    assert fingerprint() != first


def test_a_model_that_is_no_classifier_is_refused(fmodel):
    with pytest.raises(UsageError, match="has 7 classes, but there are 2 names"):
        to_classifier(fmodel, classes=["cat", "dog"])
    with pytest.raises(UsageError, match=r"must be a foolbox\.PyTorchModel, not a Sequential"):
        to_classifier(nn.Sequential())
