"""Our attacks called as those of torchattacks are."""

import warnings

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from edgefool.adapters.from_torchattacks import Torchattacks
from edgefool.attacks import NFGSM, DeepFool, FromLabels, Misclassification, Targeted
from edgefool.errors import ClassifierWarning, UsageError

if Torchattacks().version() is None:
    pytest.skip("torchattacks is not installed", allow_module_level=True)
torchattacks = Torchattacks().load()

from edgefool.adapters.torchattacks import TorchattacksAttack  # noqa: E402

STRONG = NFGSM(epsilon=0.5, alpha=0.05)


def test_every_method_gives_what_a_direct_call_gives(attack, net, images, labels):
    atk = TorchattacksAttack(net, attack)
    assert isinstance(atk, torchattacks.attack.Attack)
    assert torch.equal(atk(images, labels), attack(net, images, criterion=FromLabels(labels)).adversarial)


def test_without_labels_the_models_own_decisions_are_left(net, images):
    direct = NFGSM()(net, images, criterion=Misclassification())
    assert torch.equal(TorchattacksAttack(net, NFGSM())(images, None), direct.adversarial)


def test_targeted_modes(net, images, labels):
    atk, targets = TorchattacksAttack(net, STRONG), (labels + 1) % 7
    direct = STRONG(net, images, criterion=Targeted(targets)).adversarial
    assert (net(direct).argmax(1) == targets).any()
    atk.set_mode_targeted_by_function(lambda images, labels: (labels + 1) % 7)
    assert torch.equal(atk(images, labels), direct)
    atk.set_mode_targeted_by_label(quiet=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # labels are no labels here
        assert torch.equal(atk(images, targets), direct)
    with pytest.raises(UsageError, match="by label needs labels"):
        atk(images, None)
    atk.set_mode_targeted_least_likely()
    least = STRONG(net, images, criterion=Targeted(net(images).argmin(1))).adversarial
    assert torch.equal(atk(images, labels), least)
    atk.set_mode_default()
    assert torch.equal(atk(images, labels), STRONG(net, images, criterion=FromLabels(labels)).adversarial)


@pytest.mark.parametrize("mode", ["by_label", "random", "least_likely"])
def test_an_attack_that_cannot_be_targeted_refuses(net, mode):
    with pytest.raises(ValueError, match="Targeted mode is not supported"):
        getattr(TorchattacksAttack(net, DeepFool()), f"set_mode_targeted_{mode}")()


def test_normalised_images(net, images, normalised):
    atk = TorchattacksAttack(net, NFGSM())
    atk.set_normalization_used(mean=normalised.mean, std=normalised.std)
    labels = normalised(images).argmax(1)
    adversarial = atk(normalised.normalise(images), labels)
    direct = NFGSM()(normalised, images, criterion=FromLabels(labels))
    torch.testing.assert_close(adversarial, normalised.normalise(direct.adversarial), rtol=0, atol=1e-5)


def test_wrong_input_is_refused_or_noticed(net, images, labels, normalised):
    atk = TorchattacksAttack(net, NFGSM())
    with pytest.raises(UsageError, match=r"must lie in \[0, 1\].* normalised before the attack"):
        atk(normalised.normalise(images), labels)
    with pytest.warns(ClassifierWarning, match="gets 0 of 4 labels right"):
        atk(images, (labels + 1) % 7)
    with pytest.raises(UsageError, match="eval mode only"):
        atk.set_model_training_mode(True)


def test_the_rest_of_the_library_works_with_it(net, images, labels, tmp_path):
    atk = TorchattacksAttack(net, NFGSM())
    direct = atk(images, labels)
    atk.set_return_type("int")
    assert torch.equal(atk(images, labels), (direct * 255).round().byte())
    atk.set_return_type("float")
    assert "nfgsm(" in repr(atk)
    loader = DataLoader(TensorDataset(images, labels), batch_size=2)
    accuracy, _, _ = atk.save(loader, tmp_path / "adv.pt", verbose=False, return_verbose=True)
    assert accuracy == 100 * (net(direct).argmax(1) == labels).float().mean()
    both = torchattacks.MultiAttack([torchattacks.VANILA(net), atk])
    assert torch.equal(net(both(images, labels)).argmax(1) == labels, net(direct).argmax(1) == labels)
