"""Method against method: the table of differences on the same images."""

from collections import defaultdict
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edgefool.metrics import mean_rate
from edgefool.report.outcomes import Outcomes, by_all_members, mean_outcomes, outcomes
from edgefool.report.results import Results
from edgefool.report.table_parts import MEAN, average, rate_cells, rate_columns

_SHARES = {
    "changed": ("images", "changed", "difference"),
    "left": ("images_group", "left_group", "group_difference"),
    "correct": ("images_correct", "changed_correct", "difference_correct"),
}
"""By field of `Outcomes`, the columns of the number of images, the share, and the difference."""

MOST_RIVALS = 40
"""Methods on one classifier that are compared with each other; of a sweep over more, the pairs say nothing."""


def differences_table(results: Results) -> pd.DataFrame:
    """Return by how much each method fools the classifiers more often than each other one, on the same images.

    A row per dataset, attacked classifier or ensemble, pair of methods in the order of the plan, and target; none for
    a classifier that more than `MOST_RIVALS` methods attacked. The targets are what was attacked (of an ensemble, the
    classes of all members must change), members of an ensemble, the other classifiers, and ``mean``, the mean over
    these by image, without members. ``images`` were attacked by both methods and judged by the target; ``changed`` is
    the share of them whose class changes by ``method``, ``other_changed`` by ``other``; ``difference`` is the first
    minus the second, with its 95 % interval, a bootstrap that draws both results of an image together.

    ``left_group`` and ``group_difference`` are the same for the share whose class leaves its semantic group,
    ``changed_correct`` and ``difference_correct`` for the images that the target classified correctly; in the row
    ``mean`` each image counts by the classifiers that did.
    """
    rows: list[dict[str, Any]] = []
    for (dataset, _), folders in _rivals(results).items():
        if not 2 <= len(folders) <= MOST_RIVALS:
            continue
        classifier = results.cells[folders[0]].classifier
        targets = _targets(results, folders)
        for first, second in combinations(range(len(folders)), 2):
            names = {
                "dataset": dataset,
                "method": results.methods[folders[first]],
                "other": results.methods[folders[second]],
                "classifier": classifier,
            }
            for target, is_member, found in targets:
                row: dict[str, Any] = {**names, "target": target, "member": is_member}
                for field, columns in _SHARES.items():
                    values: NDArray[np.float64] = getattr(found, field)
                    row |= _compare(values[[first, second]], *columns)
                rows.append(row)
    numbers = [
        column
        for count, share, difference in _SHARES.values()
        for column in (count, share, f"other_{share}", *rate_columns(difference))
    ]
    return pd.DataFrame(rows, columns=["dataset", "method", "other", "classifier", "target", *numbers, "member"])


def _rivals(results: Results) -> dict[tuple[str, str], list[str]]:
    """Return the folders of the cells that attack the same classifier, by its dataset and fingerprint."""
    rivals: dict[tuple[str, str], list[str]] = defaultdict(list)
    for folder, cell in results.cells.items():
        rivals[cell.dataset, cell.fingerprint].append(folder)
    return rivals


def _targets(results: Results, folders: list[str]) -> list[tuple[str, bool, Outcomes]]:
    """Return the targets: the name of each, whether it is a member of the attacked ensemble, and what happens to it."""
    cell = results.cells[folders[0]]
    found = {t.fingerprint: outcomes(results, folders, t) for t in results.targets[cell.dataset]}
    (attacked, *others), unseen = results.judges(cell), results.unseen(cell)
    together = by_all_members([found[target.fingerprint] for target in attacked.targets])
    targets = [(attacked.name, False, together)]
    targets += [(judge.name, results.is_member(cell, judge), found[judge.targets[0].fingerprint]) for judge in others]
    if unseen:
        targets.append((MEAN, False, mean_outcomes([found[target.fingerprint] for target in unseen])))
    return targets


def _compare(values: NDArray[np.float64], count: str, share: str, difference: str) -> dict[str, float]:
    """Return the number of images that both methods have, their shares and the difference, of values (2, n)."""
    first, second = values[:, ~np.isnan(values).any(0)]
    return {
        count: len(first),
        share: average(np.mean, first.tolist()),
        f"other_{share}": average(np.mean, second.tolist()),
        **rate_cells(difference, mean_rate(first - second)),
    }
