import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgefool.classifiers import Classifier, Preprocessing, load_classifier
from edgefool.classifiers.vision import torchvision
from edgefool.errors import UsageError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).append(nn.Linear(4, 5))


def make(net=None, **changes):
    """Return a classifier; changes are of its arguments or of its preprocessing."""
    before = {"input_size": 16, "mean": MEAN, "std": STD}
    before |= {key: changes.pop(key) for key in list(changes) if key in Preprocessing.__dataclass_fields__}
    options = {"name": "small", "classes": "abcde", "architecture": "small", "preprocessing": Preprocessing(**before)}
    return Classifier(net or small_net(), **(options | changes))


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (9, 30), (7, 7)])
def test_shapes_of_any_size(size):
    assert make()(torch.rand(2, 3, *size)).shape == (2, 5)


def test_stays_frozen_and_in_eval_mode():
    classifier = make().train()
    assert not classifier.training
    assert not any(module.training for module in classifier.modules())
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    images = torch.rand(4, 3, 16, 16)
    running = classifier.net[1].running_mean.clone()
    assert torch.equal(classifier(images), classifier(images))
    assert torch.equal(running, classifier.net[1].running_mean)


def test_normalises_once_and_leaves_the_right_size_alone():
    images = torch.rand(2, 3, 16, 16)
    net = small_net().eval()
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(make(net)(images), net((images - mean) / std))


def test_no_preprocessing_at_all():
    images = torch.rand(2, 3, 21, 17)
    net = small_net().eval()
    assert torch.equal(make(net, preprocessing=Preprocessing())(images), net(images))


def test_shrinks_without_aliasing():
    """A checkerboard of single pixels is grey from afar; without antialiasing it would stay black and white."""
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    seen = make(nn.Flatten(), mean=(0, 0, 0), std=(1, 1, 1))(board.float().expand(1, 3, 64, 64))
    assert 0.4 < seen.reshape(3, 16, 16)[:, 1:-1, 1:-1].min() <= seen.reshape(3, 16, 16)[:, 1:-1, 1:-1].max() < 0.6


def test_enlarges_as_plain_bilinear():
    images = torch.rand(1, 3, 9, 11)
    seen = make(nn.Identity(), mean=(0, 0, 0), std=(1, 1, 1))(images)
    torch.testing.assert_close(seen, F.interpolate(images, (16, 16), mode="bilinear"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(16, 16), (40, 24), (9, 30)])
def test_gradient_reaches_every_pixel(size, interpolation):
    images = torch.rand(2, 3, *size, requires_grad=True)
    make(interpolation=interpolation)(images).logsumexp(1).sum().backward()
    assert (images.grad != 0).float().mean() > 0.9


def test_gradcheck_through_the_resizing():
    classifier = make(nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), input_size=4).double()
    assert torch.autograd.gradcheck(classifier, torch.rand(1, 3, 6, 5, dtype=torch.float64, requires_grad=True))


def test_channels_last_changes_nothing_but_round_off():
    images = torch.rand(2, 3, 40, 24)
    net = small_net().eval()
    plain = make(net)(images)
    fast = make(net, channels_last=True)
    assert fast.net[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(images), plain)


def test_equal_fingerprints_only_for_equal_answers():
    base = make().fingerprint
    assert len(base) == 64
    assert base == make(name="other", classes="vwxyz", channels_last=True).fingerprint
    others = [
        make(small_net(seed=1)),
        make(architecture="another"),
        make(input_size=17),
        make(interpolation="bicubic"),
        make(mean=(0.1, 0.5, 0.6)),
        make(std=(0.1, 0.3, 0.4)),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 7


@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [
        ("caltech101-resnet", "f197e34e31cffe60c29ee75bd6e2f58db9458121e5c8c3449d48cff420138c05"),
        ("caltech101-alexnet", "89122e57f9bdab4804102398c3cf2b0ee17c70986367e6ab97339322b510dabb"),
    ],
)
def test_shipped_classifiers_have_the_fingerprints_of_0_1_0(name, fingerprint):
    """Runs of release 0.1.0 hold these."""
    assert load_classifier(name).fingerprint == fingerprint


@pytest.mark.parametrize(
    ("preprocessing", "fingerprint"),
    [
        (Preprocessing(), "8ad4d1598856a4cd67cb8eba3a91b2f013a0ea9ca68c75ba01cd4868e7b71fea"),
        (
            Preprocessing(16, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)),
            "4ed5b67b21fc9137144c19867e7d28f19dcc9a4eb7c37804e05e8e8c9e0f8fc2",
        ),
    ],
)
def test_your_own_classifiers_have_the_fingerprints_of_0_1_0(preprocessing, fingerprint):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    nn.init.constant_(net[2].weight, 0.5)
    nn.init.constant_(net[2].bias, -1.0)
    assert make(net, architecture="linear", preprocessing=preprocessing).fingerprint == fingerprint


def test_fingerprint_sees_buffers():
    net = small_net()
    net[1].running_mean += 1
    assert make(net).fingerprint != make().fingerprint


@pytest.mark.parametrize(
    "images", [torch.rand(3, 16, 16), torch.rand(1, 1, 16, 16), torch.zeros(1, 3, 16, 16, dtype=torch.uint8)]
)
def test_refuses_what_is_not_images(images):
    with pytest.raises(UsageError, match=r"\(N, 3, H, W\)"):
        make()(images)


def test_torchvision_is_usable():
    net = torchvision.models.squeezenet1_1(num_classes=3).eval()
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_are_float32_or_better(dtype):
    class Coarse(nn.Module):
        def forward(self, images):
            return images.mean((2, 3)).to(dtype)

    assert make(Coarse(), classes="abc")(torch.rand(2, 3, 16, 16)).dtype == torch.float32


@pytest.mark.parametrize("of_images", [torch.float32, torch.float64])
@pytest.mark.parametrize("of_network", [torch.float32, torch.float64])
def test_double_networks_and_double_images(of_images, of_network):
    images = torch.rand(2, 3, 16, 16)
    for classifier in (make(small_net().to(of_network)), make().to(of_network)):
        seen = images.to(of_images).requires_grad_()
        logits = classifier(seen)
        assert logits.dtype == of_network
        torch.testing.assert_close(logits.float(), make()(images), atol=1e-5, rtol=1e-5)
        assert torch.autograd.grad(logits.sum(), seen)[0].dtype == of_images
