import pytest
import torch
from torch import nn

from edgefool.classifiers import Classifier, Ensemble, Preprocessing, member_logits
from edgefool.errors import UsageError


def linear(classes, seed=0):
    net = nn.Linear(12, classes)
    net.weight.data = torch.randn(classes, 12, generator=torch.Generator().manual_seed(seed))
    return nn.Sequential(nn.Flatten(), net)


def named(name, classes=3, seed=0):
    labels = [str(k) for k in range(classes)]
    return Classifier(
        linear(classes, seed), name=name, classes=labels, architecture="linear", preprocessing=Preprocessing()
    )


def test_logits_and_classes_are_those_of_each_member():
    members, images = [linear(3), linear(5, 1)], torch.rand(4, 3, 2, 2)
    ensemble = Ensemble(members)
    for logits, member in zip(ensemble.logits(images), members, strict=True):
        assert torch.equal(logits, member(images))
    expected = torch.stack([member(images).argmax(1) for member in members], 1)
    assert torch.equal(ensemble.classes(images), expected)
    assert len(member_logits(ensemble, images)) == 2
    assert torch.equal(member_logits(members[0], images)[0], members[0](images))


def test_the_fingerprint_is_of_the_members_in_any_order_and_of_no_classifier():
    first, second, third = named("a"), named("b", seed=1), named("c", classes=4)
    both = Ensemble([first, second])
    assert both.fingerprint == Ensemble([second, first], name="other").fingerprint
    assert len({both.fingerprint, Ensemble([first, third]).fingerprint, Ensemble([first]).fingerprint}) == 3
    assert Ensemble([first]).fingerprint != first.fingerprint
    assert both.name == "a + b"


def test_no_members_and_nested_ensembles_are_refused():
    with pytest.raises(UsageError, match="needs members"):
        Ensemble([])
    with pytest.raises(UsageError, match="cannot be a member"):
        Ensemble([Ensemble([linear(3)])])
