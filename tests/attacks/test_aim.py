"""Margins of classes and of semantic groups."""

import pytest
import torch
from torch import nn

from edgefool.attacks.aim import aimed_margins
from edgefool.attacks.goal import Goal
from edgefool.classifiers import Ensemble, SemanticGroups

DOGS_AND_CARS = SemanticGroups(("dogs", "cars"), (0, 0, 1, 1, -1))
LOGITS = torch.tensor([[5.0, 4.0, 1.0, 2.0, 3.0], [5.0, 4.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0, 9.0]])
GOAL = Goal.leave(torch.tensor([0, 2, 4]))


class Net(nn.Module):
    def __init__(self, groups=None):
        super().__init__()
        self.groups = groups


def test_the_margin_of_a_class_is_eq_8():
    margins = aimed_margins("class", Net(DOGS_AND_CARS), [LOGITS], GOAL)
    assert margins[:, 0].tolist() == [1, -4, 6]


def test_the_margin_of_a_group_is_between_its_best_and_the_best_outside():
    margins = aimed_margins("group", Net(DOGS_AND_CARS), [LOGITS], GOAL)
    assert margins[:, 0].tolist() == [5 - 3, 2 - 5, 9 - 3], "the last class has no group: its own margin"


def test_classes_without_groups_keep_their_margin():
    assert torch.equal(aimed_margins("group", Net(), [LOGITS], GOAL), aimed_margins("class", Net(), [LOGITS], GOAL))
    everything = SemanticGroups(("all",), (0, 0, 0, 0, 0))
    assert torch.equal(
        aimed_margins("group", Net(everything), [LOGITS], GOAL), aimed_margins("class", Net(), [LOGITS], GOAL)
    )


def test_a_target_is_a_class():
    goal = Goal(torch.tensor([[3], [3], [3]]), torch.tensor([True, True, False]))
    margins = aimed_margins("group", Net(DOGS_AND_CARS), [LOGITS], goal)
    assert margins[:, 0].tolist() == [3, 3, 3 - 9]


def test_each_member_has_its_own_groups():
    ensemble = Ensemble([Net(DOGS_AND_CARS), Net()])
    goal = Goal.leave(torch.tensor([[0, 0], [2, 2], [4, 4]]))
    margins = aimed_margins("group", ensemble, [LOGITS, LOGITS], goal)
    assert margins.tolist() == [[2, 1], [-3, -4], [6, 6]]


@pytest.mark.parametrize("aim", ["class", "group"])
def test_gradients_are_those_of_the_two_logits(aim):
    logits = LOGITS.clone().requires_grad_()
    aimed_margins(aim, Net(DOGS_AND_CARS), [logits], GOAL).sum().backward()
    expected = {
        "class": [[1, -1, 0, 0, 0], [-1, 0, 1, 0, 0], [0, 0, 0, -1, 1]],
        "group": [[1, 0, 0, 0, -1], [-1, 0, 0, 1, 0], [0, 0, 0, -1, 1]],
    }
    assert logits.grad.tolist() == expected[aim]
