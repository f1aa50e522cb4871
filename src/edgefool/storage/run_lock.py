"""One process works in a run folder: a lock where the file system has them, else an object that is kept fresh."""

import errno
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic

from filelock import FileLock, Timeout

from edgefool.errors import RunError
from edgefool.storage.address import Address
from edgefool.storage.files import PARTIAL_SUFFIX, is_remote, write_atomically

OWNER = ".owner"
"""Tells who is working in a folder."""
LOCK = ".lock"
"""What is locked where the file system has locks."""

PERIOD = 15.0
"""Seconds from one writing of the owner object to the next."""
PATIENCE = 60.0
"""Seconds, by the store's own clock, after which an owner that wrote nothing is taken for dead."""


class Hold:
    """That a process works in a folder."""

    def check(self) -> None:
        """Raise `RunError` if another process has taken the folder, or `OSError` if that cannot be found out."""


@contextmanager
def hold(folder: Path, since: str) -> Iterator[Hold]:
    """Keep other processes out of a folder, which must exist.

    Parameters
    ----------
    folder
        The folder.
    since
        The time of day, for people.

    Raises
    ------
    RunError
        If another process is in it, or its file system has no locks.
    OSError
        If the folder cannot be written.
    """
    who = f"process {os.getpid()} on {socket.gethostname()}, {since}"
    if is_remote(folder):
        with _Fresh(folder, who) as fresh:
            yield fresh
        return
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunError(f"another process is working in {folder}{_told(_read(folder))}") from error
    except NotImplementedError as error:
        raise RunError(f"the file system of {folder} has no locks: mount it with them (flock)") from error
    try:
        write_atomically(folder / OWNER, who.encode())
        yield Hold()
    finally:
        with suppress(OSError):  # a disk that is read-only by now; why the run stops is told elsewhere
            (folder / OWNER).unlink(missing_ok=True)
        lock.release()


class _Fresh(Hold):
    """An owner object that a thread writes again and again, so that others see that its process lives."""

    def __init__(self, folder: Address, who: str):
        self._path, self._folder = folder / OWNER, folder
        self._data = json.dumps({"who": who, "token": secrets.token_hex(8)}).encode()
        self._end, self._beating, self._lost = Event(), Lock(), False
        self._thread = Thread(target=self._keep, name="edgefool-owner", daemon=True)

    def __enter__(self) -> "_Fresh":
        if there := _read(self._folder):
            if self._age() < PATIENCE:
                raise self._refusal(there)
            self._path.write_bytes(self._data)
        else:
            self._create()
        self._last = monotonic()
        if (there := _read(self._folder)) != self._data:  # another process came first
            raise self._refusal(there)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        with suppress(OSError):  # others then wait until it is old
            if _read(self._folder) == self._data:
                self._path.unlink()

    def check(self) -> None:
        if monotonic() - self._last > PATIENCE / 2:  # stopped for a while, or out of reach
            self._beat()
        if self._lost:
            raise RunError(
                f"another process has taken {self._folder}{_told(_read(self._folder))}, as this one was not heard of "
                f"for {PATIENCE:g} seconds; what is done is kept"
            )

    def _create(self) -> None:
        try:
            self._path.create(self._data)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            self._path.write_bytes(self._data)  # then the last to write is the owner

    def _keep(self) -> None:
        while not self._end.wait(PERIOD) and not self._lost:
            with suppress(OSError):  # the store may come back before it matters
                self._beat()

    def _beat(self) -> None:
        with self._beating:
            start = monotonic()
            if self._lost or _read(self._folder) != self._data:
                self._lost = True
                return
            self._path.write_bytes(self._data)
            self._last = start

    def _age(self) -> float:
        """Return how many seconds ago the owner was last heard of, by the store's clock."""
        probe = self._folder / f"{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
        probe.write_bytes(b"")
        try:
            return (probe.modified() - self._path.modified()).total_seconds()
        except FileNotFoundError:  # it has just ended
            return inf
        finally:
            probe.unlink(missing_ok=True)

    def _refusal(self, there: bytes) -> RunError:
        return RunError(
            f"another process is working in {self._folder}{_told(there)}; if it was killed, wait {PATIENCE:g} seconds"
        )


def _read(folder: Path | Address) -> bytes:
    try:
        return (folder / OWNER).read_bytes()
    except FileNotFoundError:
        return b""


def _told(owner: bytes) -> str:
    """Return who that is, for people."""
    text = owner.decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):
        text = json.loads(text)["who"]
    return f" ({text})" if text else ""
