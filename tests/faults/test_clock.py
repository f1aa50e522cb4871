"""The clock jumps, by hours or years, back and forth: nothing that a run holds depends on it."""

import os
import random
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from edgefool.runs import RunFolder, opening
from edgefool.storage import run_lock

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

NOW = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
YEAR = 365 * 86_400


class Clock:
    """What `time.time` and `datetime.now` tell: it stands still until it is set."""

    def __init__(self, patch):
        clock, self.time = self, NOW

        class Now(datetime):
            @classmethod
            def now(cls, zone=None):
                return cls.fromtimestamp(clock.time, zone)

        patch.setattr(time, "time", lambda: clock.time)
        patch.setattr(time, "time_ns", lambda: int(clock.time * 1e9))
        patch.setattr(opening, "datetime", Now)
        patch.setattr(run_lock, "datetime", Now)


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that can be set."""
    return Clock(monkeypatch)


def test_clock_jumps_while_a_run_is_made(disturbed, clock, tally, tmp_path, album):
    """In each session and between them, and with it the times of the run's files and of the photos."""
    tally.fault = "clock jumping by seconds to years, back and forth, and the times of all files with it"
    places, sessions = random.Random(0), []

    def jump(out):
        tally.tries += 1
        size = 10 ** places.uniform(0, 8.5)
        clock.time = min(max(clock.time + places.choice([-1, 1]) * size, 0), NOW + 70 * YEAR)
        for path in [*out.rglob("*"), *album.iterdir()]:
            if path.name != ".lock" and places.random() < 0.5:
                with suppress(FileNotFoundError):  # it was being written and has its name by now
                    os.utime(path, (clock.time, places.uniform(0, NOW + YEAR)))

    for number in range(20):
        out, done = tmp_path / f"run{number}", []
        sessions.append(0)
        while len(done) < 6 and sessions[-1] < 10:
            attempt = disturbed.attempt(out, places.randint(1, 4), meanwhile=lambda out=out: jump(out))
            jump(out)
            sessions[-1] += 1
            tally.wrong += not attempt.documented or attempt.error is not None or disturbed.wrong(out)
            tally.lost += disturbed.lost(out, done + attempt.done)
            done = RunFolder(out).records()
        again = disturbed.attempt(out)
        sessions[-1] += 1
        tally.lost += len(again.done)
        tally.wrong += again.error is not None or disturbed.differs(out)
        tally.lost += sessions[-1] - len(RunFolder(out).session_lines.read())
    assert tally.tries > 100
    assert sum(sessions) > 50
    assert (tally.lost, tally.wrong) == (0, 0)


def test_sessions_of_the_same_moment(disturbed, clock, tally, tmp_path):
    tally.fault = "sessions that begin at the same moment of a clock that was set back"
    for number in range(1, 11):
        attempt = disturbed.attempt(tmp_path / "run", steps=1)
        tally.wrong += attempt.error is not None
        tally.tries += 1
        tally.lost += number - len(RunFolder(tmp_path / "run").session_lines.read())
    disturbed.attempt(tmp_path / "run")
    tally.wrong += disturbed.differs(tmp_path / "run")
    assert clock.time == NOW
    assert {session.date[:10] for session in RunFolder(tmp_path / "run").session_lines.read()} == {"2026-11-24"}
    assert (tally.lost, tally.wrong) == (0, 0)
