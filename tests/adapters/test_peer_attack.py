"""Attacks of other libraries as methods, against the libraries called directly."""

import random
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn

from edgefool.adapters import LIBRARIES, PeerAttack, make_peer_attack
from edgefool.attacks import FromLabels, Targeted, attack_from_settings, make_attack, settings
from edgefool.classifiers import Ensemble
from edgefool.errors import UsageError
from edgefool.images import round_to_8_bits

SEEDS = [11, 2**62 + 1, 3]


@pytest.fixture
def library():
    """Return what imports a library, or skips."""

    def load(prefix):
        if LIBRARIES[prefix].version() is None:
            pytest.skip(f"{LIBRARIES[prefix].package} is not installed")
        return LIBRARIES[prefix].load()

    return load


def make_net(seed=0, classes=7):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(54, classes)]
    net = nn.Sequential(*layers).eval().requires_grad_(False)
    net[4].weight *= 8
    return net


@pytest.fixture
def net():
    return make_net()


@pytest.fixture
def images():
    return 0.1 + 0.8 * torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def direct_bsr(net, image, label, seed):
    attack = import_module("torchattack").BSR(net, device=torch.device("cpu"), eps=0.1, steps=3, num_scale=2)
    return attack(image, label)


def direct_apgd(net, image, label, seed):
    return import_module("torchattacks").APGD(net, eps=0.1, steps=6, seed=seed % 2**32)(image, label)


def direct_pgd(net, image, label, seed):
    foolbox = import_module("foolbox")
    attack = foolbox.attacks.LinfPGD(steps=4, random_start=True)
    return attack(foolbox.PyTorchModel(net, bounds=(0, 1)), image, label, epsilons=0.1)[1]


def direct_ddn(net, image, label, seed):
    foolbox = import_module("foolbox")
    criterion = foolbox.criteria.Misclassification(label)
    attack = foolbox.attacks.DDNAttack(steps=10)
    return attack(foolbox.PyTorchModel(net, bounds=(0, 1)), image, criterion, epsilons=None)[0]


def direct_art(net, image, label, seed):
    import_module("art.attacks.evasion")
    classifier = import_module("art.estimators.classification").PyTorchClassifier(
        net, nn.CrossEntropyLoss(), tuple(image.shape[1:]), 7, clip_values=(0, 1), device_type="cpu"
    )
    attack = import_module("art.attacks.evasion").ProjectedGradientDescent(
        classifier, eps=0.1, max_iter=4, num_random_init=1, verbose=False
    )
    return torch.from_numpy(attack.generate(image.numpy(), label.numpy()))


def direct_adv_lib(net, image, label, seed):
    return import_module("adv_lib.attacks").ddn(net, image, label, steps=10)


# The method, its constants, the library called directly, and the passes of an image.
PEERS = {
    "torchattack:BSR": ({"eps": 0.1, "steps": 3, "num_scale": 2}, direct_bsr, (6, 6)),
    "torchattacks:APGD": ({"eps": 0.1, "steps": 6}, direct_apgd, None),
    "foolbox:LinfPGD": ({"steps": 4, "epsilon": 0.1}, direct_pgd, (5, 4)),
    "foolbox:L2DDNAttack": ({"steps": 10}, direct_ddn, None),
    "art:ProjectedGradientDescent": ({"eps": 0.1, "max_iter": 4, "num_random_init": 1}, direct_art, None),
    "adv-lib:ddn": ({"steps": 10}, direct_adv_lib, (10, 10)),
}


def seed_everything(seed):
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


@pytest.mark.parametrize("method", PEERS)
@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
def test_images_are_those_of_the_library(library, net, images, method):
    library(method.partition(":")[0])
    constants, direct, passes = PEERS[method]
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    result = make_attack(method, constants)(net, images, seeds=SEEDS)
    assert torch.equal(torch.get_rng_state(), before[0]), "the random numbers of others go on undisturbed"
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]  # noqa: NPY002
    for row, seed in enumerate(SEEDS):
        seed_everything(seed)
        image = images[row : row + 1]
        theirs = direct(net, image.clone(), net(image).argmax(1), seed)
        assert torch.equal(result.adversarial[row : row + 1], round_to_8_bits(theirs.detach()))
    assert not torch.equal(result.adversarial, round_to_8_bits(images))
    assert result.success.tolist() == (net(result.adversarial).argmax(1) != net(images).argmax(1)).tolist()
    if passes:
        forward, backward = passes
        assert result.forward_passes.tolist() == [forward + 3] * 3, "one for the original, two for the judgement"
        assert result.backward_passes.tolist() == [backward] * 3


