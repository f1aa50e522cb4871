"""Classifiers, feature squeezing, robustness and image quality."""

import pytest
import torch

from edgefool.classifiers import load_classifier
from edgefool.classifiers.precision import full_float32
from edgefool.classifiers.vision import torchvision
from edgefool.metrics import LPIPS_BACKBONES, PAPER_SQUEEZERS, SQUEEZERS, Lpips, distances, squeezing_scores, transform
from edgefool.metrics.robustness import TRANSFORMATIONS

pytestmark = pytest.mark.gpu
DTYPE = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@pytest.fixture
def pair(photos):
    noise = torch.randn(photos.shape, generator=torch.Generator().manual_seed(0))
    return (photos + 0.05 * noise).clamp(0, 1), photos


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite1", "caltech101-resnet"])
def test_logits_are_in_full_float32(name, photos, device):
    here, there = load_classifier(name), load_classifier(name, device=device)
    assert here.fingerprint == there.fingerprint
    with torch.no_grad():
        expected, found = here(photos), there(photos.to(device)).cpu()
    # TF32 is off by some 5e-3 of the largest logit.
    assert (found - expected).abs().max() < 2e-4 * expected.abs().max()
    assert torch.equal(found.argmax(1), expected.argmax(1))


def test_the_users_precision_comes_back(networks, photos):
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.conv.fp32_precision
    networks[1](photos.to(networks[1]._mean.device))
    with full_float32():
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.conv.fp32_precision) == before


@DTYPE
@pytest.mark.parametrize("name", SQUEEZERS)
def test_squeezer(name, dtype, photos, device):
    images = photos[..., :61].to(dtype)
    assert torch.equal(SQUEEZERS[name](images.to(device)).cpu(), SQUEEZERS[name](images))


def test_squeezing_scores(photos, networks, device):
    here, there = (squeezing_scores(net, photos.to(net._mean.device), PAPER_SQUEEZERS) for net in networks)
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(b.cpu(), a, atol=5e-3, rtol=0)


@DTYPE
def test_distances(dtype, pair, device):
    images = [side.to(dtype) for side in pair]
    here, there = distances(*images), distances(*(side.to(device) for side in images))
    for name, expected in here.items():
        assert there[name].dtype == dtype
        torch.testing.assert_close(there[name].cpu(), expected, atol=2e-3, rtol=1e-4, msg=name)


@pytest.mark.parametrize("backbone", LPIPS_BACKBONES)
def test_lpips(backbone, pair, device):
    torch.manual_seed(0)
    net = getattr(torchvision.models, LPIPS_BACKBONES[backbone])(weights=None)
    lpips = Lpips(backbone, net.state_dict())
    expected = lpips(*pair)
    torch.testing.assert_close(
        lpips.to(device)(*(side.to(device) for side in pair)).cpu(), expected, atol=1e-5, rtol=1e-3
    )


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformation(name, photos, device):
    assert torch.equal(transform(photos[0].to(device), name), transform(photos[0], name))
