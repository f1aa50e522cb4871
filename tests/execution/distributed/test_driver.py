"""One process that submits work to workers and writes down what they did, whatever becomes of them.

Most workers are threads here, which die when they are told to, or are only played; `test_ray_pool` has real ones.
"""

import threading
from collections import Counter
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue

import pytest

from edgefool.attacks import NFGSM, DeepFool
from edgefool.errors import AttackError, RunError, UsageError
from edgefool.execution import Step, run_distributed
from edgefool.execution.cell_attack import Outcome
from edgefool.execution.distributed.driver import WorkerEvent
from edgefool.execution.distributed.worker import Worker, WorkerReady, WorkerReport
from edgefool.execution.measurer import Measurer
from edgefool.execution.photo_records import error_record
from edgefool.runs import RunFolder
from edgefool.storage import local_path, parse_path


class ThreadPool:
    """Workers in threads. One that is given an image of ``deadly``, or too many items, dies.

    Parameters
    ----------
    config
        What each needs to know.
    size
        How many.
    deadly
        Names of images, of all cells or only of the methods in ``methods``.
    last
        How many items each worker, one after the other, takes until it dies with some; those after them: any number.
    broken
        What they die of before they are ready.
    """

    def __init__(self, config, size=2, deadly=(), methods=("nfgsm", "deepfool"), last=(), broken=None):
        self.config, self.size, self.deadly, self.methods = config, size, deadly, methods
        self.last, self.broken = dict(enumerate(last)), broken
        self.workers, self.queue, self.numbers = {}, SimpleQueue(), count()
        self.submitted, self.deaths, self.lives = [], [], {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.workers.clear()

    def start(self):
        number = next(self.numbers)
        self.lives[name := str(number)] = self.last.get(number)
        threading.Thread(target=self._begin, args=(name,), daemon=True).start()
        return name

    def _begin(self, name):
        try:
            if self.broken:
                raise self.broken
            self.workers[name] = Worker(self.config)
            self.queue.put(WorkerEvent(name, self.workers[name].ready))
        except Exception as error:
            self.queue.put(WorkerEvent(name, error))

    def submit(self, name, items):
        if name not in self.workers:  # dead, and the event is still to come
            return
        self.submitted += [replace(item) for item in items]
        left = self.lives[name]
        if left is not None:
            self.lives[name] = left = left - len(items)
        poison = any(item.photo and item.photo.name in self.deadly and self._is_meant(item) for item in items)
        if poison or (left is not None and left < 0 and not items[0].is_isolated):
            self.deaths.append(sorted(item.photo.name if item.photo else "?" for item in items))
            del self.workers[name]
            self.queue.put(WorkerEvent(name, RuntimeError("killed\nand more")))
        else:
            self.workers[name].submit(items)

    def _is_meant(self, item):
        return self.config.cells[item.cell].method in self.methods

    def poll(self, name):
        def wait(worker):
            try:
                content = worker.poll()
            except Exception as error:
                content = error
            if name in self.workers:
                self.queue.put(WorkerEvent(name, content))

        if name in self.workers:
            threading.Thread(target=wait, args=(self.workers[name],), daemon=True).start()

    def stop(self, name):
        self.workers.pop(name, None)

    def events(self, timeout):
        try:
            return [self.queue.get(timeout=timeout)]
        except Empty:
            return []


@pytest.fixture
def distribute(open_state):
    """Return what carries out a plan by a `ThreadPool` with these options: run, state, steps and the pool."""

    def distribute(settings, folder="spread", retry=False, predict=True, change=lambda config: config, **options):
        with open_state(settings, folder, retry=retry, predict=predict) as (state, config):
            pool = ThreadPool(change(config), **options)
            return state.run, state, list(run_distributed(state, pool)), pool

    return distribute


@pytest.mark.parametrize("size", [1, 3])
def test_the_records_are_those_of_a_local_run(steady, distribute, steady_done, agree, size):
    run, state, steps, pool = distribute(steady, size=size)
    local = steady_done
    agree(run, local.run)
    assert Counter(step.record.key for step in steps if step.record) == Counter(r.key for r in run.records())
    assert sum(step.measured for step in steps) == sum(step.measured for step in local.steps)
    assert {folder: set(known) for folder, known in state.records.items()} == {
        folder: set(known) for folder, known in local.state.records.items()
    }
    assert len(state.rates) == size
    assert state.warnings == []
    numbers = [item.number for item in pool.submitted]
    assert len(numbers) == len(set(numbers))


def test_workers_share_a_store(steady, distribute, carry_out, agree, store):
    steady = {**steady, "classifiers": steady["classifiers"][:1]}
    run, *_ = distribute(steady, store / "run", size=2)
    agree(run, carry_out(steady, "local").run)
    _, _, steps, pool = distribute(steady, store / "run", size=2)
    assert steps == pool.submitted == []


def test_an_original_is_made_by_one_worker(steady, distribute):
    _, _, _, pool = distribute(steady, size=3)
    makers = Counter(item.photo.name for item in pool.submitted if item.photo and not item.known_original)
    assert makers == {str(number): 1 for number in range(6)}


def test_without_measuring_nothing_is_predicted(steady, distribute):
    run, _, steps, _ = distribute(steady, predict=False)
    assert len(run.records()) == len(run.qualities()) == 24
    assert all(step.record for step in steps)
    assert run.predictions() == []


def test_workers_transform_images_as_a_local_run_does(steady, distribute, carry_out):
    plan = steady | {"robustness": ["jpeg75", "half"]}
    run, *_ = distribute(plan, size=2)
    local = carry_out(plan, "local").run
    assert {line.key: line.classes for line in run.transformed()} == {
        line.key: line.classes for line in local.transformed()
    }
    assert run.groups() == local.groups()
    _, _, steps, pool = distribute(plan)
    assert steps == pool.submitted == []


def test_what_is_done_is_not_done_again(steady, distribute, carry_out):
    carry_out({**steady, "methods": steady["methods"][:1]}, "spread")
    _, _, steps, pool = distribute(steady)
    assert sum(step.record is not None for step in steps) == 12
    assert {item.cell.split("/")[1] for item in pool.submitted if item.photo} == {"deepfool"}
    _, _, steps, pool = distribute(steady)
    assert steps == pool.submitted == []


def test_a_local_run_goes_on_where_workers_stopped(steady, open_state, carry_out, agree, steady_done):
    with open_state(steady, "spread") as (state, config):
        steps = run_distributed(state, ThreadPool(config))
        assert next(steps).record
        steps.close()
    done = carry_out(steady, "spread")
    assert 0 < sum(step.record is not None for step in done.steps) < 24
    agree(done.run, steady_done.run)


def test_only_measures_missing(steady, distribute, steady_done, agree):
    distribute(steady, predict=False)
    run, _, steps, _ = distribute(steady)
    assert all(step.record is None for step in steps)
    assert sum(step.measured for step in steps) == 30
    agree(run, steady_done.run)


# Deaths


def test_what_dead_workers_had_is_done_by_others(steady, distribute, steady_done, agree):
    run, state, steps, pool = distribute(steady, change=leave_half, last=[1, 5, 3, 9, 2])
    assert pool.deaths
    assert not [name for name in run.path.find() if name.endswith(".partial")]
    agree(run, steady_done.run)
    assert Counter(step.record.key for step in steps if step.record) == Counter(r.key for r in run.records())
    assert len(run.record_lines.path.read().splitlines()) == 24, "each was recorded once"
    assert sum("died; its" in line for line in state.warnings) == len(pool.deaths), state.warnings


def leave_half(config):
    """Leave what a worker leaves that is killed while it writes."""
    images = local_path(config.run) / "images"
    images.mkdir()
    (images / "0123456789abcdef.partial").write_bytes(b"half")
    return config


def test_an_image_that_kills_three_workers_becomes_an_error_record(steady, distribute, steady_done, agree):
    run, _, steps, pool = distribute(steady, deadly={"3"}, methods=("deepfool",))
    assert all("3" in death for death in pool.deaths)
    assert 4 <= len(pool.deaths) <= 6, "three for each classifier, but for those that had both in hand"
    errors = [record for record in run.records() if record.error]
    assert [(record.image, record.method) for record in errors] == [("3", "deepfool")] * 2
    assert {record.error for record in errors} == {"3 workers died of it; the last: killed"}
    assert len(run.records()) == 24
    assert sum(step.record is not None for step in steps) == 24
    # With retry and workers that survive, nothing is left of it.
    run, *_ = distribute(steady, retry=True)
    agree(run, steady_done.run)


def test_some_deadly_images_in_a_row_become_error_records(steady, distribute):
    everything, one_cell = {str(number) for number in range(6)}, {"classifiers": steady["classifiers"][:1]}
    run, _, _, pool = distribute({**steady, **one_cell, "methods": steady["methods"][:1]}, deadly=everything)
    assert [record.error is None for record in run.records()] == [False] * 6
    assert not [name for name in run.path.find() if name.endswith(".png")]
    assert max(Counter(name for death in pool.deaths for name in death).values()) <= 4


def test_many_deadly_images_in_a_row_end_the_run(steady, distribute, tmp_path):
    with pytest.raises(RunError, match="one image after another kills its workers: killed"):
        distribute(steady, deadly={str(number) for number in range(6)})
    errors = [record.error for record in RunFolder(tmp_path / "spread").records()]
    assert 5 <= len(errors) < 10
    assert all(errors)


def test_an_attack_that_fails_at_everything_ends_the_run(steady, distribute, monkeypatch):
    def fail(*_):
        raise RuntimeError("no kernel\nand more")

    for method in (NFGSM, DeepFool):
        monkeypatch.setattr(method, "step", fail)
    with pytest.raises(AttackError, match=r"^nfgsm on first failed: no kernel$"):
        distribute(steady)


def test_an_error_of_the_classifier_before_the_attack_is_the_photos(settings, distribute, carry_out, tiny, make_photo):
    make_photo(tiny.parent / "album" / "tall.png", 7, height=40)
    choosy = {"name": f"{tiny}:choosy", "label": "net"}
    plan = {**settings, "classifiers": [choosy], "methods": [{"name": "nfgsm"}], "size": "native"}
    local, spread = (carry(plan, carry.__name__)[0].records() for carry in (carry_out, distribute))
    assert {record.image: record.error for record in spread} == {record.image: record.error for record in local}
    assert sum(record.error is not None for record in local) == 1


def test_a_deadly_request_is_a_problem(steady, distribute, monkeypatch):
    def fail(*_):
        raise MemoryError("no memory left")

    monkeypatch.setattr(Measurer, "__call__", fail)
    run, state, _, _ = distribute(steady)
    assert len(run.records()) == 24
    assert run.predictions() == []
    assert state.evaluation.problems
    assert all("3 workers died of it; the last: no memory left" in line for line in state.evaluation.problems)


def test_workers_that_die_before_they_are_ready_end_the_run(steady, distribute):
    with pytest.raises(RunError, match="workers die before they are ready: no memory to begin with"):
        distribute(steady, broken=MemoryError("no memory to begin with"))


def test_a_worker_that_does_not_fit_ends_the_run(steady, distribute, tmp_path):
    with pytest.raises(UsageError, match="does not see"):
        distribute(steady, change=lambda config: replace(config, run=parse_path(tmp_path / "elsewhere")))


def test_images_that_cannot_be_written_end_the_run(steady, distribute, steady_done, agree, tmp_path):
    def block(config):
        (config.run / "originals").write(b"in the way")
        return config

    with pytest.raises(RunError, match=r"cannot write .*originals"):
        distribute(steady, change=block)
    (tmp_path / "spread/originals").unlink()
    run, *_ = distribute(steady)
    agree(run, steady_done.run)


# How work is shared out


class PlayedPool:
    """Workers that fail at one image after the other, each in ten seconds by the pool's own clock.

    ``ready_at`` says of each worker when it is ready; None: never.
    """

    def __init__(self, cells, ready_at, capacity=4):
        self.cells, self.ready_at, self.capacity, self.size = cells, ready_at, capacity, len(ready_at)
        self.now, self.waiting, self.submitted, self.items = 0.0, {}, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start(self):
        name = str(len(self.waiting))
        self.waiting[name], self.submitted[name], self.items[name] = self.ready_at[int(name)], [], []
        return name

    def submit(self, name, items):
        self.submitted[name].append(len(items))
        self.items[name] += items

    def poll(self, name):
        pass

    def stop(self, name):
        pass

    def events(self, timeout):
        self.now += 10
        events = []
        for name, items in self.items.items():
            if items:
                item = items.pop(0)
                record = error_record(item.cell, self.cells[item.cell], item.photo, "played")
                events.append(WorkerEvent(name, WorkerReport([(item.number, Outcome(record))], 0.0)))
            ready_at = self.waiting[name]
            if ready_at is not None and ready_at <= self.now:
                self.waiting[name] = None
                events.append(WorkerEvent(name, WorkerReady("host", self.capacity)))
        return events


@pytest.fixture
def play(steady, open_state):
    """Return what carries out a plan of 24 images by a `PlayedPool`: pool, state and steps."""

    def play(*ready_at):
        with open_state(steady, predict=False) as (state, config):
            pool = PlayedPool(config.cells, ready_at)
            steps = list(run_distributed(state, pool, clock=lambda: pool.now))
            return pool, state, steps

    return play


@pytest.mark.parametrize("size", [1, 4, 30])
def test_all_workers_have_something_to_do(play, size):
    """Six photos at the most are ready together: those of the other cells wait for the originals."""
    pool, _, steps = play(*[0] * size)
    assert sum(step.record is not None for step in steps) == 24
    images = [sum(portions) for portions in pool.submitted.values()]
    assert sum(images) == 24
    assert max(images) <= max(24 / size * 2, 4)


def test_workers_that_never_come_get_no_share(play):
    """The one worker that there is takes a whole batch once the others have had their time."""
    pool, *_ = play(0, *[None] * 19)
    first, *later = pool.submitted["0"]
    assert first == 2
    assert max(later) == 3  # beside the one that it has


def test_workers_that_come_a_little_later_get_their_share(play):
    pool, *_ = play(0, 20)
    assert pool.submitted["1"]


def test_workers_that_do_not_come_are_reported(play):
    _, state, steps = play(50, 50)
    assert state.warnings[0] == "0 of 2 workers are ready after 30 s; is there room?"
    assert steps[0] == Step()
    assert sum(step.record is not None for step in steps) == 24
