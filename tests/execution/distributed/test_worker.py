"""A worker by itself: what it is given, in whatever portions, it does as a local run would."""

import time
from dataclasses import replace

import pytest

from edgefool.errors import AttackError, RunError, UsageError
from edgefool.execution import Execution, cell_attack
from edgefool.execution.cell_attack import Wanted
from edgefool.execution.distributed import worker as worker_module
from edgefool.execution.distributed.worker import Order, Setup, Worker
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import Record, RunFolder, open_run


@pytest.fixture
def opened(settings, tmp_path):
    """Return an execution in an open run and what a worker of it needs to know."""
    plan = make_plan(settings)
    experiment = Experiment(plan)
    with open_run(tmp_path / "run", plan.to_toml(), experiment.cells) as run:
        execution = Execution(experiment, run)
        cells = {task.folder: task.work.cell for task in execution.tasks}
        yield execution, run, Setup(plan, cells, run.path, run.owner(), batch_size=4)


def orders(execution, task):
    return [
        Order(number, wanted=execution.wanted(task, photo), cell=task.folder)
        for number, photo in enumerate(task.photos, 100 * execution.tasks.index(task))
    ]


def collect(worker, count):
    results = {}
    while len(results) < count:
        taken = dict(worker.take().results)
        assert not taken.keys() & results.keys(), "each is delivered once"
        results |= taken
    return results


def test_it_does_what_a_local_run_does(opened, carry_out, settings, agree):
    execution, run, setup = opened
    worker = Worker(setup)
    assert worker.ready.room >= 2
    for task in execution.tasks:
        given = orders(execution, task)
        worker.give(given[:1])
        worker.give(given[1:])
        results = collect(worker, len(given))
        assert {number: record.image for number, record in results.items()} == {
            order.number: order.wanted.photo.name for order in given
        }
        assert not {record.key for record in results.values()} & {r.key for r in run.records()}, "others write records"
        run.save_records(list(results.values()))
        for record in results.values():
            execution.note(task, record)
        questions = list(execution.questions(task))
        worker.give([Order(number, question=question) for number, question in enumerate(questions)])
        for answer in collect(worker, len(questions)).values():
            execution.evaluation.save(answer)
    agree(run, carry_out(settings, "local").run)


def test_a_batch_goes_on_while_nothing_waits(opened):
    """One photo after the other, each given when the last is done; and cells in turns."""
    execution, _, setup = opened
    worker = Worker(setup)
    alternately = [
        order for pair in zip(*(orders(execution, task) for task in execution.tasks), strict=True) for order in pair
    ]
    for order in alternately[:8]:
        worker.give([order])
        ((number, record),) = worker.take().results
        assert (number, record.cell, record.image) == (order.number, order.cell, order.wanted.photo.name)
    worker.give(alternately[8:])
    assert collect(worker, len(alternately) - 8).keys() == {order.number for order in alternately[8:]}


def test_idleness_is_told(opened):
    execution, _, setup = opened
    worker = Worker(setup)
    worker.give(orders(execution, execution.tasks[0])[:1])
    assert worker.take().idle >= 0
    time.sleep(0.3)
    worker.give(orders(execution, execution.tasks[0])[1:2])
    assert worker.take().idle >= 0.25


def test_waiting_for_photos_is_idleness(opened, monkeypatch):
    execution, _, setup = opened
    worker, read = Worker(setup), cell_attack.read_image

    def slowly(source):
        time.sleep(0.4)
        return read(source)

    monkeypatch.setattr(cell_attack, "read_image", slowly)
    worker.give(orders(execution, execution.tasks[0])[:1])
    report = worker.take()
    assert report.results
    assert 0.3 < report.idle < 2


def test_an_owner_that_cannot_be_read_for_a_moment_is_asked_again(opened, monkeypatch):
    execution, _, setup = opened
    worker, owner, asked = Worker(setup), RunFolder.owner, []

    def stutter(self):
        asked.append(self)
        if len(asked) < 3:
            raise OSError(5, "Input/output error")
        return owner(self)

    monkeypatch.setattr(RunFolder, "owner", stutter)
    monkeypatch.setattr(worker_module.time, "sleep", lambda _: None)
    worker.give(orders(execution, execution.tasks[0])[:1])
    assert worker.take().results
    monkeypatch.setattr(RunFolder, "owner", lambda _: stutter(asked.clear()))
    worker.give(orders(execution, execution.tasks[0])[1:2])
    with pytest.raises(RunError, match=r"cannot read .*run: Input/output error"):
        worker.take()


def test_a_photo_that_cannot_be_read_is_an_error_record(opened, album):
    execution, _, setup = opened
    (album / "0.png").write_bytes(b"no image")
    worker = Worker(setup)
    worker.give(orders(execution, execution.tasks[0]))
    results = collect(worker, 6)
    assert [record.image for record in results.values() if record.error] == ["0"]


def test_a_worker_that_sees_another_folder_is_refused(opened, tmp_path):
    _, _, setup = opened
    with pytest.raises(UsageError, match=r"does not see .*elsewhere: workers and driver must share it"):
        Worker(replace(setup, run=tmp_path / "elsewhere"))


def test_a_worker_with_another_classifier_is_refused(opened, tiny):
    _, _, setup = opened
    tiny.write_text(tiny.read_text().replace("manual_seed(1)", "manual_seed(7)"))
    with pytest.raises(UsageError, match=r"has other weights or code of .* than the driver"):
        Worker(setup)


def test_a_worker_whose_driver_was_replaced_stops(opened):
    execution, run, setup = opened
    worker = Worker(setup)
    (run.path / ".owner").write_text("somebody else")
    worker.give(orders(execution, execution.tasks[0])[:1])
    with pytest.raises(RunError, match="the driver no longer holds"):
        worker.take()
    assert not list(run.path.rglob("*.png"))


def test_a_failure_is_raised_after_what_was_done(opened, monkeypatch):
    execution, _, setup = opened
    worker = Worker(setup)
    first, second = orders(execution, execution.tasks[0])[:2]
    worker.give([first])
    while not worker._results:
        time.sleep(0.01)

    def fail(*_):
        raise MemoryError("out of memory")

    monkeypatch.setattr(type(execution.tasks[0].work.attack), "step", fail)
    worker.give([second])
    while not worker._failure:
        time.sleep(0.01)
    ((number, record),) = worker.take().results
    assert (number, isinstance(record, Record)) == (first.number, True)
    with pytest.raises(AttackError, match="enhance on first failed: out of memory"):
        worker.take()


def test_a_known_original_is_not_made_again(opened):
    execution, run, setup = opened
    worker, task = Worker(setup), execution.tasks[0]
    worker.give(orders(execution, task)[:1])
    ((_, record),) = worker.take().results
    written = run.image_path("originals", record).stat().st_mtime_ns
    other = execution.tasks[1]
    worker.give([Order(1, wanted=Wanted(other.photos[0], record), cell=other.folder)])
    ((_, again),) = worker.take().results
    assert again.original_png == record.original_png
    assert run.image_path("originals", record).stat().st_mtime_ns == written
