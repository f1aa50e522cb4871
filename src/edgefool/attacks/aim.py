"""Two ways of leaving a class: for any other class, or for one of another semantic group."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefool.attacks.functional import margin_of_sets
from edgefool.attacks.goal import Goal
from edgefool.classifiers import Ensemble, groups_of

Aim: TypeAlias = Literal["class", "group"]


def aimed_margins(
    aim: Aim, classifier: nn.Module, logits: Sequence[Tensor], goal: Goal, temperature: float = 0.0
) -> Tensor:
    """Return how far each member is from the aim, (N, M); negative once it is reached.

    For the class: `Goal.margins`. For the group: the largest logit of the classes in the own class's group less the
    largest outside it. Where a class has no group, its members are to leave the class; a target has no group to leave.

    Parameters
    ----------
    aim : "class" or "group"
        What to leave.
    classifier : nn.Module
        The classifier, or an ensemble.
    logits : sequence of Tensor
        Of each member, (N, D_m).
    goal : Goal
        The classes.
    temperature : float
        As in `margin_of_sets`: above 0, margins are smooth.
    """
    margins = goal.margins(logits, temperature)
    if aim == "class":
        return margins
    members = classifier.members if isinstance(classifier, Ensemble) else [classifier]
    columns = []
    for member, z, y, by_class in zip(members, logits, goal.classes.unbind(1), margins.unbind(1), strict=True):
        if (groups := groups_of(member)) is None:
            columns.append(by_class)
            continue
        group = groups.tensor(z.device)
        own = group == group[y][:, None]
        grouped = (group[y] >= 0) & ~goal.targeted & ~own.all(1)
        sets = torch.where(grouped[:, None], own, F.one_hot(y, z.shape[1]).bool())
        columns.append(torch.where(grouped, margin_of_sets(z, sets, temperature), by_class))
    return torch.stack(columns, 1)


def aim_is_reached(aim: Aim, logits: Sequence[Tensor], goal: Goal, margins: Tensor) -> Tensor:
    """Return whether every member has changed its decision as aimed: (N,), bool; ``margins`` as `aimed_margins`."""
    met = goal.is_met(logits)
    return met if aim == "class" else met & (margins < 0).all(1)
