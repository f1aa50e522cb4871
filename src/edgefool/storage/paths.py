"""From strings to paths in stores."""

import os
import re
from pathlib import Path

from edgefool.errors import UsageError
from edgefool.storage.local_store import LocalStore
from edgefool.storage.object_store import ObjectStore
from edgefool.storage.store import StorePath

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # a single letter is a drive of Windows


def is_address(text: str) -> bool:
    """Return whether a string begins like an address, ``scheme://``."""
    return _SCHEME.match(text) is not None


def parse_path(text: str | Path | StorePath) -> StorePath:
    """Return a path, made absolute, or an address.

    Raises
    ------
    UsageError
        If it is empty, or no installed package can reach the address.
    """
    if isinstance(text, StorePath):
        return text
    path = str(text).removeprefix("file://")
    scheme, _, key = path.partition("://") if is_address(path) else ("", "", path)
    if not (key.strip("/") if scheme else key):
        raise UsageError(f"a path is empty: {str(text)!r}")
    if not scheme:
        return StorePath(LocalStore(), os.path.abspath(path))
    return StorePath(ObjectStore(scheme.lower()), key.strip("/"))


def local_path(text: str | Path | StorePath) -> Path:
    """Return a path on this machine's disk; raise `UsageError` for an address."""
    path = parse_path(text)
    if not isinstance(path.store, LocalStore):
        raise UsageError(f"{path} must be a file on the disk of each machine that uses it, not an address")
    return Path(path.key)
