"""What the tables share: the columns that name a cell, shares with their intervals, and means."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgefool.metrics import Rate, mean_rate, rate
from edgefool.report.results import Results

KEYS = ["dataset", "method", "classifier"]
"""The columns that name a cell."""

MEAN = "mean"
"""The row of the mean over the squeezers, the transformations, or the classifiers that were not attacked."""


def names_of(results: Results, folder: str) -> dict[str, str]:
    """Return the names of a cell, by `KEYS`."""
    cell = results.cells[folder]
    return {"dataset": cell.dataset, "method": results.methods[folder], "classifier": cell.classifier}


def has_labels(results: Results) -> bool:
    """Return whether a dataset of the cells has labels."""
    return any(results.label_classes.get(cell.dataset) for cell in results.cells.values())


def rate_columns(name: str) -> list[str]:
    """Return the columns of a share and its interval."""
    return [name, f"{name}_low", f"{name}_high"]


def rate_cells(name: str, share: Rate) -> dict[str, float]:
    """Return a share and its interval by column."""
    return dict(zip(rate_columns(name), share[:3], strict=True))


def average(function: Callable[[list[float]], Any], values: Sequence[float | None]) -> float:
    """Return a mean or median of the values that are known; NaN if there are none."""
    known = [value for value in values if value is not None]
    return float(function(known)) if known else np.nan


def share_of(values: Mapping[str, float]) -> Rate:
    """Return the share of images that are hits, or the mean of other values by image."""
    known = list(values.values())
    return rate(known) if all(isinstance(value, bool) for value in known) else mean_rate(known)


def compared_columns(name: str, null: str) -> list[str]:
    """Return the columns of `compared_cells`."""
    return [*rate_columns(name), null, *rate_columns("gain")]


def compared_cells(name: str, values: Mapping[str, float], null: str, nulls: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of values by image, that of the null method and their mean difference on the same images."""
    both = [image for image in values if image in nulls]
    return {
        **rate_cells(name, share_of(values)),
        null: average(np.mean, [nulls[image] for image in both]),
        **rate_cells("gain", mean_rate([values[image] - nulls[image] for image in both])),
    }
