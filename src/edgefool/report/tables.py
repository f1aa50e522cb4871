"""The numbers behind the paper's Fig. 5 and Table 1, and some that the paper leaves out.

Each table has a row per cell, or several if it is split further. Shares are of images; ``_low`` and ``_high`` are the
ends of their 95 % intervals.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from edgefool.metrics import Rate, detectability, detection_threshold, mean_rate, rate, transferability
from edgefool.report.paper import classifier_of_paper, paper_detectability
from edgefool.report.results import Answers, Results
from edgefool.runs import Cell

JOINT = "joint"
"""The detector that takes the largest of the squeezers' scores."""

MEAN = "mean"
"""The mean of the squeezers' shares."""

_KEYS = ["dataset", "method", "classifier"]
_COSTS = ["forward_passes", "backward_passes", "seconds"]
_DISTANCES = ["lpips", "ciede2000", "linf", "changed_pixels"]


def misleading_table(results: Results) -> pd.DataFrame:
    """Return the misleading rate of each cell (Eq. 1), and what its images cost.

    ``misled`` is judged on the 8-bit images, ``misled_float`` before rounding. ``converged`` is the share of images
    that met the attack's own stopping rule, ``lost_gradient`` a number of images. ``iterations`` is a median, passes
    and seconds are means.
    """
    rows: list[dict[str, Any]] = []
    for folder in results.cells:
        records = results.records.get(folder, [])
        rows.append(
            {
                **_names(results, folder),
                "images": len(records),
                "errors": len(results.errors.get(folder, [])),
                **_rate("misled", rate([record.success for record in records])),
                **_rate("misled_float", rate([record.success_float for record in records])),
                **_means(records, ["converged"]),
                "lost_gradient": sum(record.lost_gradient for record in records),
                "iterations": _average(np.median, [record.iterations for record in records]),
                **_means(records, _COSTS),
            }
        )
    numbers = ["images", "errors", *_columns("misled"), *_columns("misled_float"), "converged", "lost_gradient"]
    return pd.DataFrame(rows, columns=[*_KEYS, *numbers, "iterations", *_COSTS])


def transferability_table(results: Results) -> pd.DataFrame:
    """Return the misleading rate of each cell's images on every other classifier of the dataset.

    The paper does not define when an image misleads another classifier, so all three readings are here: ``changed``
    (not the target's own class of the original), ``source`` (not the attacked classifier's class of the original, if
    both have as many classes) and ``truth`` (not the ground truth). On the same images, ``null`` is ``changed`` of
    detail enhancement without an attack, ``gain`` the mean difference between the two, image by image, and
    ``truth_clean`` is ``truth`` of the originals.
    """
    rows = [
        _transferability(results, folder, target)
        for folder, cell in results.cells.items()
        for target in results.others(cell)
    ]
    numbers = [*_columns("changed"), "null", *_columns("gain"), *_columns("source"), *_columns("truth"), "truth_clean"]
    return pd.DataFrame(rows, columns=[*_KEYS, "target", "images", *numbers])


def _transferability(results: Results, folder: str, target: Cell) -> dict[str, Any]:
    cell = results.cells[folder]
    clean = results.of_originals(cell.dataset, target.fingerprint)
    adversarial = results.of_adversarial(folder, target.fingerprint)
    records = [r for r in results.records.get(folder, []) if r.image in clean and r.image in adversarial]
    before = np.array([clean[r.image].predicted for r in records], dtype=int)
    labels = np.array([np.nan if r.label is None else r.label for r in records], dtype=float)
    labelled = ~np.isnan(labels) & results.fits(target)
    transferred = transferability(
        before,
        np.array([adversarial[r.image].predicted for r in records], dtype=int),
        np.array([r.original_class for r in records], dtype=int),
        labels if results.fits(target) else None,
    )
    null = _null(results, cell, target)
    both = [r.image for r in records if r.image in null]
    return {
        **_names(results, folder),
        "target": target.classifier,
        "images": len(records),
        **_rate("changed", transferred.changed),
        "null": rate([null[image] for image in both]).value,
        **_rate("gain", mean_rate([_changed(clean, adversarial, image) - null[image] for image in both])),
        **_rate("source", transferred.source if cell.num_classes == target.num_classes else rate([])),
        **_rate("truth", transferred.truth or rate([])),
        "truth_clean": rate(before[labelled] != labels[labelled]).value,
    }


