"""Semantic change, against plain loops."""

import numpy as np
import pytest

from edgefool.classifiers import SemanticGroups, imagenet_groups
from edgefool.errors import UsageError
from edgefool.metrics import common_depth, group_left


def test_against_loops_over_imagenet():
    groups, random = imagenet_groups(), np.random.default_rng(0)
    before, after = random.integers(1000, size=(2, 200))
    after[:20] = before[:20]
    left, depth = group_left(groups, before, after), common_depth(groups, before, after)
    for a, b, gone, deep in zip(before, after, left, depth, strict=True):
        assert gone == (groups.names[groups.of_class[a]] != groups.names[groups.of_class[b]])
        first, second = groups.hypernyms[a], groups.hypernyms[b]
        assert deep == max(k for k in range(len(first) + 1) if first[:k] == second[:k])
    assert not left[:20].any()


def test_classes_without_a_group_do_not_count():
    groups = SemanticGroups(("a",), (0, -1))
    np.testing.assert_equal(group_left(groups, [0, 0, 1, 1], [0, 1, 0, 1]), [0, 1, np.nan, np.nan])
    np.testing.assert_equal(common_depth(groups, [0, 1], [0, 0]), [np.nan, np.nan])


def test_no_images():
    assert group_left(imagenet_groups(), [], []).shape == common_depth(imagenet_groups(), [], []).shape == (0,)


@pytest.mark.parametrize("function", [group_left, common_depth])
@pytest.mark.parametrize(("before", "after"), [([0.5], [1]), ([0, 1], [0]), ([[0]], [[0]])])
def test_what_is_refused(function, before, after):
    with pytest.raises(UsageError):
        function(imagenet_groups(), before, after)
