"""How far the classes go in meaning: the table of semantic groups, and its part of the summary."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from edgefool.metrics import mean_rate, rate
from edgefool.report.class_changes import by_all, changed, depths, left, mean_by_image
from edgefool.report.results import Judge, Results
from edgefool.report.table_parts import (
    KEYS,
    average,
    compared_cells,
    compared_columns,
    names_of,
    rate_cells,
    rate_columns,
    share_of,
)


def semantics_table(results: Results) -> pd.DataFrame:
    """Return the share of each cell's images whose class leaves its semantic group, for each judge that has groups.

    The first judge of a cell is what was attacked; an ensemble is left when the classes of all members leave their
    groups. ``images`` are those whose class before has a group; ``changed`` is the share of them whose class changes,
    ``left_group`` of those whose class leaves its group, ``null`` the same for detail enhancement without an attack and
    ``gain`` their difference image by image. ``depth`` is the mean depth of the lowest hypernym that the classes before
    and after share, ``depth_changed`` over the images whose class changes, ``null_depth`` that of ``null``.
    """
    rows = [
        _row(results, folder, judge)
        for folder, cell in results.cells.items()
        for judge in results.judges(cell)
        if all(results.groups(target) for target in judge.targets)
    ]
    numbers = ["images", *rate_columns("changed"), *compared_columns("left_group", "null")]
    return pd.DataFrame(rows, columns=[*KEYS, "target", *numbers, "depth", "depth_changed", "null_depth", "member"])


def semantics_summary(results: Results) -> pd.DataFrame:
    """Return the columns of the summary, a row per cell.

    ``left_group`` is that of what was attacked, ``transferred_group`` the mean over the other classifiers that have
    groups, without members of an attacked ensemble, and ``null_group`` the same by detail enhancement without an
    attack, for the images whose class has a group by all of them.
    """
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        attacked, *_ = results.judges(cell)
        unseen = [Judge.of(target) for target in results.unseen(cell) if results.groups(target)]
        transferred = mean_by_image([_left(results, folder, judge) for judge in unseen])
        null = mean_by_image([_left(results, results.null(cell), judge) for judge in unseen])
        both = [image for image in transferred if image in null]
        known = all(results.groups(target) for target in attacked.targets)
        rows.append(
            {
                **names_of(results, folder),
                **rate_cells("left_group", share_of(_left(results, folder, attacked) if known else {})),
                **rate_cells("transferred_group", mean_rate(list(transferred.values()))),
                "null_group": mean_rate([null[image] for image in both]).value,
            }
        )
    numbers = [*rate_columns("left_group"), *rate_columns("transferred_group"), "null_group"]
    return pd.DataFrame(rows, columns=[*KEYS, *numbers])


def _row(results: Results, folder: str, judge: Judge) -> dict[str, Any]:
    cell = results.cells[folder]
    gone, null = _left(results, folder, judge), _left(results, results.null(cell), judge)
    moved = by_all([changed(results.classes(folder, target)) for target in judge.targets])
    depth, null_depth = _depths(results, folder, judge), _depths(results, results.null(cell), judge)
    return {
        **names_of(results, folder),
        "target": judge.name,
        "images": len(gone),
        **rate_cells("changed", rate([moved[image] for image in gone])),
        **compared_cells("left_group", gone, "null", null),
        "depth": average(np.mean, list(depth.values())),
        "depth_changed": average(np.mean, [value for image, value in depth.items() if moved[image]]),
        "null_depth": average(np.mean, [value for image, value in null_depth.items() if image in depth]),
        "member": results.is_member(cell, judge),
    }


def _left(results: Results, folder: str | None, judge: Judge) -> dict[str, bool]:
    """Return by image whether the classes of all targets leave their groups; empty without a cell."""
    pairs = [(results.groups(target), results.classes(folder, target)) for target in judge.targets if folder]
    return by_all([left(groups, classes) for groups, classes in pairs if groups])


def _depths(results: Results, folder: str | None, judge: Judge) -> Mapping[str, float]:
    """Return by image the mean depth over the targets; empty without a cell."""
    pairs = [(results.groups(target), results.classes(folder, target)) for target in judge.targets if folder]
    return mean_by_image([depths(groups, classes) for groups, classes in pairs if groups])