def detectability_table(results: Results) -> pd.DataFrame:
    """Return the share of each cell's adversarial images that each squeezer detects, and all of them jointly.

    ``detected`` is of all images, as in the paper, ``detected_misled`` of those that mislead. ``paper`` is the figure
    of Table 1 for the method, the kind of dataset and the classifier's architecture, if it has one. The row ``mean``
    averages the squeezers, without the joint detector.
    """
    rows: list[dict[str, Any]] = []
    fpr, squeezers = results.false_positive_rate, results.squeezers
    for folder, cell in results.cells.items():
        clean = _scores(results, results.of_originals(cell.dataset, cell.fingerprint))
        if not clean or not squeezers:
            continue
        adversarial = _scores(results, results.of_adversarial(folder, cell.fingerprint))
        images = sorted(clean)  # the bootstrap draws by position, and answers come in any order
        before = np.array([clean[image] for image in images])
        after = np.array([adversarial.get(image, [np.nan] * len(squeezers)) for image in images])
        misled = {record.image for record in results.records.get(folder, []) if record.success}
        everything = detectability(before, after, false_positive_rate=fpr)
        successful = detectability(
            before, after, false_positive_rate=fpr, which=np.array([image in misled for image in images])
        )
        thresholds = [detection_threshold(scores, fpr) for scores in (*before.T, before.max(1))]
        network = classifier_of_paper(results.networks.get((cell.dataset, cell.classifier), "")) or ""
        kind = results.kinds.get(cell.dataset, "")
        paper = [paper_detectability(kind, cell.method, network, squeezer) for squeezer in squeezers]
        for squeezer, threshold, figure, detected, detected_misled in zip(
            [*squeezers, JOINT, MEAN],
            [*thresholds, np.nan],
            [*paper, np.nan, float(np.mean(paper))],
            everything,
            successful,
            strict=True,
        ):
            rows.append(
                {
                    **_names(results, folder),
                    "squeezer": squeezer,
                    "threshold": threshold,
                    "originals": len(images),
                    "images": detected.count,
                    **_rate("detected", detected),
                    "paper": figure,
                    "misled_images": detected_misled.count,
                    **_rate("detected_misled", detected_misled),
                }
            )
    numbers = ["originals", "images", *_columns("detected"), "paper", "misled_images", *_columns("detected_misled")]
    return pd.DataFrame(rows, columns=[*_KEYS, "squeezer", "threshold", *numbers])


def quality_table(results: Results) -> pd.DataFrame:
    """Return how far the adversarial images of each cell are from their originals: means over the images.

    ``unchanged`` is the share of images that rounding to 8 bits turned back into their originals. The mean PSNR leaves
    them out, as theirs is infinite.
    """
    rows: list[dict[str, Any]] = []
    for folder in results.cells:
        records, quality = results.records.get(folder, []), results.quality(folder)
        known = [quality[record.image] for record in records if record.image in quality]
        rows.append(
            {
                **_names(results, folder),
                "images": len(known),
                "unchanged": _average(np.mean, [distance.linf == 0 for distance in known]),
                "psnr": _average(np.mean, [record.psnr for record in records if record.psnr != np.inf]),
                **_means(records, ["ssim"]),
                **_means(known, _DISTANCES),
            }
        )
    return pd.DataFrame(rows, columns=[*_KEYS, "images", "unchanged", "psnr", "ssim", *_DISTANCES])


TABLES: dict[str, Callable[[Results], pd.DataFrame]] = {
    "misleading": misleading_table,
    "transferability": transferability_table,
    "detectability": detectability_table,
    "quality": quality_table,
}
"""The tables by the names of their files, without the summary."""


