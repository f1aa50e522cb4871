"""What the adversarial images of methods do to a classifier, as arrays, so that methods can be compared by image."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefool.metrics import group_left
from edgefool.report.results import Results, Target

_Floats = NDArray[np.float64]

_UNKNOWN = (-1, -1)  # classes before and after


class Outcomes(NamedTuple):
    """Arrays (F, n) by method and image: 1 for yes, 0 for no, or a mean of these; NaN where it is not known.

    Attributes
    ----------
    changed : array
        The class changes.
    left : array
        The class leaves its semantic group; NaN where it has none.
    correct : array
        ``changed`` where the class of the original is the label; NaN elsewhere.
    """

    changed: _Floats
    left: _Floats
    correct: _Floats


def outcomes(results: Results, folders: Sequence[str], target: Target) -> Outcomes:
    """Return what the images of F cells, given by their folders, do to a classifier.

    The n images are those that were attacked in at least one of the cells, in sorted order, whatever the classifier.
    """
    records = (record for folder in folders for record in results.records.get(folder, ()))
    labels = {record.image: np.nan if record.label is None else record.label for record in records}
    images = sorted(labels)
    by_cell = [results.classes(folder, target) for folder in folders]
    pairs = np.array([pairs.get(image, _UNKNOWN) for pairs in by_cell for image in images], dtype=int).reshape(-1, 2)
    shape, (before, after) = (len(folders), len(images)), pairs.T
    changed = np.where(before < 0, np.nan, before != after)
    groups = results.groups(target)
    left = group_left(groups, before, after) if groups else np.full(len(pairs), np.nan)
    truth = np.tile(np.array([labels[image] for image in images]), len(folders))
    is_right = (before == truth) & results.fits(target)
    return Outcomes(
        changed.reshape(shape),
        np.where(before < 0, np.nan, left).reshape(shape),
        np.where(is_right, changed, np.nan).reshape(shape),
    )


def by_all_members(members: Sequence[Outcomes]) -> Outcomes:
    """Return what happens to all classifiers at once, where it is known for all; right means that all were."""
    changed, left, correct = (np.min(parts, axis=0) for parts in zip(*members, strict=True))
    return Outcomes(changed, left, correct)


def mean_outcomes(targets: Sequence[Outcomes]) -> Outcomes:
    """Return the means over classifiers, of the images that all of them have judged.

    ``left`` is the mean over the classifiers that have groups; ``correct`` that over those that classified the original
    correctly, NaN if none did.
    """
    changed, lefts, corrects = (np.stack(parts) for parts in zip(*targets, strict=True))
    changed = changed.mean(0)
    with_groups = lefts[~np.isnan(lefts).all((1, 2))]
    left = with_groups.mean(0) if len(with_groups) else lefts[0]
    counts = (~np.isnan(corrects)).sum(0)
    is_known = (counts > 0) & ~np.isnan(changed)
    correct = np.divide(np.nansum(corrects, 0), counts, out=np.full(changed.shape, np.nan), where=is_known)
    return Outcomes(changed, left, correct)
