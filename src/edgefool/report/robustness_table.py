"""What survives transformations: the table of robustness, and its part of the summary."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from edgefool.metrics import mean_rate
from edgefool.report.class_changes import Pairs, by_all, changed, left, mean_by_image
from edgefool.report.results import Judge, Results, Target
from edgefool.report.table_parts import (
    KEYS,
    MEAN,
    average,
    compared_cells,
    compared_columns,
    names_of,
    rate_cells,
    rate_columns,
    share_of,
)


def robustness_table(results: Results) -> pd.DataFrame:
    """Return how often the adversarial images of each cell still have another class after a transformation T.

    A row per judge and transformation, and one for their mean. The first judge of a cell is what was attacked; of an
    ensemble, the classes of all members must differ. ``changed`` is the share with C(T(x')) ≠ C(T(x)), ``null`` the
    same for detail enhancement without an attack, ``gain`` their difference image by image, ``unstable`` the share with
    C(T(x)) ≠ C(x). ``left_group`` is the share whose class leaves its semantic group from T(x) to T(x'), ``null_group``
    that of ``null``.
    """
    rows = [
        _row(results, folder, judge, name)
        for folder, cell in results.cells.items()
        for judge in results.judges(cell)
        for name in [*results.transformations, MEAN]
        if _survivors(results, folder, judge, name)
    ]
    numbers = ["images", *compared_columns("changed", "null"), *rate_columns("unstable"), *rate_columns("left_group")]
    return pd.DataFrame(rows, columns=[*KEYS, "target", "transformation", *numbers, "null_group", "member"])


def robustness_summary(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the summary, a row per cell, from `robustness_table`.

    ``robust`` is the mean over the transformations of ``changed`` of what was attacked, ``robust_null`` that of
    ``null``, ``robust_transferred`` the mean over the other classifiers, without members of an attacked ensemble, for
    the images that all of them classified after each transformation.
    """
    means = table[table["transformation"] == MEAN].to_dict("records")
    known = {(*(line[key] for key in KEYS), line["target"]): line for line in means}
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        names = names_of(results, folder)
        attacked = known.get((*names.values(), cell.classifier), {})
        others = [_survivors(results, folder, Judge.of(target), MEAN) for target in results.unseen(cell)]
        rows.append(
            {
                **names,
                **{f"robust{end}": attacked.get(f"changed{end}") for end in ("", "_low", "_high")},
                "robust_null": attacked.get("null"),
                **rate_cells("robust_transferred", mean_rate(list(mean_by_image(others).values()))),
            }
        )
    columns = [*rate_columns("robust"), "robust_null", *rate_columns("robust_transferred")]
    return pd.DataFrame(rows, columns=[*KEYS, *columns]).astype(dict.fromkeys(columns, float))


def _row(results: Results, folder: str, judge: Judge, name: str) -> dict[str, Any]:
    cell = results.cells[folder]
    survived = _survivors(results, folder, judge, name)
    null_gone = _by_judge(results, results.null(cell), judge, name, _left)
    gone = _by_judge(results, folder, judge, name, _left)
    return {
        **names_of(results, folder),
        "target": judge.name,
        "transformation": name,
        "images": len(survived),
        **compared_cells("changed", survived, "null", _survivors(results, results.null(cell), judge, name)),
        **rate_cells("unstable", share_of(_by_judge(results, folder, judge, name, _unstable))),
        **rate_cells("left_group", share_of(gone)),
        "null_group": average(np.mean, [value for image, value in null_gone.items() if image in gone]),
        "member": results.is_member(cell, judge),
    }


def _survivors(results: Results, folder: str | None, judge: Judge, name: str) -> dict[str, float]:
    return _by_judge(results, folder, judge, name, _changed)


Hits = Callable[[Results, str, Target, str], Mapping[str, bool]]


def _by_judge(results: Results, folder: str | None, judge: Judge, name: str, hits: Hits) -> dict[str, float]:
    """Return by image whether all targets say so, for `MEAN` over the transformations. Empty without a cell."""
    if folder is None:
        return {}
    if name == MEAN:
        return mean_by_image([_by_judge(results, folder, judge, one, hits) for one in results.transformations])
    return dict(by_all([hits(results, folder, target, name) for target in judge.targets]))


def _changed(results: Results, folder: str, target: Target, name: str) -> dict[str, bool]:
    return changed(results.transformed(folder, target, name))


def _left(results: Results, folder: str, target: Target, name: str) -> dict[str, bool]:
    groups = results.groups(target)
    return left(groups, results.transformed(folder, target, name)) if groups else {}


def _unstable(results: Results, folder: str, target: Target, name: str) -> dict[str, bool]:
    after, before = results.transformed(folder, target, name), results.classes(folder, target)
    pairs: Pairs = {image: (before[image][0], after[image][0]) for image in after if image in before}
    return changed(pairs)
