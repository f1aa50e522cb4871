from pathlib import Path

import kornia.filters
import numpy as np
import pytest
import torch
from skimage.color import deltaE_cie76, deltaE_ciede2000, lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edgefool.classifiers import read_state_dict
from edgefool.classifiers.vision import torchvision
from edgefool.errors import UsageError
from edgefool.images import read_image
from edgefool.metrics import (
    LPIPS_BACKBONES,
    Lpips,
    changed_pixels,
    ciede2000,
    linf,
    psnr,
    smooth_delta_e,
    ssim,
)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 40, 30, generator=generator)
    return (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(0, 1), images


def test_psnr_equals_scikit_images(pair):
    for ours, a, b in zip(psnr(*pair), *pair, strict=True):
        assert ours.item() == pytest.approx(peak_signal_noise_ratio(b.numpy(), a.numpy(), data_range=1), abs=1e-3)


def test_ssim_equals_scikit_images(pair):
    for ours, a, b in zip(ssim(*pair), *pair, strict=True):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        _, full = structural_similarity(
            b.double().numpy(), a.double().numpy(), data_range=1, channel_axis=0, full=True, **options
        )
        # kornia and scikit-image differ in the border of half a window only in how they pad
        assert ours.item() == pytest.approx(float(np.mean(full)), abs=5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ciede2000_equals_scikit_images(pair, dtype):
    images, originals = (side.to(dtype) for side in pair)
    ours = ciede2000(images, originals)
    assert ours.dtype == dtype
    for distance, *colours in zip(ours, images, originals, strict=True):
        a, b = (rgb2lab(side.permute(1, 2, 0).double().numpy()) for side in colours)
        assert distance.item() == pytest.approx(deltaE_ciede2000(a, b).mean(), rel=1e-6)


def test_ciede2000_of_two_greys_has_a_closed_form():
    # Of colours without chroma only lightness counts: |L1 - L2| / S_L, at the mean lightness.
    dark, light = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.3)
    lightness = [116 * (((grey + 0.055) / 1.055) ** 2.4) ** (1 / 3) - 16 for grey in (0.2, 0.3)]
    around = (np.mean(lightness) - 50) ** 2
    expected = (lightness[1] - lightness[0]) / (1 + 0.015 * around / np.sqrt(20 + around))
    assert ciede2000(dark, light).item() == pytest.approx(expected, abs=1e-3)
    assert ciede2000(dark, dark).item() == 0


def lightness(grey):
    return 116 * (((grey + 0.055) / 1.055) ** 2.4) ** (1 / 3) - 16


def test_smooth_delta_e_counts_smooth_pixels_only():
    """The left half is grey, the right half a chessboard; a window of 7 x 7 reaches 3 columns into it."""
    original = torch.full((1, 3, 16, 32), 0.5)
    original[..., 16:] = ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float()
    image = original.clone()
    image[..., :8] = 0.6
    expected = 8 / 13 * (lightness(0.6) - lightness(0.5))  # of 13 smooth columns
    assert smooth_delta_e(image, original).item() == pytest.approx(expected, abs=1e-3)
    image[..., 13:] = 0
    assert smooth_delta_e(image, original).item() == pytest.approx(expected, abs=1e-3)
    image[..., 12:] = 0
    assert smooth_delta_e(image, original).item() > expected + 3
    assert smooth_delta_e(original[..., 16:], original[..., 16:]).isnan().all()


@pytest.mark.parametrize(("deviation", "is_smooth"), [(1.95, True), (2.05, False)])
def test_smooth_is_a_deviation_below_2(deviation, is_smooth):
    """Of rows that alternate, a window of 7 has 4 and 3: its deviation is √12 / 7 of their difference; 4 has 1 / 2."""
    lab = np.full((21, 20, 3), [50.0, 0, 0])
    lab[::2, :, 0] += deviation * 7 / np.sqrt(12)
    original = torch.from_numpy(lab2rgb(lab)).permute(2, 0, 1)[None]
    value = smooth_delta_e(original, original)
    assert value.item() == 0 if is_smooth else value.isnan().all()


def test_smooth_delta_e_equals_scikit_images():
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 3, 4, 3, generator=generator)
    originals = torch.nn.functional.interpolate(coarse, (24, 20), mode="nearest")
    images = (originals + 0.1 * torch.randn(originals.shape, generator=generator)).clamp(0, 1)
    found = smooth_delta_e(images, originals)
    assert found.dtype == torch.float32
    for value, *colours in zip(found, images, originals, strict=True):
        image, original = (rgb2lab(side.permute(1, 2, 0).double().numpy()) for side in colours)
        windows = [[original[max(0, i - 3) : i + 4, max(0, j - 3) : j + 4, 0] for j in range(20)] for i in range(24)]
        smooth = np.array([[window.std() < 2 for window in row] for row in windows])
        assert 0 < smooth.sum() < smooth.size
        assert value.item() == pytest.approx(deltaE_cie76(image, original)[smooth].mean(), rel=1e-3)


def test_linf_and_changed_pixels():
    originals = torch.full((3, 3, 4, 5), 100 / 255)
    images = originals.clone()
    images[0, 0, 0, 0] = 103 / 255
    images[0, 2, 0, 0] = 95 / 255  # the same pixel
    images[0, 1, 3, 4] = 101 / 255
    images[1] += 0.49 / 255  # rounds to the same levels
    assert (linf(images, originals) * 255).tolist() == pytest.approx([5, 0.49, 0], abs=1e-4)
    assert changed_pixels(images, originals).tolist() == pytest.approx([2 / 20, 0, 0])
    assert changed_pixels(originals + 0.51 / 255, originals).tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("measure", [psnr, ssim, ciede2000, linf, changed_pixels])