def make_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Return all tables by the names of their files: those of `TABLES`, and their ``summary``.

    The summary has a row per cell. ``transferred`` is the mean of ``changed`` over the other classifiers, for the
    images that all of them have judged; so are ``null`` and ``gain``. ``detected`` is the mean over the squeezers.
    """
    tables = {name: make(results) for name, make in TABLES.items()}
    detection = tables["detectability"]
    summary = tables["misleading"][[*_KEYS, "images", "errors", *_columns("misled"), "misled_float"]]
    for table, columns in (
        (_mean_transferability(results), [*_columns("transferred"), "null", *_columns("gain")]),
        (detection[detection["squeezer"] == MEAN], _columns("detected")),
        (tables["quality"], ["psnr", "ssim", "lpips"]),
        (tables["misleading"], ["iterations", "seconds"]),
    ):
        summary = summary.join(table.set_index(_KEYS)[columns], on=_KEYS)
    return tables | {"summary": summary}


def _mean_transferability(results: Results) -> pd.DataFrame:
    """Return ``changed``, ``null`` and ``gain`` as means over the targets, a row per cell."""
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        changed: list[Mapping[str, bool]] = []  # per target
        nulls: list[Mapping[str, bool]] = []
        for target in results.others(cell):
            clean = results.of_originals(cell.dataset, target.fingerprint)
            adversarial = results.of_adversarial(folder, target.fingerprint)
            changed.append({image: _changed(clean, adversarial, image) for image in clean.keys() & adversarial.keys()})
            nulls.append(_null(results, cell, target))
        shares, of_nulls = _complete_means(changed), _complete_means(nulls)
        both = [image for image in shares if image in of_nulls]
        rows.append(
            {
                **_names(results, folder),
                **_rate("transferred", mean_rate(list(shares.values()))),
                "null": mean_rate([of_nulls[image] for image in both]).value,
                **_rate("gain", mean_rate([shares[image] - of_nulls[image] for image in both])),
            }
        )
    return pd.DataFrame(rows, columns=[*_KEYS, *_columns("transferred"), "null", *_columns("gain")])


def _complete_means(per_target: Sequence[Mapping[str, bool]]) -> dict[str, float]:
    """Return the mean over the targets of each image that every target has judged, in the order of their names."""
    images = set.intersection(*(set(judged) for judged in per_target)) if per_target else set()
    return {image: float(np.mean([judged[image] for judged in per_target])) for image in sorted(images)}


def _names(results: Results, folder: str) -> dict[str, str]:
    cell = results.cells[folder]
    return {"dataset": cell.dataset, "method": results.methods[folder], "classifier": cell.classifier}


def _columns(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def _rate(name: str, share: Rate) -> dict[str, float]:
    return dict(zip(_columns(name), share[:3], strict=True))


def _average(average: Callable[[list[float]], Any], values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(average(known)) if known else np.nan


def _means(lines: Sequence[object], names: Sequence[str]) -> dict[str, float]:
    return {name: _average(np.mean, [getattr(line, name) for line in lines]) for name in names}


def _changed(clean: Answers, adversarial: Answers, image: str) -> bool:
    return adversarial[image].predicted != clean[image].predicted


def _null(results: Results, cell: Cell, target: Cell) -> dict[str, bool]:
    """Return, by image, whether enhancement without an attack changes the target's class."""
    clean = results.of_originals(cell.dataset, target.fingerprint)
    folder = results.nulls.get((cell.dataset, cell.fingerprint))
    enhanced = results.of_adversarial(folder, target.fingerprint) if folder else {}
    return {image: _changed(clean, enhanced, image) for image in enhanced if image in clean}


def _scores(results: Results, answers: Answers) -> dict[str, list[float]]:
    """Return the scores of all squeezers by image, for the images that have all of them."""
    return {
        image: [line.scores[squeezer] for squeezer in results.squeezers]
        for image, line in answers.items()
        if set(results.squeezers) <= line.scores.keys()
    }
