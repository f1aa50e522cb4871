"""One process at a time works in a run folder, on a disk and in a store; a dead one keeps nobody out for long."""

import errno
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import Queue
from typing import ClassVar

import filelock
import pytest

from edgefool.errors import FormatError, RunError
from edgefool.storage import ObjectStore, StorePath, run_lock
from edgefool.storage.run_lock import LEASE_TIMEOUT, LOCK, OWNER, describe_process


@dataclass(frozen=True)
class ClockedStore(ObjectStore):
    """A store in memory whose clock, and that of the processes, stands still until it is set."""

    seconds: ClassVar[float] = 0.0
    written: ClassVar[dict[str, float]] = {}
    writes: ClassVar["Queue[str]"] = Queue()
    away: ClassVar[bool] = False

    def read(self, key: str) -> bytes:
        if self.away:
            raise OSError(errno.EIO, "no answer", self.url(key))
        return super().read(key)

    def write(self, key: str, data: bytes) -> None:
        super().write(key, data)
        self.written[key] = self.seconds
        self.writes.put(key)

    def create(self, key: str, data: bytes) -> None:
        super().create(key, data)
        self.written[key] = self.seconds

    def modified(self, key: str) -> datetime:
        if not self.kind(key):
            raise FileNotFoundError(key)
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=self.written[key])


@pytest.fixture
def clock(monkeypatch) -> type[ClockedStore]:
    """Return what sets the clock; no lease is renewed unless `check` does it."""
    for name, value in {"seconds": 0.0, "written": {}, "writes": Queue(), "away": False}.items():
        monkeypatch.setattr(ClockedStore, name, value)
    monkeypatch.setattr(run_lock, "monotonic", lambda: ClockedStore.seconds)
    monkeypatch.setattr(run_lock, "LEASE_PERIOD", 1e6)
    return ClockedStore


@pytest.fixture
def folder(memory, clock) -> StorePath:
    """Return a folder in a store whose clock can be set."""
    return StorePath(clock("memory"), "store")


@pytest.fixture
def dead(folder) -> Iterator[StorePath]:
    """Return a folder whose owner has just been killed."""
    owner = json.dumps({"who": "process 7 on elsewhere", "token": "0"}).encode()
    (folder / OWNER).write(owner)
    return folder


def lease_thread():
    return next(thread for thread in threading.enumerate() if thread.name == "edgefool-lease")


REFUSAL = rf"^another process is working in .* \(process \d+ on .*; if it was killed, wait {LEASE_TIMEOUT:g} seconds$"


# Every store


def test_the_second_is_refused_and_the_first_goes_on(place):
    with place.lock() as held:
        held.check()
        with (
            pytest.raises(RunError, match=r"another process is working in .* \(process \d+ on .*, \d{4}-\d\d-\d\d"),
            place.lock(),
        ):
            pass
        held.check()
    with place.lock() as held:
        held.check()
    assert not (place / OWNER).exists()


def test_a_process_that_fails_lets_others_in(place):
    with pytest.raises(ZeroDivisionError), place.lock():
        raise ZeroDivisionError
    with place.lock():
        pass
    assert not (place / OWNER).exists()


def test_of_many_that_begin_together_one_goes_on(place):
    def begin(_):
        try:
            return stack.enter_context(place.lock())
        except RunError:
            return None

    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        held = [one for one in pool.map(begin, range(8)) if one]
        assert len(held) == 1
        held[0].check()


def test_no_two_processes_share_their_text(monkeypatch):
    assert describe_process().startswith("process ")
    texts = set()
    for pid in (1, 2):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        texts.add(describe_process())
    assert len(texts) == 2
    assert all(text.isprintable() for text in texts)


# A disk


def test_a_run_that_is_refused_stays_as_it_was(disk):
    with pytest.raises(FormatError), disk.lock():
        raise FormatError
    assert disk.find() == {}
    (disk / LOCK).write(b"")
    with pytest.raises(FormatError), disk.lock():
        raise FormatError
    assert list(disk.find()) == [LOCK]


def test_an_owner_that_a_killed_process_left_on_a_disk_keeps_nobody_out(disk):
    (disk / OWNER).write(b"process 7 on elsewhere")
    with disk.lock():
        assert (disk / OWNER).read().startswith(describe_process().rpartition(",")[0].encode())
    assert not (disk / OWNER).exists()


def test_a_file_system_without_locks(disk, monkeypatch):
    def fail(_):
        raise NotImplementedError("FileSystem does not appear to support flock; use SoftFileLock instead")

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with pytest.raises(RunError, match=r"has no locks; mount it with locks \(flock\)$"), disk.lock():
        pass


def test_a_folder_that_cannot_be_written(disk):
    (disk / "file").write(b"")
    with pytest.raises(OSError, match="file"), (disk / "file" / "run").lock():
        pass


# A lease


def test_an_owner_that_lives_stays_the_owner(folder, clock, monkeypatch):
    """Its thread renews the lease, whatever the process does."""
    monkeypatch.setattr(run_lock, "LEASE_PERIOD", 0.001)
    with folder.lock() as held:
        for _ in range(4):
            clock.seconds += LEASE_TIMEOUT
            while clock.writes.qsize():
                clock.writes.get()
            for _ in range(2):  # one may have been on its way
                while clock.writes.get(timeout=60) != (folder / OWNER).key:
                    pass
            with pytest.raises(RunError, match=REFUSAL), folder.lock():
                pass
            held.check()
    assert folder.find() == {}


