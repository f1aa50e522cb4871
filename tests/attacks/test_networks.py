"""Every method on networks as people have them: the result is that of the plain network, which stays as it was."""

import copy
from dataclasses import replace

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
from edgefool.classifiers import Classifier, Preprocessing
from edgefool.errors import UsageError

ATTACKS = [
    EdgeFool(max_iterations=2),
    RobustEdgeFool(max_iterations=2),
    NFGSM(max_iterations=3),
    NFGSM(max_iterations=3, early_stop=True),
    PFGSM(max_iterations=3),
    DeepFool(max_iterations=3),
    SparseFool(max_iterations=2, border_iterations=3),
    CW(binary_search_steps=1, max_iterations=3),
    SemanticAdv(trials=6),
    Enhance(),
]
METHOD = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)  # pytest numbers equal names


def test_every_method_is_here():
    assert {attack.name for attack in ATTACKS} == set(METHODS)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Dropout()
        net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(72, 7)).eval()
    net[-1].weight.data *= 20
    return net


def photos():
    return (torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 255).round() / 255


def same(result, expected):
    names = ("adversarial", "original_class", "adversarial_class", "logits", "success", "converged", "iterations")
    return all(torch.equal(getattr(result, name), getattr(expected, name)) for name in names)


class Around(nn.Module):
    """A network with something before it and after it."""

    def __init__(self, net, before=lambda images: images, after=lambda logits: logits):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, images):
        return self.after(self.net(self.before(images)))


# Kind 2: the own class.


@METHOD
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_own_class_is_the_argmax_where_logits_tie(attack, dtype):
    def tied(logits):  # the second half of the classes equals the first, as in a coarse dtype
        return torch.cat([logits, logits], 1).to(dtype)

    classifier = Around(network(), after=tied)
    result = attack(classifier, photos())
    assert torch.equal(result.original_class, network()(photos()).to(dtype).argmax(1))
    assert torch.equal(result.adversarial_class, classifier(result.adversarial).float().argmax(1))
    assert torch.equal(result.success, result.adversarial_class != result.original_class)
    assert not result.converged[result.iterations == 0].any()


@METHOD
def test_no_success_where_all_logits_are_equal(attack):
    result = attack(Around(network(), after=lambda logits: (0 * logits).repeat(1, 100)), photos())
    assert result.original_class.tolist() == [0, 0, 0]
    assert not (result.success | result.success_float).any()


@METHOD
def test_no_success_where_logits_are_not_finite(attack):
    known = iter([1.0])  # the originals' logits are finite, those after are not

    result = attack(Around(network(), after=lambda logits: logits / next(known, 0.0)), photos())
    assert not (result.success | result.success_float).any()
    assert not result.converged.any() or attack.name == "enhance"  # which looks at no class


# Kind 3: dtypes.


@METHOD
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_in_half_precision_are_judged_in_float32(attack, dtype):
    classifier = Around(network(), after=lambda logits: logits.to(dtype))
    result = attack(classifier, photos())
    assert result.logits.dtype == torch.float32
    assert torch.equal(result.logits, classifier(result.adversarial).float())
    assert torch.equal(result.adversarial_class, result.logits.argmax(1))
    assert same(result, attack(Around(network(), after=lambda logits: logits.to(dtype).float()), photos()))


@METHOD
@pytest.mark.parametrize("of_images", [torch.float32, torch.float64])
@pytest.mark.parametrize("of_network", [torch.float32, torch.float64])
def test_double_networks_and_double_images_work(attack, of_images, of_network):
    result = attack(network().to(of_network), photos().to(of_images))
    assert (result.adversarial.dtype, result.logits.dtype) == (of_images, of_network)
    assert all(value.dtype != torch.float32 for value in result.details.values()) or of_images == torch.float32
    assert torch.equal(result.original_class, network()(photos()).argmax(1))
    expected = attack(network(), photos())
    assert torch.equal(result.success, expected.success)
    assert torch.equal(result.iterations, expected.iterations)


@METHOD
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_that_cannot_take_the_images_is_refused_by_dtype(attack, dtype):
    with pytest.raises(UsageError, match=f"with {dtype} parameters cannot take torch.float32 images"):
        attack(network().to(dtype), photos())


@METHOD
def test_a_network_in_half_precision_that_converts_its_images_works(attack):
    classifier = Around(network().bfloat16(), before=lambda images: images.bfloat16())
    result = attack(classifier, photos())
    assert torch.equal(result.logits, classifier(result.adversarial).float())


# Kind 4: the network and what it is given.