def test_measures_each_image_by_itself(pair, measure, dtype):
    images, originals = (side.to(dtype) for side in pair)
    together = measure(images, originals)
    assert (together.shape, together.dtype) == ((2,), dtype)
    alone = [measure(images[i : i + 1], originals[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("shapes", [((1, 3, 8, 8), (2, 3, 8, 8)), ((1, 1, 8, 8), (1, 1, 8, 8)), ((3, 8, 8), (3, 8, 8))])
@pytest.mark.parametrize("measure", [ciede2000, smooth_delta_e, linf, changed_pixels])
def test_refuses_shapes(measure, shapes):
    with pytest.raises(UsageError, match=r"must both be \(N, 3, H, W\), not \(.*\) and \(.*\)"):
        measure(*map(torch.rand, shapes))


# Where torchvision's features are tapped: behind each of these layers.
TAPS = {"alex": (1, 4, 7, 9, 11), "squeeze": (1, 4, 7, 9, 10, 11, 12), "vgg": (3, 8, 15, 22, 29)}


def features(backbone):
    """Return torchvision's features with random weights, without the large classifier behind them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if backbone == "vgg":
            return torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
        return getattr(torchvision.models, LPIPS_BACKBONES[backbone])(weights=None).features


def prefixed(net):
    return {f"features.{name}": tensor for name, tensor in net.state_dict().items()}


def lpips_by_hand(backbone, net, images, originals):
    """LPIPS by its definition, with the linear layers of version 0.1."""
    import torchmetrics

    folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
    linear = list(torch.load(folder / f"{backbone}.pth", map_location="cpu", weights_only=True).values())
    shift, scale = (torch.tensor(values).view(3, 1, 1) for values in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    sides = [(2 * side - 1 - shift) / scale for side in (images, originals)]
    distance, tap = torch.zeros(len(images)), 0
    for index, layer in enumerate(net[: TAPS[backbone][-1] + 1]):
        sides = [layer(side.clone()) for side in sides]
        if index in TAPS[backbone]:
            a, b = (side / side.norm(dim=1, keepdim=True).clamp_min(1e-8) for side in sides)
            distance += (linear[tap] * (a - b).square()).sum(1).mean((1, 2))
            tap += 1
    assert tap == len(linear)
    return distance


@pytest.mark.parametrize(
    "backbone", [pytest.param(name, marks=pytest.mark.slow if name == "vgg" else ()) for name in TAPS]
)
def test_lpips_equals_its_definition(pair, backbone):
    net = features(backbone).eval()
    random_state = torch.random.get_rng_state()
    lpips = Lpips(backbone, prefixed(net) | {"classifier.weight": torch.zeros(1)})
    assert torch.equal(torch.random.get_rng_state(), random_state)
    images, originals = (torch.nn.functional.interpolate(side, (64, 48)) for side in pair)
    with torch.no_grad():
        expected = lpips_by_hand(backbone, net, images, originals)
    distances = lpips(images, originals)
    assert distances.shape == (2,)
    assert distances.min() > 0.01
    # torchmetrics adds 1e-8 under the root of the features' norms.
    torch.testing.assert_close(distances, expected, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def lpips():
    return Lpips("squeeze", prefixed(features("squeeze")))


def test_lpips_is_symmetric_and_zero_only_for_equal_images(lpips, pair):
    images, originals = (torch.nn.functional.interpolate(side, (32, 32)) for side in pair)
    torch.testing.assert_close(lpips(images, originals), lpips(originals, images))
    half = torch.stack([images[0], originals[1]])
    distances = lpips(half, originals)
    assert distances[0] > 0
    assert distances[1] == 0


def test_lpips_is_frozen_but_differentiable(lpips):
    lpips.train()
    assert not any(module.training for module in lpips.modules())
    assert not any(parameter.requires_grad for parameter in lpips.parameters())
    images = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(lpips(images, torch.rand(1, 3, 32, 32)).sum(), images)
    assert gradient.abs().max() > 0


def test_lpips_grows_with_blur(shared):
    lpips = Lpips("squeeze", read_state_dict(shared / "classifiers" / "squeezenet1_1.safetensors"))
    photo = read_image(sorted((shared / "images" / "nips2017").glob("*.png"))[0])[None]
    blurred = [kornia.filters.gaussian_blur2d(photo, (25, 25), (sigma, sigma)) for sigma in (0.5, 1.0, 2.0, 4.0)]
    distances = lpips(torch.cat(blurred).clamp(0, 1), photo.expand(4, -1, -1, -1)).tolist()
    assert distances == sorted(distances)
    assert 0.001 < distances[0] < 0.1 < distances[-1] < 1


def test_lpips_refuses_weights_that_do_not_fit():
    state = prefixed(features("squeeze"))
    with pytest.raises(UsageError, match="unknown LPIPS backbone 'squeez'; did you mean squeeze"):
        Lpips("squeez", state)
    with pytest.raises(UsageError, match=r"do not fit alexnet: features.0.weight is \(64, 3, 3, 3\) instead of"):
        Lpips("alex", state)
    del state["features.4.squeeze.bias"]
    with pytest.raises(UsageError, match=r"do not fit squeezenet1_1: features.4.squeeze.bias is missing"):
        Lpips("squeeze", state)


def test_lpips_refuses_images(lpips):
    with pytest.raises(UsageError, match=r"at least 32 pixels a side, not \(1, 3, 32, 31\)"):
        lpips(torch.rand(1, 3, 32, 31), torch.rand(1, 3, 32, 31))
    with pytest.raises(UsageError, match=r"must both be \(N, 3, H, W\), not \(1, 3, 32, 32\) and \(2, 3, 32, 32\)"):
        lpips(torch.rand(1, 3, 32, 32), torch.rand(2, 3, 32, 32))
