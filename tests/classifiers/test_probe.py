"""Kinds 9 and 10: what networks give, and the one size that some take."""

import pytest
import torch
from torch import nn

from edgefool.classifiers import load_classifier
from edgefool.classifiers.probe import count_logits
from edgefool.errors import ClassifierWarning, UsageError


class Gives(nn.Module):
    """Gives what a function makes of five numbers per image."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        means = images.mean((2, 3))
        return self.function(torch.cat([means, means[:, :2] - 0.5], 1))


def fixed(side, classes=3):
    """Return a network that takes one size only."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, classes)).requires_grad_(False)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, :1], "net gives 1 logits per image; it needs one for each class, at least two"),
        (lambda x: x[:, :0], "net gives 0 logits per image"),
        (lambda x: x[:, :1].sigmoid(), "net gives 1 logits per image"),
        (lambda x: x[:, 0], r"not a tensor of shape \(1,\)$"),
        (lambda x: x.squeeze(), r"not a tensor of shape \(5,\)$"),
        (lambda x: x[:1], r"not a tensor of shape \(1, 5\) for two images$"),
        (lambda x: x.mean(0, keepdim=True), r"not a tensor of shape \(1, 5\) for two images$"),
        (lambda x: x.repeat(2, 1), r"not a tensor of shape \(2, 5\)$"),
        (lambda x: (x, x), "not a tuple$"),
        (lambda x: {"logits": x}, "not a dict$"),
        (lambda x: x.tolist(), "not a list$"),
    ],
)
def test_too_few_logits_or_rows_are_refused(function, message):
    with pytest.raises(UsageError, match=message) as error:
        count_logits(Gives(function), "net")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("function", "noted"),
    [
        (lambda x: x.softmax(1), True),
        (lambda x: nn.functional.one_hot(x.argmax(1), 5).to(x), True),
        (lambda x: x, False),
        (lambda x: x.log_softmax(1), False),
        (lambda x: x.sigmoid(), False),
        (lambda x: 3 * x.softmax(1), False),
        (lambda x: x - x.mean(1, keepdim=True) + 0.2, False),
    ],
)
def test_probabilities_get_a_note(recwarn, function, noted, dtype):
    assert count_logits(Gives(lambda x: function(x).to(dtype)), "net") == 5
    assert [warning.category for warning in recwarn] == [ClassifierWarning] * noted
    assert all("net gives what looks like probabilities" in str(warning.message) for warning in recwarn)


@pytest.mark.parametrize("side", [16, 32, 100, 224, 299, 384])
def test_a_network_for_one_size_is_tried_with_it(side):
    assert count_logits(fixed(side), "net", side) == 3


@pytest.mark.parametrize("side", [28, 32, 64, 224, 299, 384])
def test_without_a_size_a_common_one_will_do(side):
    assert count_logits(fixed(side), "net") == 3


def test_the_size_asked_for_has_to_work():
    with pytest.raises(UsageError, match=r"classify an image of 224 x 224: .*; it takes 32 x 32, so set size to 32$"):
        count_logits(fixed(32), "net", 224)
    with pytest.raises(UsageError, match=r"classify an image of 224 x 224: RuntimeError: mat1 and mat2 shapes [^;]*$"):
        count_logits(fixed(33), "net")


def test_a_network_that_fails_at_the_size_alone_is_for_its_images_to_refuse():
    class Choosy(nn.Module):
        def forward(self, images):
            assert images.shape[2] != 40
            return images.mean((2, 3))

    assert count_logits(Choosy(), "net", 40) == 3


def test_a_network_that_takes_any_size_is_tried_once():
    sizes = []
    count_logits(Gives(lambda x: sizes.append(len(x)) or x), "net", 48)
    assert sizes == [1, 2]


def test_a_double_network():
    assert count_logits(fixed(32).double(), "net", 32) == 3


def test_the_random_state_and_the_network_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    count_logits(Gives(lambda x: x), "net")
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("size", [None, 32])
def test_files_with_a_network_for_one_size(tmp_path, size):
    (tmp_path / "own.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))"
    )
    assert load_classifier(f"{tmp_path / 'own.py'}:net", size=size).num_classes == 10
