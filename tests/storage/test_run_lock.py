"""One process at a time works in a run folder, on a disk and in a store; a dead one keeps nobody out for long."""

import errno
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import filelock
import pytest

from edgefool.errors import RunError
from edgefool.storage import run_lock as lock
from edgefool.storage.run_lock import OWNER, hold


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let an owner be dead after 1.5 seconds."""
    monkeypatch.setattr(lock, "PERIOD", 0.1)
    monkeypatch.setattr(lock, "PATIENCE", 1.5)


@pytest.fixture
def dead(memory, monkeypatch):
    """Return a store whose owner was killed just now."""
    with ExitStack() as stack, monkeypatch.context() as patch:
        patch.setattr(lock._Fresh, "_keep", lambda _: None)
        patch.setattr(lock._Fresh, "__exit__", lambda *_: None)
        stack.enter_context(hold(memory, "then"))
    return memory


@pytest.fixture
def patient(monkeypatch):
    """Let no owner be dead: S3 tells whole seconds."""
    monkeypatch.setattr(lock, "PATIENCE", 60)


@pytest.mark.usefixtures("patient")
def test_the_second_is_told_who_is_first(store, tmp_path):
    for folder in (store, tmp_path):
        with hold(folder, "2026-11-24") as held:
            held.check()
            message = r"another process is working in .* \(process \d+ on .*, 2026-11-24\)"
            with pytest.raises(RunError, match=message), hold(folder, "later"):
                pass
            held.check()
        with hold(folder, "again"):
            pass
        assert not (folder / OWNER).exists()


def test_an_owner_that_lives_stays_the_owner(memory):
    with hold(memory, "now") as held:
        for _ in range(4):
            time.sleep(0.5)
            held.check()
            with pytest.raises(RunError, match=r"if it was killed, wait 1\.5 seconds$"), hold(memory, "later"):
                pass
    assert memory.find() == []


def test_after_a_kill_one_waits(dead):
    with pytest.raises(RunError, match="if it was killed, wait"), hold(dead, "at once"):
        pass
    time.sleep(1.6)
    with hold(dead, "later") as held:
        held.check()
    assert dead.find() == []


def test_the_clock_of_this_machine_says_nothing(dead, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1e12)
    with pytest.raises(RunError, match="if it was killed, wait"), hold(dead, "in a far future"):
        pass


def test_who_was_taken_for_dead_stops(memory, monkeypatch):
    with hold(memory, "first") as first:
        with monkeypatch.context() as patch:  # as a stopped process (SIGSTOP)
            patch.setattr(lock, "PERIOD", 9)
            time.sleep(0.15)
            patch.setattr(lock._Fresh, "_beat", lambda _: None)
            time.sleep(1.6)
        second = ExitStack()
        second.enter_context(hold(memory, "second"))
        with pytest.raises(
            RunError, match=r"another process has taken memory://store \(process .*, second\)"
        ) as caught:
            first.check()
        assert "\n" not in str(caught.value)
    assert (memory / OWNER).exists(), "the first must leave the second alone"
    second.close()
    assert not (memory / OWNER).exists()


def test_it_is_found_out_without_being_asked(memory):
    with hold(memory, "first") as first:
        (memory / OWNER).write_bytes(b'{"who": "somebody", "token": "other"}')
        time.sleep(0.3)
        with pytest.raises(RunError, match=r"has taken .* \(somebody\)"):
            first.check()
    assert (memory / OWNER).read_bytes() == b'{"who": "somebody", "token": "other"}'


def test_a_store_that_is_away_for_a_moment_does_no_harm(memory, monkeypatch):
    def fail(_):
        raise OSError(5, "no answer")

    with hold(memory, "now") as held:
        with monkeypatch.context() as patch:
            patch.setattr(type(memory), "read_bytes", fail)
            time.sleep(0.25)
            held.check()
            time.sleep(0.6)
            with pytest.raises(OSError, match="no answer"):
                held.check()
        held.check()


@pytest.mark.usefixtures("patient")
def test_of_many_that_begin_together_one_goes_on(store):
    def begin(number):
        try:
            return stack.enter_context(hold(store, str(number)))
        except RunError:
            return None

    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        held = [one for one in pool.map(begin, range(8)) if one]
        assert len(held) == 1
        held[0].check()


def test_what_is_no_owner_is_told_as_it_is(memory):
    (memory / OWNER).write_bytes(b"\xffsomething")
    with pytest.raises(RunError, match=r"working in memory://store \(.something\)"), hold(memory, "now"):
        pass


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def fail(_):
        raise NotImplementedError("FileSystem does not appear to support flock; use SoftFileLock instead")

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with pytest.raises(RunError, match=r"has no locks: mount it with them \(flock\)$"), hold(tmp_path, "now"):
        pass


def test_a_store_without_conditional_writes_has_an_owner_too(memory, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented")

    monkeypatch.setattr(type(memory), "create", fail)
    with hold(memory, "first") as held:
        held.check()
        with pytest.raises(RunError, match="another process is working"), hold(memory, "second"):
            pass
