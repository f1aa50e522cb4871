"""Work in threads: the order of the results, what is taken ahead, cores, and ends."""

import threading
import time
from concurrent.futures import CancelledError

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgefool.protection.in_order import map_in_order


def is_told_to_stop(watch, seconds):
    """Return whether a function that watches for so long is told to stop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            watch()
        except CancelledError:
            return True
        time.sleep(0.01)
    return False


def mapped(function, items, threads=2, *, size=lambda _: 1, room=100):
    return map_in_order(function, items, threads, size=size, room=room)


@given(
    st.lists(st.floats(0, 0.002), max_size=12),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 20),
)
def test_results_come_in_order_whatever_each_takes(waits, threads, size, room):
    def work(item, watch):
        time.sleep(item[1])
        return item

    items = list(enumerate(waits))
    assert list(mapped(work, items, threads, size=lambda _: size, room=room)) == items


@pytest.mark.parametrize(
    ("threads", "size", "room", "most"), [(1, 1, 100, 0), (3, 1, 100, 6), (3, 2, 5, 2), (3, 9, 5, 1)]
)
def test_items_are_taken_only_as_far_ahead_as_there_are_threads_and_room(threads, size, room, most):
    taken, largest = 0, 0

    def items():
        nonlocal taken
        for item in range(20):
            yield item
            taken += 1  # by now it has been submitted

    for done in mapped(lambda item, _: item, items(), threads, size=lambda _: size, room=room):
        largest = max(largest, taken - done)
    assert largest == most


@pytest.mark.parametrize(("cores", "threads", "share"), [(3, 2, 1), (3, 1, 3), (4, 2, 2), (2, 5, 1)])
def test_threads_share_the_cores_and_the_caller_keeps_its_own(cores, threads, share):
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        assert set(mapped(lambda item, _: torch.get_num_threads(), range(8), threads)) == {share}
        assert torch.get_num_threads() == cores
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [cores]
    finally:
        torch.set_num_threads(before)


def test_an_error_ends_the_others():
    ended = []

    def work(item, watch):
        if item == 1:
            raise OSError("disk")
        ended.append(is_told_to_stop(watch, 10))
        return item

    with pytest.raises(OSError, match="disk"):
        list(mapped(lambda item, watch: item if item == 0 else work(item, watch), range(9), threads=3))
    assert ended
    assert all(ended)


def test_nobody_waits_any_more():
    started, stops = [], []

    def work(item, watch):
        started.append(item)
        stops.append(is_told_to_stop(watch, 10 if item else 0))
        return item

    results = mapped(work, range(50))
    assert next(results) == 0
    results.close()
    assert len(started) <= 4
    assert stops == [False, *[True] * (len(started) - 1)]
