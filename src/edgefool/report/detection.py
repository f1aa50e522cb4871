"""The detectability of adversarial images by feature squeezing: Table 1 of the paper."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from edgefool.metrics import detectability, detection_threshold
from edgefool.report.paper import classifier_of_paper, paper_detectability
from edgefool.report.results import Answers, Results
from edgefool.report.table_parts import KEYS, MEAN, names_of, rate_cells, rate_columns
from edgefool.runs import Cell, CellMember

JOINT = "joint"
"""The detector that uses the largest of the squeezers' scores."""


def detectability_table(results: Results) -> pd.DataFrame:
    """Return the share of each cell's adversarial images that each squeezer detects, and all of them jointly.

    ``detected`` refers to all images, as in the paper, ``detected_misled`` to those that mislead. ``paper`` is the
    figure of Table 1 for the method, the kind of dataset and the classifier's architecture, if there is one. The row
    ``mean`` averages the squeezers, without the joint detector.

    An ensemble has these rows for each ``member``, whose own probabilities are compared. Its rows ``joint`` and
    ``mean`` without a member are over the squeezers of all members.
    """
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        for member in cell.members:
            rows += [row | {"member": member.classifier} for row in _rows(results, folder, [member])]
        rows += [row for row in _rows(results, folder, cell.members or [cell]) if row["squeezer"]]
    shares = [*rate_columns("detected"), "paper", "misled_images", *rate_columns("detected_misled")]
    more = ["member"] if any(cell.members for cell in results.cells.values()) else []
    return pd.DataFrame(rows, columns=[*KEYS, "squeezer", "threshold", "originals", "images", *shares, *more])


def _rows(results: Results, folder: str, classifiers: Sequence[Cell | CellMember]) -> list[dict[str, Any]]:
    """Return a row for each squeezer of each classifier, without its name if there are several, JOINT and MEAN."""
    cell, fpr, squeezers = results.cells[folder], results.false_positive_rate, results.squeezers
    clean = _scores(results, [results.of_originals(cell.dataset, one.fingerprint) for one in classifiers])
    if not clean or not squeezers:
        return []
    adversarial = _scores(results, [results.of_adversarial(folder, one.fingerprint) for one in classifiers])
    images = sorted(clean)  # in a fixed order, as the bootstrap draws by position
    before = np.array([clean[image] for image in images])
    after = np.array([adversarial.get(image, [np.nan] * before.shape[1]) for image in images])
    misled = {record.image for record in results.records.get(folder, []) if record.success}
    is_misled = np.array([image in misled for image in images])
    everything = detectability(before, after, false_positive_rate=fpr)
    successful = everything
    if not is_misled.all():
        successful = detectability(before, after, false_positive_rate=fpr, which=is_misled)
    thresholds = [detection_threshold(scores, fpr) for scores in (*before.T, before.max(1))]
    network = classifier_of_paper(results.networks.get((cell.dataset, cell.classifier), "")) or ""
    kind = results.kinds.get(cell.dataset, "")
    paper = [paper_detectability(kind, cell.method, network, squeezer) for squeezer in squeezers] * len(classifiers)
    names = squeezers if len(classifiers) == 1 else [""] * before.shape[1]
    return [
        {
            **names_of(results, folder),
            "squeezer": squeezer,
            "threshold": threshold,
            "originals": len(images),
            "images": detected.count,
            **rate_cells("detected", detected),
            "paper": figure,
            "misled_images": detected_misled.count,
            **rate_cells("detected_misled", detected_misled),
        }
        for squeezer, threshold, figure, detected, detected_misled in zip(
            [*names, JOINT, MEAN],
            [*thresholds, np.nan],
            [*paper, np.nan, float(np.mean(paper))],
            everything,
            successful,
            strict=True,
        )
    ]


def _scores(results: Results, answers: Sequence[Answers]) -> dict[str, list[float]]:
    """Return the scores of all squeezers of all classifiers by image, for the images that have all of them."""
    return {
        image: [each[image].scores[squeezer] for each in answers for squeezer in results.squeezers]
        for image in answers[0]
        if all(image in each and set(results.squeezers) <= each[image].scores.keys() for each in answers)
    }


def by_member(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a classifier for each member of an ensemble, named as in ``both (first)``."""
    if "member" not in table:
        return table
    pairs = zip(table["classifier"], table["member"], strict=True)
    return table.assign(classifier=[f"{name} ({member})" if pd.notna(member) else name for name, member in pairs])
