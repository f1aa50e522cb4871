"""Records as pandas tables."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from edgefool.runs.measurements import Quality
from edgefool.runs.records import Record
from edgefool.runs.run_folder import read_run
from edgefool.storage import StorePath

_DTYPES: dict[object, str] = {int | None: "Int64", float | None: "float64", bool: "bool"}


def load_records(path: StorePath | Path | str) -> pd.DataFrame:
    """Return the records of a run (its folder or address), a row per image and cell, with the columns of `Record`.

    ``psnr`` and ``ssim`` come from the run's `Quality` lines where the record has none. Integer columns have pandas'
    nullable type Int64.

    Raises
    ------
    UsageError
        If the folder is not a run.
    RunError
        If a line is damaged, or written by a newer version.
    """
    run = read_run(path)
    return frame(add_distances(run.records(), run.qualities()))


def add_distances(records: Iterable[Record], qualities: Iterable[Quality]) -> list[Record]:
    """Return records that lack ``psnr`` and ``ssim`` with those of the quality lines of the same PNGs."""
    known = {(line.cell, line.image, line.png): line for line in qualities}
    return [
        record.model_copy(update={"psnr": line.psnr, "ssim": line.ssim})
        if record.psnr is None and (line := known.get((record.cell, record.image, record.png or "")))
        else record
        for record in records
    ]


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """Return records as a table, a row each; see `load_records`."""
    types = {name: _DTYPES.get(field.annotation, "object") for name, field in Record.model_fields.items()}
    columns = {name: [getattr(record, name) for record in records] for name in types}
    return pd.DataFrame(columns, columns=list(types)).astype(types)