def test_an_image_does_not_depend_on_others(library, net, images):
    library("torchattack")
    attack = PeerAttack("torchattack:BSR", {"steps": 2, "num_scale": 2, "eps": 0.1})
    together = attack(net, images, seeds=SEEDS, batch_size=3)
    alone = attack(net, images[[2]], seeds=[SEEDS[2]])
    assert torch.equal(together.adversarial[[2]], alone.adversarial)
    assert not torch.equal(alone.adversarial, attack(net, images[[2]], seeds=[4]).adversarial)
    assert together.iterations.tolist() == [2, 2, 2]


@pytest.mark.parametrize("method", PEERS)
@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
def test_images_together_are_those_of_the_library(library, net, images, method):
    """The library gets two images, with the first one's seed, and then the last one."""
    library(method.partition(":")[0])
    constants, direct, passes = PEERS[method]
    attack = make_attack(method, constants | {"together": 2})
    result = attack(net, images, seeds=SEEDS)
    for rows in (slice(0, 2), slice(2, 3)):
        seed_everything(SEEDS[rows.start])
        theirs = direct(net, images[rows].clone(), net(images[rows]).argmax(1), SEEDS[rows.start])
        assert torch.equal(result.adversarial[rows], round_to_8_bits(theirs.detach()))
    if passes:
        assert result.backward_passes.tolist() == [passes[1]] * 3


def test_together_is_part_of_a_cell_unless_it_is_one(library):
    library("torchattack")
    assert make_attack("torchattack:BSR", {"together": "1"}) == make_attack("torchattack:BSR", {})
    attack = make_attack("torchattack:BSR", {"steps": 2, "together": "50"})
    assert attack.together == attack.largest_batch == 50
    assert attack_from_settings(attack.name, settings(attack)) == attack
    for wrong in (0, -3, 1.5, True, "many"):
        with pytest.raises(UsageError, match="torchattack:BSR: together"):
            make_attack("torchattack:BSR", {"together": wrong})


def test_nothing_is_printed_and_the_classifier_is_left_as_it_was(library, images, capsys):
    library("torchattacks")
    net = make_net().train().requires_grad_(True)
    PeerAttack("torchattacks:APGD", {"steps": 3, "verbose": True})(net, images[:1])
    assert capsys.readouterr().out == ""
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


# Ensembles and criteria


class Mean(nn.Module):
    def __init__(self, nets):
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, images):
        return torch.stack([net(images) for net in self.nets]).mean(0)


def test_of_an_ensemble_the_library_sees_the_mean_of_the_logits(library, images):
    library("torchattack")
    nets = [make_net(0), make_net(1)]
    attack = PeerAttack("torchattack:MIFGSM", {"eps": 0.1, "steps": 3})
    together, mean = attack(Ensemble(nets), images), attack(Mean(nets).eval(), images)
    assert torch.equal(together.adversarial, mean.adversarial)
    assert together.forward_passes.tolist() == [6, 6, 6], "an image passes through all members in one pass"
    changed = torch.stack([net(images).argmax(1) != net(together.adversarial).argmax(1) for net in nets])
    assert together.success.tolist() == changed.all(0).tolist()


def test_an_ensemble_with_other_numbers_of_classes_is_refused(library, images):
    library("torchattack")
    with pytest.raises(UsageError, match="members need the same number of classes, not 7 and 5"):
        PeerAttack("torchattack:MIFGSM")(Ensemble([make_net(), make_net(1, 5)]), images)


def test_labels_are_what_the_library_leaves(library, net, images):
    torchattacks = library("torchattacks")
    labels = (net(images).argmax(1) + 1) % 7
    result = PeerAttack("torchattacks:BIM", {"steps": 4})(net, images, criterion=FromLabels(labels))
    assert torch.equal(result.adversarial, round_to_8_bits(torchattacks.BIM(net, steps=4)(images, labels)))
    assert result.success_before.all()


def test_members_cannot_have_different_labels(library, images):
    library("torchattacks")
    with pytest.raises(UsageError, match="its members need the same label"):
        PeerAttack("torchattacks:BIM")(Ensemble([make_net(), make_net(1)]), images[:1], criterion=FromLabels([[1, 2]]))


