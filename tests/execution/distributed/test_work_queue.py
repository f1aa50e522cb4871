"""Which work item is next: block by block, an original once, and by itself what workers died of."""

from itertools import count
from types import SimpleNamespace

import pytest

from edgefool.execution.distributed.work_queue import WorkItem, WorkQueue

NUMBERS = count()


def photos(dataset, *names):
    return [WorkItem(next(NUMBERS), "cell", dataset, photo=SimpleNamespace(name=name)) for name in names]


def request_item():
    return WorkItem(next(NUMBERS), "cell", "a", request=SimpleNamespace())


@pytest.fixture
def originals():
    """Return the originals that are in the run."""
    return set()


@pytest.fixture
def queue(originals):
    return WorkQueue(lambda item: item.original in originals)


def test_blocks_come_in_their_order(queue):
    first, second = photos("a", "1", "2"), photos("b", "1", "2")
    measures = [request_item()]
    queue.add(first)
    queue.add(second)
    queue.add_next(measures)
    assert [queue.next() for _ in range(6)] == [*first, *measures, *second, None]
    assert not queue


def test_an_empty_block_is_none(queue):
    queue.add([])
    queue.add_next([])
    assert not queue
    assert queue.next() is None


def test_an_original_is_made_once(queue, originals):
    (maker,), (other,), (third,), (free,) = (photos("a", name) for name in ("1", "1", "1", "2"))
    queue.add([maker, other, third, free])
    assert queue.next() is maker
    assert queue.next() is free
    assert queue.next() is None
    assert queue, "two wait for the original"
    originals.add(("a", "1"))
    queue.finish(maker)
    assert [queue.next() for _ in range(3)] == [other, third, None]


def test_another_makes_it_where_the_first_failed(queue):
    (maker,), (other,), (third,) = (photos("a", "1") for _ in range(3))
    queue.add([maker, other, third])
    assert queue.next() is maker
    queue.finish(maker)  # an error record has no original
    assert [queue.next(), queue.next()] == [other, None]
    queue.finish(other)
    assert queue.next() is third


def test_datasets_have_originals_of_their_own(queue):
    mine, theirs = photos("a", "1"), photos("b", "1")
    queue.add([*mine, *theirs])
    assert [queue.next(), queue.next()] == [*mine, *theirs]


def test_a_maker_that_died_makes_it_again(queue):
    (maker,), (other,) = photos("a", "1"), photos("a", "1")
    queue.add([maker, other])
    assert [queue.next(), queue.next()] == [maker, None]
    assert queue.retry([maker]) == []
    assert [queue.next(), queue.next()] == [maker, None]


def test_what_two_workers_died_with_is_isolated(queue):
    one, two = photos("a", "1", "2")
    queue.add([one, two])
    for _ in range(2):
        taken = [queue.next(), queue.next()]
        assert taken == [one, two]
        assert not queue.has_isolated
        assert queue.retry(taken) == []
    assert queue.has_isolated
    assert queue.next() is None
    assert queue.next_isolated() is one
    assert queue.retry([one]) == [one], "the third one died of it"
    assert queue.next_isolated() is two
    assert queue.next_isolated() is None
    assert not queue


def test_other_items_are_not_poison(queue):
    """Three workers that died with the same two in hand do not tell which of them it was."""
    one, two = photos("a", "1", "2")
    for _ in range(3):
        assert queue.retry([one, two]) == []
    assert {queue.next_isolated(), queue.next_isolated()} == {one, two}


def test_a_request_can_be_poison(queue):
    item = request_item()
    for _ in range(2):
        assert queue.retry([item]) == []
        assert (queue.next() or queue.next_isolated()) is item
    assert queue.retry([item]) == [item]
    queue.finish(item)
    assert not queue
