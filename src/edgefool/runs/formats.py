"""The format version of run folders: which formats this version reads and writes, and which version reads others."""

import json
from importlib.metadata import version
from typing import NamedTuple

from edgefool.errors import FormatError
from edgefool.storage import StorePath

FORMAT = 2
"""The format of the runs that this version writes. Runs of version 0.1.0 have format 1, and no file that says so."""

_FILE = "format.json"


class Format(NamedTuple):
    """A run's format version, and the version of edgefool that last worked on it."""

    number: int
    edgefool: str

    def __str__(self) -> str:
        return f"format {self.number}, last written by edgefool {self.edgefool}"


def read_format(run: StorePath) -> Format:
    """Return the format of a run; the current one if the file is damaged, as every line has its own checksum."""
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
    if read_format(run) != (FORMAT, version("edgefool")):
        (run / _FILE).write(json.dumps({"format": FORMAT, "edgefool": version("edgefool")}).encode())
