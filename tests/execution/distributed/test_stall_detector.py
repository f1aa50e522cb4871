"""What slows a run down is reported once, and only if it does."""

import pytest

from edgefool.execution.distributed.stall_detector import StallDetector


@pytest.fixture
def check():
    """Return what moves the time on and asks a detector of two workers."""
    now = [0.0]
    detector = StallDetector(2, lambda: now[0])

    def check(seconds, waited, idle=0.0, has_items=True, ready=2):
        now[0] += seconds
        detector.idle += idle
        return detector.check(waited, has_items=has_items, ready=ready)

    return check


def test_a_busy_driver_is_reported_once(check):
    assert check(29, waited=1) == ""
    assert check(2, waited=1) == "this process is busy 94% of the time and holds the workers up"
    assert check(31, waited=1) == ""


def test_starving_workers_are_reported_once(check):
    assert check(15, waited=15, idle=15) == ""
    assert check(16, waited=16, idle=10) == "the workers wait for photos 40% of the time"
    assert check(31, waited=31, idle=60) == ""


@pytest.mark.parametrize(
    "calm",
    [
        {"waited": 10},  # two thirds busy
        {"waited": 31, "idle": 12},  # a fifth of the time of two
        {"waited": 31, "idle": 60, "has_items": False},  # nothing is left to do
    ],
)
def test_there_is_no_warning_without_need(check, calm):
    assert check(31, **calm) == ""


def test_the_last_images_do_not_count_as_starving(check):
    assert check(20, waited=20, idle=30) == ""
    assert check(11, waited=11, idle=20, has_items=False) == ""


def test_missing_workers_are_reported_once(check):
    assert check(31, waited=31, ready=1) == "1 of 2 workers are ready after 31 s; is there room?"
    assert check(31, waited=31, ready=1) == ""


def test_a_missing_worker_hides_no_other_warning(check):
    assert "1 of 2 workers are ready" in check(31, waited=1, ready=1)
    assert "this process is busy" in check(31, waited=1, ready=1)
