"""The numbers behind the paper's Fig. 5 and Table 1, with what the paper leaves open beside them.

Every table has a row per cell and what it is split by; shares are of images, with the ends of their 95 % intervals.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from edgefool.metrics import Rate, detectability, detection_threshold, mean_rate, rate, transferability
from edgefool.report.paper import classifier_of_paper, paper_detectability
from edgefool.report.results import Answers, Results
from edgefool.runs.cell import Cell
from edgefool.runs.run_folder import Record

JOINT = "joint"
"""The detector that looks at the largest of the squeezers' scores."""

MEAN = "mean"
"""The mean of the squeezers' shares."""

_KEYS = ["dataset", "method", "classifier"]


def misleading_table(results: Results) -> pd.DataFrame:
    """Return the misleading rate of each cell (Eq. 1), and what its images cost.

    ``misled`` is judged on the 8-bit images, ``misled_float`` before rounding; ``converged`` is the share that met the
    attack's own stopping rule; ``lost_gradient`` counts images; ``iterations`` is the median, passes and seconds are
    means.
    """
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        records = results.records.get(folder, [])
        rows.append(
            {
                **_names(results, folder, cell),
                "images": len(records),
                "errors": len(results.errors.get(folder, [])),
                **_rate("misled", rate([record.success for record in records])),
                **_rate("misled_float", rate([record.success_float for record in records])),
                "converged": _mean([record.converged for record in records]),
                "lost_gradient": sum(record.lost_gradient for record in records),
                "iterations": _median([record.iterations for record in records]),
                "forward_passes": _mean([record.forward_passes for record in records]),
                "backward_passes": _mean([record.backward_passes for record in records]),
                "seconds": _mean([record.seconds for record in records]),
            }
        )
    numbers = ["images", "errors", *_columns("misled"), *_columns("misled_float"), "converged", "lost_gradient"]
    numbers += ["iterations", "forward_passes", "backward_passes", "seconds"]
    return pd.DataFrame(rows, columns=[*_KEYS, *numbers])


def transferability_table(results: Results) -> pd.DataFrame:
    """Return the misleading rate of each cell's images on every other classifier of the dataset.

    The paper leaves open what an image must be mistaken for; all readings are here: ``changed`` (another class than
    the target's own of the original), ``source`` (another than the attacked classifier's of the original, if both have
    as many classes), ``truth`` (another than the ground truth). Beside them, of the same images: ``null``, the first
    reading for detail enhancement without an attack, ``gain``, how much more the attack changes than that, image by
    image, and ``truth_clean``, the third for the originals.
    """
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        for target in results.targets[cell.dataset]:
            if target.fingerprint == cell.fingerprint:
                continue
            clean = results.of_originals(cell.dataset, target.fingerprint)
            adversarial = results.of_adversarial(folder, target.fingerprint)
            records = [r for r in results.records.get(folder, []) if r.image in clean and r.image in adversarial]
            before = np.array([clean[r.image].predicted for r in records], dtype=int)
            labels = _labels(records) if results.fits(target) else None
            transferred = transferability(
                before,
                np.array([adversarial[r.image].predicted for r in records], dtype=int),
                np.array([r.original_class for r in records], dtype=int),
                labels,
            )
            null = _null(results, cell, target)
            both = [r.image for r in records if r.image in null]
            gains = [_changed(clean, adversarial, image) - null[image] for image in both]
            row: dict[str, Any] = {
                **_names(results, folder, cell),
                "target": target.classifier,
                "images": len(records),
                **_rate("changed", transferred.changed),
                "null": rate([null[image] for image in both]).value,
                **_rate("gain", mean_rate(gains)),
                **_rate("source", transferred.source if cell.num_classes == target.num_classes else rate([])),
                **_rate("truth", transferred.truth or rate([])),
                "truth_clean": np.nan,
            }
            if labels is not None:
                known = ~np.isnan(labels)
                row["truth_clean"] = rate(before[known] != labels[known]).value
            rows.append(row)
    numbers = [*_columns("changed"), "null", *_columns("gain"), *_columns("source"), *_columns("truth"), "truth_clean"]
    return pd.DataFrame(rows, columns=[*_KEYS, "target", "images", *numbers])


