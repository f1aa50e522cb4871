"""The format version of run folders: what this version reads and writes, and whom to ask about the rest."""

import json
from importlib.metadata import version
from typing import NamedTuple

from edgefool.errors import FormatError
from edgefool.storage import StorePath

FORMAT = 2
"""Of the runs that this version writes. Format 1, of version 0.1.0, has no file that says so."""

_FILE = "format.json"


class Format(NamedTuple):
    """A run's format version, and the version of edgefool that last worked on it."""

    number: int
    edgefool: str

    def __str__(self) -> str:
        return f"format {self.number}, last written by edgefool {self.edgefool}"


def read_format(run: StorePath) -> Format:
    """Return the format of a run; a damaged file counts as the present one, as every line has a checksum of its own."""
    try:
        found = json.loads((run / _FILE).read())
        return Format(int(found["format"]), str(found["edgefool"]))
    except FileNotFoundError:
        return Format(1, "0.1.0")
    except (ValueError, KeyError, TypeError):
        return Format(FORMAT, "(unknown)")


def check_format(run: StorePath) -> None:
    """Raise `FormatError` if a run is of a newer format than this version reads."""
    found = read_format(run)
    if found.number > FORMAT:
        raise FormatError(
            f"{run} is a run of {found}; this is edgefool {version('edgefool')}, which reads formats up to {FORMAT}: "
            f"use edgefool {found.edgefool} or newer (nothing was changed)"
        )


def write_format(run: StorePath) -> None:
    """Write the format that this version writes, unless it is there already."""
    if read_format(run) != (current := Format(FORMAT, version("edgefool"))):
        (run / _FILE).write(json.dumps({"format": FORMAT, "edgefool": current.edgefool}).encode())
