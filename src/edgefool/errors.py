"""Errors that a person can act on; the command line prints them in one line."""

import difflib
from collections.abc import Iterable


class EdgeFoolError(Exception):
    """Base of the errors that EdgeFool raises on purpose."""


class UsageError(EdgeFoolError, ValueError):
    """Something that was asked for does not exist or does not fit (exit code 2)."""


class AttackError(EdgeFoolError):
    """An attack failed in the middle: its own fault, the classifier's, or that of too little memory."""


class ImageError(EdgeFoolError):
    """One image cannot be read or attacked; the others can (an error record)."""


class RunError(EdgeFoolError):
    """Something outside stands in the way: a full disk, no network, another process (exit code 1; try again later)."""


class FormatError(RunError):
    """A run that another version of the program wrote, and that this one cannot read."""


class UnreadableLineError(FormatError):
    """A line of a run whose checksum holds, but which this version does not know."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown ``name``, with the nearest known names.

    >>> str(unknown("method", "edgefol", ["edgefool", "cw"]))
    "unknown method 'edgefol'; did you mean edgefool?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")
