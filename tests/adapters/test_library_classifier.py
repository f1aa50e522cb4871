"""Ranges, and accuracy before an attack."""

import warnings

import pytest
import torch
from torch import nn

from edgefool.adapters.library_classifier import LibraryClassifier, attack_images, warn_of_low_accuracy
from edgefool.attacks import NFGSM, Enhance, FromLabels
from edgefool.classifiers import Classifier, Preprocessing, groups_of, imagenet_groups
from edgefool.errors import ClassifierWarning, UsageError


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255), (-2.2, 2.7)])
def test_rounding_is_accepted_and_anything_more_is_not(net, low, high):
    classifier = LibraryClassifier(net, net, low, high)
    images = torch.full((1, 3, 16, 16), float(low))
    images[0, 0] = high
    near = images + 1e-6 * (high - low) * torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1)
    unit = classifier.to_unit(near)
    assert unit.min() == 0
    assert unit.max() == 1
    for beyond in (images + 1e-3 * (high - low), images - 1e-3 * (high - low), images * float("nan")):
        with pytest.raises(UsageError, match=r"images must lie in .* they were normalised before"):
            classifier.to_unit(beyond)


@pytest.mark.parametrize(
    ("right", "count", "warns"), [(0, 2, False), (0, 3, True), (1, 3, False), (1, 10, True), (2, 10, False)]
)
def test_a_classifier_that_gets_nearly_nothing_right_is_suspect(right, count, warns):
    decisions, labels = torch.arange(count), torch.arange(count) + 1
    labels[:right] = decisions[:right]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_low_accuracy(decisions, labels)
    assert [warning.category for warning in caught] == [ClassifierWarning] * warns
    assert all(f"gets {right} of {count} labels right" in str(warning.message) for warning in caught)


def test_the_warning_comes_with_an_attack_and_not_without_labels(net, images, labels):
    classifier, wrong = LibraryClassifier(net, net), (labels + 1) % 7
    with pytest.warns(ClassifierWarning, match=r"gets 0 of 4 labels right .* normalised twice or not at all"):
        attack_images(Enhance(), classifier, images, criterion=FromLabels(wrong), labels=wrong)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attack_images(Enhance(), classifier, images, criterion=FromLabels(labels), labels=labels)
        attack_images(Enhance(), classifier, images, criterion=FromLabels(wrong))


def test_seeds_and_batch_size_reach_the_attack(net, images):
    class Noted(NFGSM):
        def begin(self, classifier, images, seeds):
            noted.append(list(seeds))
            return super().begin(classifier, images, seeds)

    noted = []
    criterion = FromLabels(net(images).argmax(1))
    attack_images(Noted(), LibraryClassifier(net, net), images, criterion=criterion, seeds=[7, 8, 9, 5], batch_size=2)
    assert noted == [[7, 8], [9, 5]]


def test_what_a_classifier_of_ours_says_of_itself_is_kept():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    preprocessing = Preprocessing(std=(0.5, 0.25, 0.2))
    groups = imagenet_groups()
    ours = Classifier(
        net, name="n", classes=["a", "b", "c", "d"], architecture="n", preprocessing=preprocessing, groups=groups
    )
    wrapped = LibraryClassifier(ours, ours)
    assert wrapped.preprocessing is preprocessing
    assert groups_of(wrapped) is groups
