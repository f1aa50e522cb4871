"""Margins of classes and of semantic groups."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgefool.attacks import CW, EdgeFool
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


def test_smooth_margins_are_the_logarithm_of_the_odds():
    logits = LOGITS.double().requires_grad_()
    margins = aimed_margins("group", Net(DOGS_AND_CARS), [logits], GOAL, temperature=1)
    own = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]])
    odds = (logits.softmax(1) * own).sum(1)
    torch.testing.assert_close(margins[:, 0], (odds / (1 - odds)).log())
    everything = SemanticGroups(("all",), (0, 0, 0, 0, 0))
    whole = aimed_margins("group", Net(everything), [logits], GOAL, temperature=1)
    assert torch.equal(whole, aimed_margins("class", Net(), [logits], GOAL, temperature=1))
    (gradient,) = torch.autograd.grad(whole.sum(), logits)
    assert gradient.isfinite().all()


def test_smooth_margins_approach_the_margins():
    smooth = aimed_margins("group", Net(DOGS_AND_CARS), [LOGITS], GOAL, temperature=0.01)
    torch.testing.assert_close(smooth, aimed_margins("group", Net(DOGS_AND_CARS), [LOGITS], GOAL))


@pytest.mark.parametrize("aim", ["class", "group"])
def test_gradients_are_those_of_the_two_logits(aim):
    logits = LOGITS.clone().requires_grad_()
    aimed_margins(aim, Net(DOGS_AND_CARS), [logits], GOAL).sum().backward()
    expected = {
        "class": [[1, -1, 0, 0, 0], [-1, 0, 1, 0, 0], [0, 0, 0, -1, 1]],
        "group": [[1, 0, 0, 0, -1], [-1, 0, 0, 1, 0], [0, 0, 0, -1, 1]],
    }
    assert logits.grad.tolist() == expected[aim]


class Colours(Net):
    """Reads the colours of four quarters."""

    def __init__(self, groups):
        super().__init__(groups)
        random = torch.Generator().manual_seed(3)
        self.register_buffer("first", 6 * torch.randn(12, 16, generator=random))
        self.register_buffer("second", torch.randn(16, 4, generator=random))

    def forward(self, images):
        colours = nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        return (colours @ self.first).sin() @ self.second


@pytest.mark.parametrize(
    "attack",
    [CW(binary_search_steps=2, max_iterations=80, initial_const=1), EdgeFool(max_iterations=30, v3=3)],
    ids=["cw", "edgefool"],
)
def test_attacks_that_follow_the_margin_leave_the_group(attack):
    groups = SemanticGroups(("low", "high"), (0, 0, 1, 1))
    images = (torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255).round() / 255

    def left(attack):
        result = attack(Colours(groups), images)
        pairs = zip(result.original_class.tolist(), result.adversarial_class.tolist(), strict=True)
        return sum(groups.leaves_group(before, after) for before, after in pairs)

    assert left(replace(attack, aim="group")) > left(attack)
