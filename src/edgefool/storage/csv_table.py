"""Small CSV files of a user, such as labels and groups of classes."""

import csv
import io
from collections.abc import Sequence

from edgefool.errors import UsageError, reason_of
from edgefool.storage.store import StorePath
from edgefool.text import decode


def read_csv_table(file: StorePath, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a CSV file in UTF-8 or, with a byte order mark, UTF-16; blank ones do not count.

    Parameters
    ----------
    file
        The file. Its first line names the columns.
    columns
        The columns that it must have; it may have more.

    Returns
    -------
    list of (str, dict)
        For each row, where it is (file and line, for messages) and its cells by column. Cells at the end of a row may
        be missing.

    Raises
    ------
    UsageError
        If the file cannot be read or lacks a column.
    """
    try:
        reader = csv.reader(io.StringIO(decode(file.read()), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"cannot read {str(file)!r}: {reason_of(error)}") from error
    names = rows.pop(0)[1] if rows else []
    if not set(columns) <= set(names):
        raise UsageError(f"{str(file)!r}: its first line must name the columns {' and '.join(columns)}, not {names}")
    return [(f"{str(file)!r}, line {line}", dict(zip(names, cells, strict=False))) for line, cells in rows]
