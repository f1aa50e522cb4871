"""The numbers behind the paper's Fig. 5 and Table 1, and some that are not in the paper.

Each table has one row per cell, or one per cell and target or squeezer. Shares are of images; ``_low`` and ``_high``
are the ends of their 95 % intervals.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from edgefool.metrics import Rate, mean_rate, rate, transferability
from edgefool.report.class_changes import changed, mean_by_image
from edgefool.report.detection import detectability_table
from edgefool.report.differences_table import differences_table
from edgefool.report.outcomes import mean_outcomes, outcomes
from edgefool.report.results import Judge, Results, Target
from edgefool.report.robustness_table import robustness_summary, robustness_table
from edgefool.report.semantics_table import semantics_summary, semantics_table
from edgefool.report.table_parts import (
    KEYS,
    MEAN,
    average,
    compared_cells,
    compared_columns,
    has_labels,
    names_of,
    rate_cells,
    rate_columns,
)

_CRITERION = ["criterion", "target", "success_before"]
_COSTS = ["forward_passes", "backward_passes", "seconds"]
_DISTANCES = ["lpips", "ciede2000", "linf", "changed_pixels"]
_SMOOTH = ["smooth_images", "smooth_delta_e", "smooth_ratio"]


def misleading_table(results: Results) -> pd.DataFrame:
    """Return the share of each cell's images that succeed, by default the misleading rate (Eq. 1), and their cost.

    ``misled`` refers to the 8-bit images, ``misled_float`` to those before rounding. ``converged`` is the share of
    images that met the attack's own stopping rule, ``lost_gradient`` a number of images. ``iterations`` is a median;
    passes and seconds are means.

    If a cell has a criterion other than the default, there are more columns: ``criterion`` and ``target``;
    ``success_before``, the number of images whose originals meet it; and ``misled_rest``, the rate over the others.
    """
    rows: list[dict[str, Any]] = []
    by_criterion = any(cell.criterion for cell in results.cells.values())
    for folder in results.cells:
        records = results.records.get(folder, [])
        rows.append(
            {
                **names_of(results, folder),
                "images": len(records),
                "errors": len(results.errors.get(folder, [])),
                **rate_cells("misled", rate([record.success for record in records])),
                **rate_cells("misled_float", rate([record.success_float for record in records])),
                **_means(records, ["converged"]),
                "lost_gradient": sum(record.lost_gradient for record in records),
                "iterations": average(np.median, [record.iterations for record in records]),
                **_means(records, _COSTS),
                **(_by_criterion(results, folder) if by_criterion else {}),
            }
        )
    numbers = ["images", "errors", *rate_columns("misled"), *rate_columns("misled_float"), "converged", "lost_gradient"]
    more = [*_CRITERION, *rate_columns("misled_rest")] if by_criterion else []
    return pd.DataFrame(rows, columns=[*KEYS, *numbers, "iterations", *_COSTS, *more])


def _by_criterion(results: Results, folder: str) -> dict[str, Any]:
    cell, records = results.cells[folder], results.records.get(folder, [])
    targets = dict.fromkeys(cell.targets)  # often the same for all members of an ensemble
    before = sum(record.success_before for record in records)
    rest = rate([record.success for record in records if not record.success_before])
    values = [cell.criterion or "misclassification", " ".join(map(str, targets)), before]
    return {**dict(zip(_CRITERION, values, strict=True)), **rate_cells("misled_rest", rest)}


def transferability_table(results: Results) -> pd.DataFrame:
    """Return the misleading rate of each cell's images on every other classifier of the dataset.

    The paper does not define when an image misleads another classifier, so there are three rates: ``changed`` (the
    class differs from the target's own class of the original), ``source`` (from the attacked classifier's class of the
    original, if both have the same number of classes) and ``truth`` (from the ground truth). On the same images,
    ``null`` is ``changed`` of detail enhancement without an attack, ``gain`` the mean difference between the two, image
    by image, and ``truth_clean`` is ``truth`` of the originals.

    If a dataset has labels, ``changed_correct`` is ``changed`` of the ``images_correct`` that the target classified
    correctly before the attack.

    An ensemble has no ``source``, and all classifiers are its targets; if there is one, ``member`` marks those that
    belong to it.
    """
    rows = [
        _transferability(results, folder, target)
        for folder, cell in results.cells.items()
        for target in results.others(cell)
    ]
    correct = ["images_correct", *rate_columns("changed_correct")] if has_labels(results) else []
    member = ["member"] if any(cell.members for cell in results.cells.values()) else []
    numbers = [
        *compared_columns("changed", "null"),
        *rate_columns("source"),
        *rate_columns("truth"),
        "truth_clean",
        *correct,
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "target", "images", *numbers, *member])


def _transferability(results: Results, folder: str, target: Target) -> dict[str, Any]:
    cell = results.cells[folder]
    clean = results.of_originals(cell.dataset, target.fingerprint)
    adversarial = results.of_adversarial(folder, target.fingerprint)
    records = [r for r in results.records.get(folder, []) if r.image in clean and r.image in adversarial]
    before, after = (np.array([found[r.image].predicted for r in records], dtype=int) for found in (clean, adversarial))
    labels = np.array([np.nan if r.label is None else r.label for r in records], dtype=float)
    labelled = ~np.isnan(labels) & results.fits(target)
    right = labelled & (before == labels)
    has_source = not cell.members and cell.num_classes == target.num_classes
    transferred = transferability(
        before,
        after,
        np.array([r.original_class for r in records], dtype=int) if has_source else before,
        labels if results.fits(target) else None,
    )
    moved = {r.image: bool(first != second) for r, first, second in zip(records, before, after, strict=True)}
    return {
        **names_of(results, folder),
        "target": target.classifier,
        "images": len(records),
        **compared_cells("changed", moved, "null", _changed(results, results.null(cell), target)),
        **rate_cells("source", transferred.source if has_source else rate([])),
        **rate_cells("truth", transferred.truth or rate([])),
        "truth_clean": rate(before[labelled] != labels[labelled]).value,
        "images_correct": int(right.sum()),
        **rate_cells("changed_correct", rate(before[right] != after[right])),
        "member": results.is_member(cell, Judge.of(target)),
    }


def quality_table(results: Results) -> pd.DataFrame:
    """Return how far the adversarial images of each cell are from their originals: means over the images.

    ``unchanged`` is the share of images that are equal to their originals after rounding to 8 bits. The mean PSNR
    leaves them out, as theirs is infinite.

    If a line has it, ``smooth_delta_e`` is the mean colour difference where the originals are smooth, over the
    ``smooth_images`` that have smooth pixels, and ``smooth_ratio`` its ratio to that of detail enhancement without an
    attack, on the images for which both are known.
    """
    rows: list[dict[str, Any]] = []
    for folder in results.cells:
        records, quality = results.records.get(folder, []), results.quality(folder)
        known = [quality[record.image] for record in records if record.image in quality]
        rows.append(
            {
                **names_of(results, folder),
                "images": len(known),
                "unchanged": average(np.mean, [distance.linf == 0 for distance in known]),
                "psnr": average(np.mean, [record.psnr for record in records if record.psnr != np.inf]),
                **_means(records, ["ssim"]),
                **_means(known, _DISTANCES),
                **_smooth(results, folder),
            }
        )
    smooth = _SMOOTH if any(row["smooth_images"] for row in rows) else []
    return pd.DataFrame(rows, columns=[*KEYS, "images", "unchanged", "psnr", "ssim", *_DISTANCES, *smooth])


def _smooth(results: Results, folder: str) -> dict[str, float]:
    own, null = (
        {image: line.smooth_delta_e for image, line in lines.items() if line.smooth_delta_e is not None}
        for lines in (results.quality(folder), results.quality(results.null(results.cells[folder]) or ""))
    )
    both = [image for image in own if image in null]
    of_null = sum(null[image] for image in both)
    ratio = sum(own[image] for image in both) / of_null if of_null else np.nan
    return dict(zip(_SMOOTH, (len(own), average(np.mean, list(own.values())), ratio), strict=True))


TABLES: dict[str, Callable[[Results], pd.DataFrame]] = {
    "misleading": misleading_table,
    "transferability": transferability_table,
    "detectability": detectability_table,
    "quality": quality_table,
}
"""The tables by the names of their files, without the summary."""


def make_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Return all tables by the names of their files: those of `TABLES`, and their ``summary``.

    ``differences`` is there if 2 to 40 methods attacked the same classifier, ``semantics`` if a classifier has semantic
    groups, ``robustness`` if the plan asks for it. The last two add columns to the summary.

    The summary has a row per cell. ``transferred``, ``null`` and ``gain`` are means over the other classifiers,
    without members of an attacked ensemble, of ``changed``, ``null`` and ``gain``, for the images that all of them
    classified. ``detected`` is the mean over the squeezers. If a dataset has labels, ``transferred_correct`` is the
    mean over the images of the share of those classifiers which the image fools, among those that classified its
    original correctly.
    """
    tables = {name: make(results) for name, make in TABLES.items()}
    detection = tables["detectability"]
    of_all = detection["member"].isna() if "member" in detection else True
    by_criterion = [name for name in [*_CRITERION, *rate_columns("misled_rest")] if name in tables["misleading"]]
    correct = rate_columns("transferred_correct") if has_labels(results) else []
    summary = tables["misleading"][[*KEYS, "images", "errors", *rate_columns("misled"), "misled_float"]]
    for table, columns in (
        (transfer := _mean_transferability(results), [*rate_columns("transferred"), "null", *rate_columns("gain")]),
        (detection[(detection["squeezer"] == MEAN) & of_all], rate_columns("detected")),
        (tables["quality"], ["psnr", "ssim", "lpips"]),
        (tables["misleading"], ["iterations", "seconds", *by_criterion]),
        (transfer, correct),
    ):
        summary = summary.join(table.set_index(KEYS)[columns], on=KEYS)
    if len(differences := differences_table(results)):
        tables["differences"] = differences
    if len(semantics := semantics_table(results)):
        tables["semantics"] = semantics
        summary = summary.join(semantics_summary(results).set_index(KEYS), on=KEYS)
    if results.transformations:
        tables["robustness"] = robustness_table(results)
        summary = summary.join(robustness_summary(results, tables["robustness"]).set_index(KEYS), on=KEYS)
    return tables | {"summary": summary}


