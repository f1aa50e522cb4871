"""Locks a run folder for one process: with a file lock on a disk, with a renewed lease in an object store."""

import errno
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from math import inf
from threading import Event, Lock, Thread
from time import monotonic
from typing import Protocol

from filelock import FileLock, Timeout

from edgefool.errors import FormatError, RunError
from edgefool.storage.partial_names import partial_name
from edgefool.storage.store import RunLock, StorePath

OWNER = ".owner"
"""The file that names the process that works in a folder."""
LOCK = ".lock"
"""The file that is locked on a disk."""

LEASE_PERIOD = 15.0
"""Seconds from one renewal of a lease to the next."""
LEASE_TIMEOUT = 60.0
"""Seconds, by the store's own clock, after which a lease that is not renewed expires."""


def describe_process() -> str:
    """Return a readable description of this process, unique to it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return f"process {os.getpid()} on {socket.gethostname()}, {now}"


class _HeldByFile:
    """A lock that the operating system holds for this process as long as it lives."""

    def check(self) -> None:
        """Do nothing, as nobody can take it over."""


@contextmanager
def file_lock(folder: StorePath) -> Iterator[RunLock]:
    """Lock a folder on a disk, which must exist.

    Raises
    ------
    RunError
        If another process holds it, or the file system has no locks.
    OSError
        If the folder cannot be written.
    """
    lock, is_new = FileLock(str(folder / LOCK), timeout=0), not (folder / LOCK).exists()
    try:
        lock.acquire()
    except Timeout as error:
        raise RunError(f"another process is working in {folder}{_describe_owner(read_owner(folder))}") from error
    except NotImplementedError as error:
        raise RunError(f"the file system of {folder} has no locks; mount it with locks (flock)") from error
    try:
        (folder / OWNER).write(describe_process().encode())
        yield _HeldByFile()
    except FormatError:
        if is_new:  # leave a refused run unchanged
            (folder / LOCK).delete()
        raise
    finally:
        with suppress(OSError):  # the disk may be read-only by now; another error says so
            (folder / OWNER).delete()
        lock.release()


class LeaseStore(Protocol):
    """The methods of an object store that a lease needs beyond `Store`."""

    def create(self, key: str, data: bytes) -> None:
        """Write an object if there is none, else raise `FileExistsError`; ``ENOSYS`` if the store does not check."""

    def modified(self, key: str) -> datetime:
        """Return when an object was written, by the store's clock."""


class Lease:
    """An owner object that a thread renews, to show others that its process is alive. Enter it to hold it."""

    def __init__(self, folder: StorePath, store: LeaseStore):
        self._folder, self._path, self._store = folder, folder / OWNER, store
        self._data = json.dumps({"who": describe_process(), "token": secrets.token_hex(8)}).encode()
        self._end, self._renewing, self._lost = Event(), Lock(), False
        self._thread = Thread(target=self._keep, name="edgefool-lease", daemon=True)

    def __enter__(self) -> "Lease":
        if owner := read_owner(self._folder):
            if self._age() < LEASE_TIMEOUT:
                raise self._refusal(owner)
            self._path.write(self._data)
        else:
            self._create()
        self._last = monotonic()
        if (owner := read_owner(self._folder)) != self._data:  # another process came first
            raise self._refusal(owner)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        with suppress(OSError):  # otherwise the next process waits until the lease expires
            if read_owner(self._folder) == self._data:
                self._path.delete()

    def check(self) -> None:
        """Raise `RunError` if another process has taken over the folder, `OSError` if the store cannot be reached."""
        if monotonic() - self._last > LEASE_TIMEOUT / 2:  # the process was suspended, or the store is unreachable
            self._renew()
        if self._lost:
            owner = _describe_owner(read_owner(self._folder))
            raise RunError(
                f"another process has taken over {self._folder}{owner}, because this one was silent for "
                f"{LEASE_TIMEOUT:g} seconds; finished work is kept"
            )

    def _create(self) -> None:
        try:
            self._store.create(self._path.key, self._data)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            self._path.write(self._data)  # the last writer is the owner

    def _keep(self) -> None:
        while not self._end.wait(LEASE_PERIOD) and not self._lost:
            with suppress(OSError):  # the store may be reachable again before the lease expires
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            start = monotonic()
            if self._lost or read_owner(self._folder) != self._data:
                self._lost = True
                return
            self._path.write(self._data)
            self._last = start

    def _age(self) -> float:
        """Return the seconds since the owner's last renewal, by the store's clock."""
        probe = self._folder / partial_name()
        probe.write(b"")
        try:
            return (self._store.modified(probe.key) - self._store.modified(self._path.key)).total_seconds()
        except FileNotFoundError:  # the owner has just released it
            return inf
        finally:
            probe.delete()

    def _refusal(self, owner: bytes) -> RunError:
        who = _describe_owner(owner)
        return RunError(
            f"another process is working in {self._folder}{who}; if it was killed, wait {LEASE_TIMEOUT:g} seconds"
        )


def read_owner(folder: StorePath) -> bytes:
    """Return what the owner of a folder wrote, empty if no process works in it."""
    try:
        return (folder / OWNER).read()
    except FileNotFoundError:
        return b""


def _describe_owner(owner: bytes) -> str:
    text = owner.decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):
        text = json.loads(text)["who"]
    return f" ({text})" if text else ""
