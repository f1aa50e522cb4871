"""Goals against Foolbox's criteria and PyTorch's own losses."""

import pytest
import torch
from foolbox.criteria import Misclassification as FoolboxMisclassification
from foolbox.criteria import TargetedMisclassification
from torch.nn import functional as F

from edgefool.attacks import FromLabels, Misclassification, Targeted
from edgefool.attacks.goal import Goal

OWN = torch.tensor([0, 1, 2, 0])


def logits(classes, seed=0):
    return torch.randn(len(OWN), classes, generator=torch.Generator().manual_seed(seed))


def goal(criterion, own=OWN, num_classes=(3,)):
    return Goal.of(criterion.split(len(own)), own, num_classes)


@pytest.mark.parametrize("seed", range(5))
def test_a_goal_is_met_where_foolboxs_criterion_is(seed):
    z, other = logits(3, seed), torch.tensor([2, 2, 0, 1])
    # Foolbox: criterion(perturbed, outputs)
    assert torch.equal(goal(Misclassification()).is_met([z]), FoolboxMisclassification(OWN)(z, z))
    assert torch.equal(goal(FromLabels(other)).is_met([z]), FoolboxMisclassification(other)(z, z))
    assert torch.equal(goal(Targeted(other)).is_met([z]), TargetedMisclassification(other)(z, z))


def test_every_member_must_meet_it():
    own = torch.tensor([[0, 1], [0, 1], [0, 1], [0, 1]])
    first = torch.tensor([[9.0, 0], [0, 9], [9, 0], [0, 9]])
    second = torch.tensor([[0.0, 9], [0, 9], [9, 0], [9, 0]])
    assert goal(Misclassification(), own, (2, 2)).is_met([first, second]).tolist() == [False, False, False, True]
    assert goal(Targeted([[1, 0]] * 4), own, (2, 2)).is_met([first, second]).tolist() == [False, False, False, True]
    assert goal(Targeted(0), own, (2, 2)).is_met([first, second]).tolist() == [False, False, True, False]


def test_logits_that_are_not_finite_meet_none():
    z = torch.full((4, 3), torch.nan)
    assert not goal(Misclassification()).is_met([z]).any()
    assert not goal(Targeted(0)).is_met([z]).any()


def test_images_with_other_criteria_may_be_mixed():
    mixed = Goal.of([Misclassification(), FromLabels(2), Targeted(1), Targeted(0)], OWN, (3,))
    assert mixed.classes[:, 0].tolist() == [0, 2, 1, 0]
    assert mixed.targeted.tolist() == [False, False, True, True]
    assert mixed.is_met_by(OWN).tolist() == [False, True, False, True]


def test_cross_entropies_and_margins_are_each_members_own():
    first, second = logits(3), logits(6, 1)
    own = torch.tensor([[0, 5], [1, 4], [2, 3], [0, 0]])
    away, towards = goal(Misclassification(), own, (3, 6)), goal(Targeted(own), own, (3, 6))
    expected = [F.cross_entropy(z, y, reduction="none") for z, y in ((first, own[:, 0]), (second, own[:, 1]))]
    torch.testing.assert_close(away.cross_entropies([first, second]), torch.stack(expected, 1))
    torch.testing.assert_close(towards.cross_entropies([first, second]), -torch.stack(expected, 1))
    for column, z in enumerate((first, second)):
        for row, y in enumerate(own[:, column].tolist()):
            rest = [value for k, value in enumerate(z[row].tolist()) if k != y]
            margin = float(z[row, y]) - max(rest)
            assert float(away.margins([first, second])[row, column]) == pytest.approx(margin)
            assert float(towards.margins([first, second])[row, column]) == pytest.approx(-margin)
