"""What the rows of all tables have in common: the names of their cell, and rates with their intervals."""

from edgefool.metrics import Rate
from edgefool.report.results import Results

KEYS = ["dataset", "method", "classifier"]


def names_of(results: Results, folder: str) -> dict[str, str]:
    """Return the values of `KEYS` for a cell."""
    cell = results.cells[folder]
    return {"dataset": cell.dataset, "method": results.methods[folder], "classifier": cell.classifier}


def columns_of(name: str) -> list[str]:
    """Return the names of the columns of a rate."""
    return [name, f"{name}_low", f"{name}_high"]


def rate_columns(name: str, share: Rate) -> dict[str, float]:
    """Return the values of the columns of a rate."""
    return dict(zip(columns_of(name), share[:3], strict=True))