@METHOD
def test_a_network_that_normalises_in_place_cannot_change_its_images(attack):
    def in_place(images):
        return images.sub_(0.4).div_(0.25)

    images = photos()
    result = attack(Around(network(), before=in_place), images)
    assert same(result, attack(Around(network(), before=lambda images: (images - 0.4) / 0.25), photos()))
    assert torch.equal(images, photos())


@METHOD
def test_a_network_in_train_mode_is_attacked_in_eval_mode_and_stays_as_it_was(attack):
    net = network().train()
    net[1].eval()  # as one fine-tunes
    net[0].weight.requires_grad_(False)
    before = copy.deepcopy(net)
    assert same(attack(net, photos()), attack(network(), photos()))
    assert [m.training for m in net.modules()] == [m.training for m in before.modules()]
    assert [p.requires_grad for p in net.parameters()] == [p.requires_grad for p in before.parameters()]
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), before.state_dict().values(), strict=True))


@METHOD
def test_a_network_that_fails_is_left_as_it_was(attack):
    known = [1.0]  # fails at its second call

    classifier = Around(network(), after=lambda logits: logits * known.pop()).train()
    with pytest.raises(IndexError):
        attack(classifier, photos())
    assert classifier.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())


@METHOD
@pytest.mark.parametrize(
    "context",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
def test_contexts_of_the_caller_change_nothing(attack, context):
    net = network()
    with context():
        result = attack(net, photos(), batch_size=2)
    assert same(result, attack(net, photos(), batch_size=2))


@METHOD
def test_a_network_made_in_inference_mode_is_refused(attack):
    with torch.inference_mode():
        net = network()
    with pytest.raises(UsageError, match=r"made in torch\.inference_mode"):
        attack(net, photos())


@METHOD
def test_images_that_require_gradients_are_like_others(attack):
    result = attack(network(), photos().requires_grad_())
    assert not result.adversarial.requires_grad
    assert same(result, attack(network(), photos()))


# Kind 16, and other forms of a network.


def agree(attack, classifier):
    result, expected = attack(classifier, photos()), attack(network(), photos())
    assert torch.equal(result.original_class, expected.original_class)
    assert torch.equal(result.success, expected.success)
    assert (result.adversarial - expected.adversarial).abs().max() < 1.01 / 255


FORMS = {
    "scripted": lambda: torch.jit.script(network()),
    "scripted and frozen": lambda: torch.jit.freeze(torch.jit.script(network())),
    "DataParallel": lambda: nn.DataParallel(network().train()),
    "channels last": lambda: network().to(memory_format=torch.channels_last),
    "logits not contiguous": lambda: Around(network(), after=lambda logits: logits.T.contiguous().T),
}


@METHOD
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_network_gives_the_same_result(attack, form):
    if isinstance(attack, RobustEdgeFool) and "scripted" in form:
        attack = replace(attack, relu_slope=0)  # `LeakyGradients` does not reach into scripted code
    agree(attack, FORMS[form]())


# Gradients by weights and by images, Jacobians, and forward passes alone.
KINDS = [
    pytest.param(a, marks=() if a.name == "deepfool" else pytest.mark.slow, id=a.name)
    for a in ATTACKS
    if a.name in ("edgefool", "pfgsm", "deepfool", "semanticadv")
]


@pytest.mark.parametrize("attack", KINDS)
@pytest.mark.filterwarnings("ignore")  # of torch's compilers
def test_compiled_networks(attack):
    torch.compiler.reset()
    agree(attack, torch.compile(network().train(), backend="aot_eager"))


def compiled_inside(backend):
    net = network()
    net[0], net[-1] = torch.compile(net[0], backend=backend), torch.compile(net[-1], backend=backend)
    return net


def compiled_in_place(backend):
    net = network()
    net.compile(backend=backend)
    return net


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.name in ("deepfool", "sparsefool")], ids=lambda a: a.name)
@pytest.mark.parametrize("compiled", [compiled_inside, compiled_in_place])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_deepfool_on_networks_compiled_in_other_ways(attack, compiled):
    torch.compiler.reset()
    agree(attack, compiled("aot_eager"))


@pytest.mark.filterwarnings("ignore")
def test_deepfool_knows_the_std_of_a_compiled_classifier():
    classifier = Classifier(
        network(), name="a", classes="abcdefg", architecture="a", preprocessing=Preprocessing(std=(0.2, 0.3, 0.4))
    )
    attack = DeepFool(space="normalised")
    result = attack(torch.compile(classifier, backend="aot_eager"), photos())
    assert (result.adversarial - attack(classifier, photos()).adversarial).abs().max() < 1.01 / 255
