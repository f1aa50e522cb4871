"""The names of unfinished files, which are told from files that other programs left."""

import re
import secrets

_NAME = re.compile(r"[0-9a-f]{16}\.partial")


def partial_name() -> str:
    """Return a name for a file until it is finished; the next process in its folder may delete it."""
    return f"{secrets.token_hex(8)}.partial"


def is_partial(name: str) -> bool:
    """Return whether a name is one of these.

    >>> is_partial(partial_name()), is_partial("film.mkv.partial")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None
