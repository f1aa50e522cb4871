import pytest
import torch
from torch import nn

from edgefool.classifiers import Classifier, SafeClassifier
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.errors import UsageError

IMAGES = torch.rand(3, 3, 4, 4)


def test_it_is_frozen_in_use_only():
    net = nn.Sequential(nn.Flatten(), nn.Dropout().eval(), nn.Linear(48, 2)).train()
    net[1].eval()
    classifier = SafeClassifier(net)
    with classifier.in_use("cpu"):
        assert not any(module.training for module in net.modules())
        assert not any(parameter.requires_grad for parameter in net.parameters())
    assert [module.training for module in net] == [True, False, True]
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_no_method_of_the_network_is_called():
    """Low-rank adapters merge their weights in eval(), and exported networks refuse it."""

    class Stubborn(nn.Linear):
        def train(self, mode=True):
            raise NotImplementedError

    with SafeClassifier(Stubborn(2, 2)).in_use("cpu"):
        pass


def test_gradients_and_precision_are_those_outside():
    classifier = SafeClassifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), classifier.in_use("cpu"):
        images = torch.ones(1, 3, 4, 4, requires_grad=True)
        logits = classifier(images)
        logits.sum().backward()
    assert logits.dtype == torch.float32
    assert images.grad.any()


def test_images_are_copied():
    images = IMAGES.clone()
    SafeClassifier(lambda x: x.zero_().flatten(1))(images)
    assert torch.equal(images, IMAGES)


def test_resizing_can_be_taken_apart():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    whole = Classifier(net, name="n", classes="ab", architecture="n", preprocessing=Preprocessing(8))
    classifier = SafeClassifier(whole)
    rows, columns = classifier.resize_matrices(IMAGES)
    torch.testing.assert_close(classifier.classify_resized(rows @ IMAGES @ columns.T), whole(IMAGES))
    assert SafeClassifier(net).resize_matrices(IMAGES) is None


def test_a_function_is_a_classifier_too():
    assert SafeClassifier(lambda x: x.mean((2, 3)).half())(IMAGES).dtype == torch.float32


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: [x.mean((2, 3))], "not a list"),
        (lambda x: x.mean((1, 2, 3)), r"of shape \(3,\) for 3 images"),
        (lambda x: x.mean((1, 2, 3))[:, None], r"of shape \(3, 1\)"),
        (lambda x: x.mean((2, 3))[:2], r"of shape \(2, 3\)"),
        (lambda x: x.mean((2, 3), keepdim=True), r"of shape \(3, 3, 1, 1\)"),
        (lambda x: x.mean((2, 3)).to(torch.complex64), "torch.complex64"),
    ],
)
def test_what_are_no_logits_is_refused(output, message):
    with pytest.raises(UsageError, match=message):
        SafeClassifier(output)(IMAGES)


def test_other_errors_of_the_network_stay():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        SafeClassifier(nn.Sequential(nn.Flatten(), nn.Linear(5, 2)).half())(IMAGES.half())
