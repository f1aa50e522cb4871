"""Errors that users can act on; the command line prints each in one line."""

import difflib
from collections.abc import Collection, Iterable


class EdgeFoolError(Exception):
    """Base of the errors that EdgeFool raises on purpose."""


class UsageError(EdgeFoolError, ValueError):
    """A request that names something missing, or that does not fit (exit code 2)."""


class AttackError(EdgeFoolError):
    """An attack stopped halfway, because of its own code, the classifier, or lack of memory (exit code 1)."""


class ImageError(EdgeFoolError):
    """One image cannot be read or attacked; it gets an error record and the others go on."""


class EdgeFoolWarning(UserWarning):
    """Base of the warnings of EdgeFool; the command line prints each as a note."""


class ClassifierWarning(EdgeFoolWarning):
    """A classifier's file or logits are unusual, or it gets hardly any label right before an attack."""


class ImageWarning(EdgeFoolWarning):
    """An image was read, but part of its file cannot be used; or photos of a folder cannot be read at all."""


class RunError(EdgeFoolError):
    """The surroundings do not allow it: a full disk, no network, another process (exit code 1; try again later)."""


class FormatError(RunError):
    """A run that another version of EdgeFool wrote and this version cannot read (exit code 1)."""


class UnreadableLineError(FormatError):
    """A line of a run whose checksum holds, but which this version cannot read."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown ``name``, with the nearest known names.

    >>> str(unknown("method", "edgefol", ["edgefool", "cw"]))
    "unknown method 'edgefol'; did you mean edgefool?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")


def check_known(kind: str, name: str, known: Collection[str]) -> str:
    """Return a ``name``; raise the error of `unknown` unless it is known."""
    if name not in known:
        raise unknown(kind, name, known)
    return name


def reason_of(error: BaseException) -> str:
    """Return what the system says of an `OSError`, without number and file, or the text of another error."""
    return str(getattr(error, "strerror", None) or error)


def describe_failure(error: BaseException) -> str:
    r"""Return one line on why something failed: what the system says with the file's name, or the error's first line.

    >>> describe_failure(RuntimeError("no room\non the device")), describe_failure(MemoryError())
    ('no room', 'there is not enough memory')
    """
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {reason_of(error)}"
    nameless = "there is not enough memory" if isinstance(error, MemoryError) else type(error).__name__
    reason = reason_of(error).strip().partition("\n")[0] or nameless
    return " ".join([reason, *(f"({note})" for note in getattr(error, "__notes__", ()))])
