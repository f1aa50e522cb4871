"""How far a change of class goes in meaning: whether it leaves the semantic group, and what both classes still are."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgefool.classifiers import SemanticGroups
from edgefool.metrics.rates import check_classes


def group_left(groups: SemanticGroups, before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return which images left the semantic group of their class: g(C(x')) ≠ g(C(x)).

    Parameters
    ----------
    groups : SemanticGroups
        Those of the classifier's D classes.
    before, after : array_like
        (n,) integers in [0, D): the classes of the originals and of the adversarial images.

    Returns
    -------
    array
        (n,) 1: left, 0: not. NaN where the class before has no group: such images are in no share. A class without a
        group is outside all groups.

    Raises
    ------
    UsageError
        If the classes are not integers (n,) of equal length.

    Examples
    --------
    >>> group_left(SemanticGroups(("dogs", "cars"), (0, 0, 1, -1)), [0, 0, 0, 3], [1, 2, 3, 0])
    array([ 0.,  1.,  1., nan])
    """
    before, after = check_classes(before=before, after=after)
    of_class = np.array(groups.of_class)
    return np.where(of_class[before] < 0, np.nan, of_class[before] != of_class[after])


def common_depth(groups: SemanticGroups, before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return the depth of the lowest hypernym that the classes before and after share; the root has depth 1.

    Parameters
    ----------
    groups, before, after
        See `group_left`.

    Returns
    -------
    array
        (n,) depths, the deeper the closer in meaning; NaN where the hypernyms of a class are not known.

    Raises
    ------
    UsageError
        If the classes are not integers (n,) of equal length.

    Examples
    --------
    >>> chains = ("animal", "dog", "pug"), ("animal", "dog", "beagle"), ("thing", "car"), ()
    >>> common_depth(SemanticGroups((), (-1,) * 4, chains), [0, 0, 0, 0], [0, 1, 2, 3])
    array([ 3.,  2.,  0., nan])
    """
    pairs = zip(*check_classes(before=before, after=after), strict=True)
    return np.array([groups.lowest_common_depth(int(a), int(b)) for a, b in pairs], dtype=float)