def detectability_table(results: Results) -> pd.DataFrame:
    """Return how many adversarial images of each cell each squeezer tells, and all jointly (the largest score).

    ``detected`` is over all images, the paper's denominator, ``detected_misled`` over those that mislead; ``paper`` is
    the figure of Table 1 for the method, the kind of dataset and the classifier's architecture, if it has one. The row
    ``mean`` averages the squeezers, without the joint detector.
    """
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        if not results.squeezers:
            break
        clean = _scores(results, results.of_originals(cell.dataset, cell.fingerprint))
        adversarial = _scores(results, results.of_adversarial(folder, cell.fingerprint))
        images = sorted(clean)  # as the bootstrap draws by position, and answers stand in any order
        if not images:
            continue
        nothing = [np.nan] * len(results.squeezers)
        before = np.array([clean[image] for image in images])
        after = np.array([adversarial.get(image, nothing) for image in images])
        misled = {record.image for record in results.records.get(folder, []) if record.success}
        which = np.array([image in misled for image in images])
        fpr = results.false_positive_rate
        everything = detectability(before, after, false_positive_rate=fpr)
        successful = detectability(before, after, false_positive_rate=fpr, which=which)
        columns = [*before.T, before.max(1)]
        network = classifier_of_paper(results.networks.get((cell.dataset, cell.classifier), "")) or ""
        of_paper = [
            paper_detectability(results.kinds.get(cell.dataset, ""), cell.method, network, squeezer)
            for squeezer in results.squeezers
        ]
        of_paper += [np.nan, float(np.mean(of_paper))]
        for k, squeezer in enumerate([*results.squeezers, JOINT, MEAN]):
            rows.append(
                {
                    **_names(results, folder, cell),
                    "squeezer": squeezer,
                    "threshold": np.nan if squeezer == MEAN else detection_threshold(columns[k], fpr),
                    "originals": len(images),
                    "images": everything[k].count,
                    **_rate("detected", everything[k]),
                    "paper": of_paper[k],
                    "misled_images": successful[k].count,
                    **_rate("detected_misled", successful[k]),
                }
            )
    numbers = ["originals", "images", *_columns("detected"), "paper", "misled_images", *_columns("detected_misled")]
    return pd.DataFrame(rows, columns=[*_KEYS, "squeezer", "threshold", *numbers])


def quality_table(results: Results) -> pd.DataFrame:
    """Return how far the adversarial images of each cell are from their originals: means over the images.

    ``unchanged`` is the share of images that rounding to 8 bits gave back as they were; their PSNR, which is infinite,
    is left out of its mean.
    """
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        records, quality = results.records.get(folder, []), results.quality(folder)
        known = [quality[record.image] for record in records if record.image in quality]
        finite = [record.psnr for record in records if record.psnr is not None and np.isfinite(record.psnr)]
        rows.append(
            {
                **_names(results, folder, cell),
                "images": len(known),
                "unchanged": _mean([distance.linf == 0 for distance in known]),
                "psnr": _mean(finite),
                "ssim": _mean([record.ssim for record in records]),
                "lpips": _mean([distance.lpips for distance in known]),
                "ciede2000": _mean([distance.ciede2000 for distance in known]),
                "linf": _mean([distance.linf for distance in known]),
                "changed_pixels": _mean([distance.changed_pixels for distance in known]),
            }
        )
    numbers = ["images", "unchanged", "psnr", "ssim", "lpips", "ciede2000", "linf", "changed_pixels"]
    return pd.DataFrame(rows, columns=[*_KEYS, *numbers])


TABLES: dict[str, Callable[[Results], pd.DataFrame]] = {
    "misleading": misleading_table,
    "transferability": transferability_table,
    "detectability": detectability_table,
    "quality": quality_table,
}
"""What is made of the results themselves."""


