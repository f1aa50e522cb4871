"""The SHA-256 of photos; those that are as they were are not read again."""

import os
from collections.abc import Mapping
from types import MappingProxyType

from edgefool.runs.records import FileStamp, sha256
from edgefool.storage import StorePath


class SourceHashes:
    """Returns hashes of files; safe to call from several threads.

    Parameters
    ----------
    known
        The stamps of a run, by path.

    Attributes
    ----------
    new : list of FileStamp
        Stamps of the files that were read.
    """

    def __init__(self, known: Mapping[str, FileStamp] = MappingProxyType({})):
        self._known = known
        self.new: list[FileStamp] = []

    def __call__(self, path: StorePath) -> str | None:
        """Return the SHA-256 of a file, None if it cannot be read."""
        # A hash, as the path itself may be no plain name.
        name = f"sources/{sha256(os.fsencode(str(path)))}"
        try:
            stat, stamp = path.stat(), self._known.get(name)
            if stat and stamp and stamp.fits(stat):
                return stamp.sha256
            digest = sha256(path.read())
        except OSError:
            return None
        if stat and stat.version:
            self.new.append(FileStamp(path=name, size=stat.size, version=stat.version, sha256=digest))
        return digest