def test_targets_are_refused(library, net, images):
    library("torchattack")
    with pytest.raises(UsageError, match="torchattack:MIFGSM cannot be targeted"):
        PeerAttack("torchattack:MIFGSM")(net, images, criterion=Targeted(1))


# Names and constants


def test_settings_make_the_same_attack_again():
    attack = make_attack("torchattack:BSR", {"eps": "0.5", "steps": "3", "torchattack": "1.7.2"})
    assert attack == PeerAttack("torchattack:BSR", {"eps": 0.5, "steps": 3}, "1.7.2")
    assert settings(attack) == {"eps": 0.5, "steps": 3, "torchattack": "1.7.2"}
    assert attack_from_settings(attack.name, settings(attack)) == attack


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("3.0", 3.0), ("1e-3", 1e-3), ("true", True), ("False", False), ("Linf", "Linf")]
)
def test_strings_of_the_command_line_become_values(text, value):
    (made,) = make_peer_attack("torchattacks:PGD", {"x": text}).constants.values()
    assert (made, type(made)) == (value, type(value))


@pytest.mark.parametrize(
    ("method", "constants", "message"),
    [
        ("torchattack:BRS", {}, "unknown attack of torchattack 'BRS'; did you mean BSR"),
        ("torchattack:BSR", {"step": 3}, "unknown field of torchattack:BSR 'step'; did you mean steps"),
        ("torchattack:BSR", {"steps": "many"}, "torchattack:BSR: steps=many: input should be a valid integer"),
        ("torchattack:BSR", {"steps": 2.5}, "torchattack:BSR: steps=2.5: input should be a valid integer"),
        ("torchattack:BSR", {"targeted": True}, "unknown field of torchattack:BSR 'targeted'"),
        (
            "torchattack:BSR",
            {"torchattack": "0.1"},
            "torchattack:BSR of torchattack==0.1 is needed, and",
        ),
        ("torchattacks:APGD", {"eps": "wide"}, "torchattacks:APGD: eps=wide: input should be a valid number"),
        ("torchattacks:MultiAttack", {}, "unknown attack of torchattacks"),
        ("foolbox:LinfPGD", {"steps": 3}, "foolbox:LinfPGD needs the constant epsilon"),
        ("foolbox:FixedEpsilonAttack", {}, "unknown attack of foolbox"),
        ("art:DeepFol", {}, "unknown attack of adversarial-robustness-toolbox 'DeepFol'; did you mean DeepFool"),
        ("adv-lib:ddm", {}, "unknown attack of adv-lib 'ddm'; did you mean ddn"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_does_not_exist_or_fit_is_refused(library, net, method, constants, message):
    library(method.partition(":")[0])
    with pytest.raises(UsageError, match=message):
        make_attack(method, constants).check(net)


def test_an_unknown_library_is_refused():
    with pytest.raises(UsageError, match="unknown method 'torchattak:BSR'; did you mean torchattack:NAME"):
        make_attack("torchattak:BSR", {})
    with pytest.raises(UsageError, match="unknown library of methods 'foolbo'; did you mean foolbox"):
        PeerAttack("foolbo:FGSM")


@pytest.mark.parametrize("prefix", LIBRARIES)
def test_a_library_that_is_missing_can_be_named_but_not_used(monkeypatch, net, prefix):
    library = LIBRARIES[prefix]
    monkeypatch.setitem(sys.modules, library.module, None)
    monkeypatch.setattr(type(library), "version", lambda _: None)
    attack = make_attack(f"{prefix}:Any", {"steps": 3})
    with pytest.raises(UsageError) as error:
        attack.check(net)
    assert str(error.value) == f"methods {prefix}:... need {library.package}: pip install {library.package}"


def test_a_library_that_is_broken_says_why(monkeypatch, net):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    monkeypatch.setattr(type(LIBRARIES["foolbox"]), "version", lambda _: "3.3")
    with pytest.raises(UsageError, match="need foolbox, whose import fails: import of foolbox"):
        make_attack("foolbox:FGSM", {}).check(net)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_an_attack_that_needs_cuda_says_so(library, net, images):
    library("torchattack")
    with pytest.raises(UsageError, match="torchattack:L2T with these constants runs on a CUDA device only"):
        PeerAttack("torchattack:L2T", {"steps": 20})(net, images[:1])
