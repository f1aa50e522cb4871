import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import median_filter
from torch import nn

from edgefool.errors import UsageError
from edgefool.metrics import (
    PAPER_SQUEEZERS,
    SQUEEZERS,
    bit_depth_reduction,
    median_smoothing,
    squeezing_scores,
)

DTYPES = [torch.float32, torch.float64]


def reduced(images, bits):
    levels = 2**bits - 1
    return np.rint(images * levels) / levels


def smoothed(images, size):
    return median_filter(images, size=(1, 1, size, size), mode="reflect")


def squeezed(images, name):
    """Any squeezer by NumPy and SciPy."""
    by, number = name[:-1], int(name[-1])
    return {"bits": reduced, "median": smoothed}[by](images, number)


def draw(*shape, dtype=torch.float32):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_reduction_equals_numpys_rounding(bits, dtype):
    images = draw(2, 3, 17, 23, dtype=dtype)
    ours = bit_depth_reduction(images, bits)
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours.numpy(), reduced(images.numpy(), bits))
    assert len(ours.unique()) <= 2**bits


def test_halves_go_to_the_even_level():
    halves = torch.tensor([0.5, 1.5, 2.5]).view(1, 1, 1, 3) / 3
    assert (bit_depth_reduction(halves, 2) * 3).flatten().tolist() == [0, 2, 2]


def test_eight_bits_leave_images_of_eight_bits_as_they_are():
    images = (torch.arange(256) / 255).view(1, 1, 16, 16)
    assert torch.equal(bit_depth_reduction(images, 8), images)
    assert not torch.equal(bit_depth_reduction(images, 7), images)


@pytest.mark.parametrize(
    "shape", [(2, 3, 17, 23), (1, 1, 1, 1), (2, 3, 1, 9), (3, 2, 8, 1), (1, 3, 2, 2), (1, 4, 3, 2)]
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [2, 3])
def test_median_smoothing_equals_scipys_bit_for_bit(size, dtype, shape):
    images = draw(*shape, dtype=dtype)
    before = images.clone()
    ours = median_smoothing(images, size)
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours.numpy(), smoothed(images.numpy(), size))
    assert torch.equal(images, before)


@given(
    levels=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=4, max_dims=4, max_side=6)),
    size=st.sampled_from([2, 3]),
)
def test_median_smoothing_equals_scipys_on_images_of_eight_bits(levels, size):
    images = levels.astype(np.float32) / 255
    np.testing.assert_array_equal(median_smoothing(torch.from_numpy(images), size).numpy(), smoothed(images, size))


@given(order=st.permutations(range(9)))
def test_median_of_any_order_of_nine(order):
    window = torch.tensor(order, dtype=torch.float32).view(1, 1, 3, 3)
    assert median_smoothing(window, 3)[0, 0, 1, 1] == 4


@pytest.mark.parametrize("size", [2, 3])
def test_median_smoothing_of_channels_last(size):
    images = draw(2, 3, 9, 7)
    ours = median_smoothing(images.contiguous(memory_format=torch.channels_last), size)
    assert torch.equal(ours, median_smoothing(images, size))


def test_names_of_the_squeezers():
    images = draw(1, 3, 8, 8)
    assert list(SQUEEZERS) == [*(f"bits{bits}" for bits in range(1, 8)), "median2", "median3"]
    assert PAPER_SQUEEZERS == ("bits4", "bits5", "bits6", "bits7", "median2", "median3")
    for name, squeeze in SQUEEZERS.items():
        np.testing.assert_array_equal(squeeze(images).numpy(), squeezed(images.numpy(), name))