def make_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Return all tables by the names of their files: those of `TABLES`, and ``summary``, the gist of them.

    The summary has a row per cell. ``transferred`` is the mean over the other classifiers of ``changed``, over the
    images that all of them have judged; ``null`` and ``gain`` likewise. ``detected`` is the mean over the squeezers.
    """
    tables = {name: make(results) for name, make in TABLES.items()}
    detection, quality = tables["detectability"], tables["quality"]
    summary = tables["misleading"][[*_KEYS, "images", "errors", *_columns("misled"), "misled_float"]]
    for gist in (
        _mean_transferability(results),
        detection[detection["squeezer"] == MEAN].set_index(_KEYS)[_columns("detected")],
        quality.set_index(_KEYS)[["psnr", "ssim", "lpips"]],
        tables["misleading"].set_index(_KEYS)[["iterations", "seconds"]],
    ):
        summary = summary.join(gist, on=_KEYS)
    return tables | {"summary": summary}


def _mean_transferability(results: Results) -> pd.DataFrame:
    """Return ``changed``, ``null`` and ``gain`` as means over the targets, a row per cell."""
    rows: list[dict[str, Any]] = []
    for folder, cell in results.cells.items():
        shares: dict[str, list[bool]] = {}
        nulls: dict[str, list[bool]] = {}
        targets = [target for target in results.targets[cell.dataset] if target.fingerprint != cell.fingerprint]
        for target in targets:
            clean = results.of_originals(cell.dataset, target.fingerprint)
            adversarial = results.of_adversarial(folder, target.fingerprint)
            for image in clean.keys() & adversarial.keys():
                shares.setdefault(image, []).append(_changed(clean, adversarial, image))
            for image, changed in _null(results, cell, target).items():
                nulls.setdefault(image, []).append(changed)
        images = sorted(image for image, known in shares.items() if len(known) == len(targets))
        both = [image for image in images if len(nulls.get(image, [])) == len(targets)]
        rows.append(
            {
                **_names(results, folder, cell),
                **_rate("transferred", mean_rate([np.mean(shares[image]) for image in images])),
                "null": mean_rate([np.mean(nulls[image]) for image in both]).value,
                **_rate("gain", mean_rate([np.mean(shares[image]) - np.mean(nulls[image]) for image in both])),
            }
        )
    numbers = [*_columns("transferred"), "null", *_columns("gain")]
    return pd.DataFrame(rows, columns=[*_KEYS, *numbers]).set_index(_KEYS)


def _names(results: Results, folder: str, cell: Cell) -> dict[str, str]:
    return {"dataset": cell.dataset, "method": results.methods[folder], "classifier": cell.classifier}


def _columns(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def _rate(name: str, share: Rate) -> dict[str, float]:
    return dict(zip(_columns(name), share[:3], strict=True))


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else np.nan


def _median(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else np.nan


def _labels(records: Sequence[Record]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if record.label is None else record.label for record in records], dtype=float)


def _changed(clean: Answers, adversarial: Answers, image: str) -> bool:
    return adversarial[image].predicted != clean[image].predicted


def _null(results: Results, cell: Cell, target: Cell) -> dict[str, bool]:
    """Return, by image, whether enhancement without an attack changes the target's class."""
    clean = results.of_originals(cell.dataset, target.fingerprint)
    folder = results.nulls.get((cell.dataset, cell.fingerprint))
    enhanced = results.of_adversarial(folder, target.fingerprint) if folder else {}
    return {image: _changed(clean, enhanced, image) for image in enhanced if image in clean}


def _scores(results: Results, answers: Any) -> dict[str, list[float]]:
    """Return by image the scores of all squeezers, of those images that have them."""
    wanted = results.squeezers
    return {
        image: [line.scores[s] for s in wanted] for image, line in answers.items() if set(wanted) <= line.scores.keys()
    }
