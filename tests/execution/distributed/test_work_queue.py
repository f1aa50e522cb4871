"""Which assignment is next: block by block, an original once, and alone what workers died of."""

from types import SimpleNamespace

import pytest

from edgefool.execution.distributed.work_queue import Assignment, Todo


def photos(dataset, *names):
    cell = SimpleNamespace(dataset=dataset)
    task = SimpleNamespace(work=SimpleNamespace(cell=cell))
    return [Assignment(task, photo=SimpleNamespace(name=name)) for name in names]


def question():
    return Assignment(SimpleNamespace(), question=SimpleNamespace())


@pytest.fixture
def originals():
    """Return the originals that are in the run."""
    return set()


@pytest.fixture
def todo(originals):
    return Todo(lambda assignment: assignment.original in originals)


def test_blocks_come_in_their_order(todo):
    first, second = photos("a", "1", "2"), photos("b", "1", "2")
    measures = [question()]
    todo.add(first)
    todo.add(second)
    todo.add_soon(measures)
    assert [todo.next() for _ in range(6)] == [*first, *measures, *second, None]
    assert not todo


def test_an_empty_block_is_none(todo):
    todo.add([])
    todo.add_soon([])
    assert not todo
    assert todo.next() is None


def test_an_original_is_made_once(todo, originals):
    (maker,), (other,), (third,), (free,) = (photos("a", name) for name in ("1", "1", "1", "2"))
    todo.add([maker, other, third, free])
    assert todo.next() is maker
    assert todo.next() is free
    assert todo.next() is None
    assert todo, "two wait for the original"
    originals.add(("a", "1"))
    todo.finish(maker)
    assert [todo.next() for _ in range(3)] == [other, third, None]


def test_another_makes_it_where_the_first_failed(todo):
    (maker,), (other,), (third,) = (photos("a", "1") for _ in range(3))
    todo.add([maker, other, third])
    assert todo.next() is maker
    todo.finish(maker)  # an error record has no original
    assert [todo.next(), todo.next()] == [other, None]
    todo.finish(other)
    assert todo.next() is third


def test_datasets_have_originals_of_their_own(todo):
    mine, theirs = photos("a", "1"), photos("b", "1")
    todo.add([*mine, *theirs])
    assert [todo.next(), todo.next()] == [*mine, *theirs]


def test_a_maker_that_died_makes_it_again(todo):
    (maker,), (other,) = photos("a", "1"), photos("a", "1")
    todo.add([maker, other])
    assert [todo.next(), todo.next()] == [maker, None]
    assert todo.again([maker]) == []
    assert [todo.next(), todo.next()] == [maker, None]


def test_what_two_workers_died_with_is_done_alone(todo):
    one, two = photos("a", "1", "2")
    todo.add([one, two])
    for _ in range(2):
        taken = [todo.next(), todo.next()]
        assert taken == [one, two]
        assert not todo.some_alone
        assert todo.again(taken) == []
    assert todo.some_alone
    assert todo.next() is None
    assert todo.next_alone() is one
    assert todo.again([one]) == [one], "the third one died of it"
    assert todo.next_alone() is two
    assert todo.next_alone() is None
    assert not todo


def test_company_is_no_culprit(todo):
    """Three workers that died with the same two in hand leave it open which of them it was."""
    one, two = photos("a", "1", "2")
    for _ in range(3):
        assert todo.again([one, two]) == []
    assert {todo.next_alone(), todo.next_alone()} == {one, two}


def test_a_question_can_be_the_culprit(todo):
    asked = question()
    for _ in range(2):
        assert todo.again([asked]) == []
        assert (todo.next() or todo.next_alone()) is asked
    assert todo.again([asked]) == [asked]
    todo.finish(asked)
    assert not todo