@pytest.mark.parametrize("later", [0, LEASE_TIMEOUT - 1])
def test_after_a_kill_one_waits(dead, clock, later):
    clock.seconds = later
    with pytest.raises(RunError, match=REFUSAL), dead.lock():
        pass
    assert list(dead.find()) == [OWNER]


def test_after_the_lease_has_run_out_one_goes_on(dead, clock):
    clock.seconds = LEASE_TIMEOUT + 1
    with dead.lock() as held:
        held.check()
        with pytest.raises(RunError, match=REFUSAL), dead.lock():
            pass
    assert dead.find() == {}


def test_the_clock_of_this_machine_says_nothing(dead, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1e12)
    monkeypatch.setattr(run_lock, "monotonic", lambda: 1e12)
    with pytest.raises(RunError, match=REFUSAL), dead.lock():
        pass


def test_an_owner_that_ends_while_one_asks(dead, monkeypatch):
    """Its object is gone when its age is asked for."""
    genuine = ClockedStore.modified

    def modified(self, key):
        (dead / OWNER).delete()
        return genuine(self, key)

    monkeypatch.setattr(ClockedStore, "modified", modified)
    with dead.lock() as held:
        held.check()


def test_who_was_taken_for_dead_stops(folder, clock):
    """As a process that was stopped (SIGSTOP) and goes on."""
    with folder.lock() as first:
        clock.seconds = LEASE_TIMEOUT + 1
        with folder.lock() as second:
            for _ in range(2):
                with pytest.raises(RunError, match=r"^another process has taken over memory://store \(process ") as c:
                    first.check()
                assert str(c.value).isprintable()
            second.check()
            held = (folder / OWNER).read()
            first.__exit__()
            assert (folder / OWNER).read() == held, "the first must leave the second alone"
    assert not (folder / OWNER).exists()


def test_a_lease_that_was_not_renewed_for_long_is_renewed_before_it_counts(folder, clock):
    with folder.lock() as held:
        clock.seconds = LEASE_TIMEOUT / 2 + 1
        held.check()
        clock.seconds += LEASE_TIMEOUT - 1
        with pytest.raises(RunError, match=REFUSAL), folder.lock():
            pass


def test_the_thread_finds_out_that_another_took_over(folder, monkeypatch):
    other = b'{"who": "somebody", "token": "other"}'
    with folder.lock() as first:
        (folder / OWNER).write(other)
        first.check()  # it has not asked
    assert (folder / OWNER).read() == other
    (folder / OWNER).delete()
    monkeypatch.setattr(run_lock, "LEASE_PERIOD", 0.001)
    with folder.lock() as first:
        thread = lease_thread()
        (folder / OWNER).write(other)
        while thread.is_alive():
            (folder / OWNER).write(other)  # again, as a renewal may have been on its way
        with pytest.raises(RunError, match=r"has taken over .* \(somebody\)"):
            first.check()
    assert (folder / OWNER).read() == other


def test_a_store_that_is_away_for_a_moment_does_no_harm(folder, clock, monkeypatch):
    with folder.lock() as held:
        clock.away, clock.seconds = True, LEASE_TIMEOUT / 2 - 1
        held.check()
        clock.seconds = LEASE_TIMEOUT / 2 + 1
        with pytest.raises(OSError, match="no answer"):
            held.check()
        clock.away = False
        held.check()
    assert folder.find() == {}


def test_the_thread_outlives_a_store_that_is_away(folder, clock, monkeypatch):
    monkeypatch.setattr(run_lock, "LEASE_PERIOD", 0.001)
    asked, genuine = Queue(), ClockedStore.read
    monkeypatch.setattr(ClockedStore, "read", lambda self, key: (asked.put(clock.away), genuine(self, key))[1])
    with folder.lock() as held:
        clock.away = True
        while not asked.get(timeout=60):
            pass
        clock.away = False
        while clock.writes.qsize():
            clock.writes.get()
        assert clock.writes.get(timeout=60) == (folder / OWNER).key
        held.check()


def test_a_store_that_is_away_when_the_process_ends(folder, clock):
    with folder.lock():
        clock.away = True
    clock.away = False
    assert list(folder.find()) == [OWNER], "the next process waits until the lease has run out"


def test_an_owner_that_is_none_is_shown_as_it_is(folder):
    (folder / OWNER).write(b"\xffsomething")
    with pytest.raises(RunError, match=r"working in memory://store \(.something\)"), folder.lock():
        pass


def test_a_store_without_conditional_writes_has_an_owner_too(folder, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented")

    monkeypatch.setattr(ObjectStore, "create", fail)
    with folder.lock() as held:
        held.check()
        with pytest.raises(RunError, match=REFUSAL), folder.lock():
            pass


def test_a_store_that_refuses_the_owner(folder, monkeypatch):
    def fail(*_):
        raise PermissionError(errno.EACCES, "Access Denied", "memory://store/.owner")

    monkeypatch.setattr(ObjectStore, "create", fail)
    with pytest.raises(PermissionError, match="Access Denied"), folder.lock():
        pass


def test_another_came_first_where_writes_are_not_conditional(folder, monkeypatch):
    """The last writer is the owner; who finds another there after its own write is not."""

    def lose(self, key, data):
        self.write(key, b'{"who": "process 7 on elsewhere", "token": "0"}')

    monkeypatch.setattr(ClockedStore, "create", lose)
    with pytest.raises(RunError, match=REFUSAL), folder.lock():
        pass
    assert b"elsewhere" in (folder / OWNER).read()