class Counting(nn.Module):
    """Linear, and counts the images that it is asked for."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3 * 6 * 6, generator=torch.Generator().manual_seed(0)) / 5)
        self.passes = 0

    def forward(self, images):
        self.passes += len(images)
        return images.flatten(1) @ self.weight.T


def probabilities_of(classifier, images):
    logits = images.reshape(len(images), -1).astype(float) @ classifier.weight.detach().numpy().T.astype(float)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_scores_equal_numpys():
    classifier, images = Counting(), draw(4, 3, 6, 6)
    names = ["median3", "bits1", "bits4", "median2"]
    logits, scores = squeezing_scores(classifier, images, names)
    assert classifier.passes == 4 * (1 + len(names))
    assert not logits.requires_grad
    assert not scores.requires_grad
    expected = probabilities_of(classifier, images.numpy())
    np.testing.assert_allclose(logits.softmax(1).numpy(), expected, atol=1e-6)
    moved = [np.abs(probabilities_of(classifier, squeezed(images.numpy(), name)) - expected).sum(1) for name in names]
    np.testing.assert_allclose(scores.numpy(), np.stack(moved, 1), atol=1e-5)
    assert scores.min() > 0.001  # nothing was compared with itself


def test_scores_do_not_depend_on_the_batch():
    classifier, images = Counting(), draw(5, 3, 6, 6)
    _, together = squeezing_scores(classifier, images, PAPER_SQUEEZERS)
    alone = torch.cat([squeezing_scores(classifier, image[None], PAPER_SQUEEZERS)[1] for image in images])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_of_logits_in_half_precision_are_float32(dtype):
    class Coarse(Counting):
        def forward(self, images):
            return super().forward(images).to(dtype)

    logits, scores = squeezing_scores(Coarse(), draw(4, 3, 6, 6), ["bits1"])
    assert (logits.dtype, scores.dtype) == (torch.float32, torch.float32)
    expected = [
        Coarse()(images).float().softmax(1) for images in (draw(4, 3, 6, 6), bit_depth_reduction(draw(4, 3, 6, 6), 1))
    ]
    torch.testing.assert_close(scores[:, 0], (expected[0] - expected[1]).abs().sum(1))


def test_a_network_in_train_mode_that_works_in_place_stays_as_it_was():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, images):
            return self.norm(images.sub_(0.5)).mean((2, 3))

    net, images = InPlace(), draw(4, 3, 6, 6)
    _, scores = squeezing_scores(net, images, ["bits1", "bits1"])
    assert torch.equal(images, draw(4, 3, 6, 6))
    assert torch.equal(scores[:, 0], scores[:, 1])
    assert net.norm.training
    assert net.norm.num_batches_tracked == 0


def test_the_largest_score_is_2():
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    classifier[1].weight.data = torch.stack([torch.full((48,), 1e3), torch.full((48,), -1e3)])
    classifier[1].bias.data = torch.tensor([-1e4, 1e4])
    images = torch.full((1, 3, 4, 4), 0.4)  # below the border between the classes, at 10/48; one bit takes it to 0
    logits, scores = squeezing_scores(classifier, images, ["bits1", "median3"])
    assert logits.softmax(1).tolist() == [[1, 0]]
    assert scores.tolist() == [[2, 0]]


def test_without_squeezers_or_images():
    classifier = Counting()
    assert squeezing_scores(classifier, draw(2, 3, 6, 6), [])[1].shape == (2, 0)
    assert squeezing_scores(classifier, torch.zeros(0, 3, 6, 6), PAPER_SQUEEZERS)[1].shape == (0, 6)


def test_an_unknown_squeezer_is_refused_before_any_pass():
    classifier = Counting()
    with pytest.raises(UsageError, match="unknown squeezer 'median4'; did you mean median3 or median2"):
        squeezing_scores(classifier, draw(1, 3, 6, 6), ["bits4", "median4"])
    assert classifier.passes == 0


@pytest.mark.parametrize("bits", [0, 9, -1, 2.5])
def test_refuses_bits(bits):
    with pytest.raises(UsageError, match=f"bits must be 1 to 8, not {bits}"):
        bit_depth_reduction(draw(1, 3, 4, 4), bits)


@pytest.mark.parametrize("size", [0, 1, 4, 2.5])
def test_refuses_sizes(size):
    with pytest.raises(UsageError, match=f"size must be 2 or 3, not {size}"):
        median_smoothing(draw(1, 3, 4, 4), size)


@pytest.mark.parametrize("images", [torch.zeros(3, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)])
@pytest.mark.parametrize("squeeze", [*SQUEEZERS.values(), lambda images: squeezing_scores(Counting(), images, [])])
def test_refuses_images(squeeze, images):
    with pytest.raises(UsageError, match=r"must be \(N, C, H, W\) floats, not torch"):
        squeeze(images)