def _mean_transferability(results: Results) -> pd.DataFrame:
    """Return ``changed``, ``null``, ``gain`` and ``changed_correct`` as means over the targets, a row per cell."""
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        targets = results.unseen(cell)
        moved = mean_by_image([_changed(results, folder, target) for target in targets])
        null = mean_by_image([_changed(results, results.null(cell), target) for target in targets])
        rows.append(
            {
                **names_of(results, folder),
                **compared_cells("transferred", moved, "null", null),
                **rate_cells("transferred_correct", _rate_where_right(results, folder, targets)),
            }
        )
    numbers = [*compared_columns("transferred", "null"), *rate_columns("transferred_correct")]
    return pd.DataFrame(rows, columns=[*KEYS, *numbers])


def _rate_where_right(results: Results, folder: str, targets: Sequence[Target]) -> Rate:
    if not targets or not results.label_classes.get(results.cells[folder].dataset):
        return rate([])
    correct = mean_outcomes([outcomes(results, [folder], target) for target in targets]).correct
    return mean_rate(correct[~np.isnan(correct)])


def _means(lines: Sequence[object], names: Sequence[str]) -> dict[str, float]:
    return {name: average(np.mean, [getattr(line, name) for line in lines]) for name in names}


def _changed(results: Results, folder: str | None, target: Target) -> dict[str, bool]:
    """Return, by image, whether the adversarial images of a cell change the target's class; empty without a cell."""
    return changed(results.predicted(folder, target)) if folder else {}
