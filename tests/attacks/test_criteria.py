import numpy as np
import pandas as pd
import pytest
import torch

from edgefool.attacks import FromLabels, Misclassification, Targeted
from edgefool.errors import UsageError


@pytest.mark.parametrize("labels", [[4, 2], (4, 2), np.array([4, 2]), torch.tensor([4, 2]), pd.Series([4, 2])])
def test_labels_of_any_kind_are_values(labels):
    assert FromLabels(labels) == FromLabels([4, 2])
    assert [one.per_member([5, 5]) for one in FromLabels(labels).split(2)] == [(4, 4), (2, 2)]


def test_one_class_is_for_all_images_and_a_column_for_each_member():
    assert [one.per_member([3]) for one in Targeted(2).split(2)] == [(2,), (2,)]
    assert [one.per_member([3, 9]) for one in Targeted([[0, 8], [2, 7]]).split(2)] == [(0, 8), (2, 7)]
    assert Misclassification().split(2) == [Misclassification()] * 2


@pytest.mark.parametrize("bad", [1.5, "cat", [True], [[[1]]], None, [[1], [2, 3]]])
def test_other_values_are_refused(bad):
    with pytest.raises(UsageError, match="must be integers"):
        Targeted(bad)


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="classes of 2 images, not of 3"):
        FromLabels([1, 2]).split(3)
    with pytest.raises(UsageError, match="2 classes for each image, not one or 3"):
        FromLabels([[1, 2]]).per_member([5, 5, 5])
    for value in (-1, 5):
        with pytest.raises(UsageError, match=f"class {value} is not one of the classes 0 to 4"):
            Targeted(value).per_member([5, 9])
