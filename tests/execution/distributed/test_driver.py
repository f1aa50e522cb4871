"""One process that gives work to workers and writes down what they did, whatever becomes of them.

The workers are threads here, which die when they are told to; `test_crew` has real ones.
"""

import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue

import pytest

from edgefool.attacks import NFGSM, DeepFool
from edgefool.errors import RunError, UsageError
from edgefool.execution import Step
from edgefool.execution.distributed import driver as distributed
from edgefool.execution.distributed.driver import DistributedExecution
from edgefool.execution.distributed.ray_pool import Event
from edgefool.execution.distributed.worker import Setup, Worker
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import RunFolder, open_run
from edgefool.storage.files import is_remote


class Threads:
    """Workers in threads. One that is given an image of ``deadly``, or too many orders, dies.

    Parameters
    ----------
    setup
        What each needs to know.
    size
        How many.
    deadly
        Names of images, of all cells or only of the methods in ``methods``.
    last
        How many orders each worker, one after the other, takes until it dies with some; None: any number.
    """

    def __init__(self, setup, size=2, deadly=(), methods=("nfgsm", "deepfool"), last=()):
        self.setup, self.size, self.deadly, self.methods, self.last = (
            setup,
            size,
            deadly,
            methods,
            dict(enumerate(last)),
        )
        self.workers, self.queue, self.numbers = {}, SimpleQueue(), count()
        self.given, self.portions, self.deaths, self.lives = [], [], [], {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.workers.clear()

    def hire(self):
        number = next(self.numbers)
        self.lives[name := str(number)] = self.last.get(number)
        threading.Thread(target=self._begin, args=(name,), daemon=True).start()
        return name

    def _begin(self, name):
        try:
            self.workers[name] = Worker(self.setup)
            self.queue.put(Event(name, self.workers[name].ready))
        except Exception as error:
            self.queue.put(Event(name, error))

    def give(self, name, orders):
        if name not in self.workers:  # dead, which has not been heard yet
            return
        self.given += orders
        self.portions.append(len(orders))
        left = self.lives[name]
        if left is not None:
            self.lives[name] = left = left - len(orders)
        poison = any(o.wanted and o.wanted.photo.name in self.deadly and self._is_meant(o) for o in orders)
        if poison or (left is not None and left < 0 and len(orders) > 1):  # not with what is done alone
            self.deaths.append(sorted(o.wanted.photo.name if o.wanted else "?" for o in orders))
            del self.workers[name]
            self.queue.put(Event(name, RuntimeError("killed\nand more")))
        else:
            self.workers[name].give(orders)

    def _is_meant(self, order):
        return self.setup.cells[order.cell].method in self.methods

    def ask(self, name):
        def wait(worker):
            try:
                said = worker.take()
            except Exception as error:
                said = error
            if name in self.workers:
                self.queue.put(Event(name, said))

        if name in self.workers:
            threading.Thread(target=wait, args=(self.workers[name],), daemon=True).start()

    def dismiss(self, name):
        self.workers.pop(name, None)

    def events(self, timeout):
        try:
            return [self.queue.get(timeout=timeout)]
        except Empty:
            return []


@pytest.fixture
def distribute(tmp_path):
    """Return what carries out a plan by `Threads` with these options: run, execution, steps and the threads."""

    def distribute(steady, folder="spread", retry=False, attack=False, change=lambda setup: setup, **options):
        plan = make_plan(steady)
        experiment = Experiment(plan)
        place = folder if is_remote(folder) else tmp_path / folder
        with open_run(place, plan.to_toml(), experiment.cells) as run:
            crews = []

            def start(cells):
                setup = change(Setup(plan, cells, run.path, run.owner(), batch_size=2))
                crews.append(Threads(setup, **options))
                return crews[0]

            execution = DistributedExecution(experiment, run, start, retry=retry)
            steps = list(execution.attack() if attack else execution)
            return run, execution, steps, crews[0]

    return distribute


@pytest.mark.parametrize("size", [1, 3])
def test_the_records_are_those_of_a_local_run(steady, distribute, carry_out, agree, size):
    run, execution, steps, crew = distribute(steady, size=size)
    local = carry_out(steady, "local")
    agree(run, local.run)
    assert Counter(step.record.key for step in steps if step.record) == Counter(r.key for r in run.records())
    assert sum(step.measured for step in steps) == sum(step.measured for step in local.steps)
    assert {folder: set(done) for folder, done in execution.done.items()} == {
        folder: set(done) for folder, done in local.execution.done.items()
    }
    assert len(execution.rates) == size
    assert execution.warnings == []
    numbers = [order.number for order in crew.given]
    assert len(numbers) == len(set(numbers))


def test_workers_share_a_store(steady, distribute, carry_out, agree, store):
    run, *_ = distribute(steady, store / "run", size=2)
    agree(run, carry_out(steady, "local").run)
    _, _, steps, crew = distribute(steady, store / "run", size=2)
    assert steps == crew.given == []


def test_an_original_is_made_by_one_worker(steady, distribute):
    _, _, _, crew = distribute(steady, size=3)
    makers = Counter(order.wanted.photo.name for order in crew.given if order.wanted and not order.wanted.known)
    assert makers == {str(number): 1 for number in range(6)}


def test_attack_measures_nothing(steady, distribute):
    run, _, steps, _ = distribute(steady, attack=True)
    assert len(run.records()) == 24
    assert all(step.record for step in steps)
    assert run.prediction_lines.read() == []


def test_what_is_done_is_not_done_again(steady, distribute, carry_out):
    carry_out({**steady, "methods": steady["methods"][:1]}, "spread")
    _, _, steps, crew = distribute(steady)
    assert sum(step.record is not None for step in steps) == 12
    assert {order.cell.split("/")[1] for order in crew.given if order.wanted} == {"deepfool"}
    _, _, steps, crew = distribute(steady)
    assert steps == crew.given == []


def test_a_local_run_goes_on_where_workers_stopped(steady, distribute, carry_out, agree):
    with pytest.raises(KeyboardInterrupt):
        distribute(steady, change=Interrupting)
    assert carry_out(steady, "spread").steps
    agree(carry_out(steady, "spread").run, carry_out(steady, "local").run)


def Interrupting(setup):  # noqa: N802  (a stand-in)
    raise KeyboardInterrupt


def test_only_measures_missing(steady, distribute, carry_out, agree):
    carry_out(steady, "local")
    run, *_ = distribute(steady, attack=True)
    run, _, steps, _ = distribute(steady)
    assert all(step.record is None for step in steps)
    assert sum(step.measured for step in steps) == 30
    agree(run, carry_out(steady, "local").run)


# Deaths


def test_what_dead_workers_had_is_done_by_others(steady, distribute, carry_out, agree):
    run, execution, steps, crew = distribute(steady, change=leave_half, last=[1, 5, 3, 9, 2])
    assert crew.deaths
    assert not list(run.path.rglob("*.partial"))
    agree(run, carry_out(steady, "local").run)
    assert Counter(step.record.key for step in steps if step.record) == Counter(r.key for r in run.records())
    assert len(run.record_lines.path.read_text().splitlines()) == 24, "each was recorded once"
    assert sum("died, and what it had in hand" in line for line in execution.warnings) == len(crew.deaths)


def leave_half(setup):
    """Leave what a worker leaves that is killed while it writes."""
    (setup.run / "images").mkdir()
    (setup.run / "images/0123456789abcdef.partial").write_bytes(b"half")
    return setup


def test_an_image_that_kills_three_workers_becomes_an_error_record(steady, distribute, carry_out, agree):
    run, _, steps, crew = distribute(steady, deadly={"3"}, methods=("deepfool",))
    assert all("3" in death for death in crew.deaths)
    assert 4 <= len(crew.deaths) <= 6, "three for each classifier, but for those that had both in hand"
    errors = [record for record in run.records() if record.error]
    assert [(record.image, record.method) for record in errors] == [("3", "deepfool")] * 2
    assert {record.error for record in errors} == {"3 workers died of it; the last: killed"}
    assert len(run.records()) == 24
    assert sum(step.record is not None for step in steps) == 24
    # With --retry and workers that survive, nothing is left of it.
    run, *_ = distribute(steady, retry=True)
    agree(run, carry_out(steady, "local").run)


def test_many_deadly_images_in_a_row_end_the_run(steady, distribute, monkeypatch, tmp_path):
    everything = {str(number) for number in range(6)}
    with pytest.raises(RunError, match="workers die of one image after the other: killed"):
        distribute(steady, deadly=everything)
    errors = [record.error for record in RunFolder(tmp_path / "spread").records()]
    assert 5 <= len(errors) < 10
    assert all(errors)
    monkeypatch.setattr(distributed, "_MOST_CULPRITS", 100)
    run, _, _, crew = distribute(steady, deadly=everything)
    assert [record.error is None for record in run.records()] == [False] * 24
    assert not list(run.path.rglob("*.png"))
    assert max(Counter(name for death in crew.deaths for name in death).values()) <= 4 * 3


def test_an_attack_that_fails_at_everything_ends_the_run(steady, distribute, monkeypatch):
    def fail(*_):
        raise RuntimeError("no kernel\nand more")

    for method in (NFGSM, DeepFool):
        monkeypatch.setattr(method, "step", fail)
    told = r"workers die of one image after the other: .* on .* failed: no kernel$"
    with pytest.raises(RunError, match=told):
        distribute(steady)


def test_a_deadly_question_is_a_problem(steady, distribute, monkeypatch):
    def fail(*_):
        raise MemoryError("no memory left")

    monkeypatch.setattr("edgefool.execution.measurer.Meter.__call__", fail)
    run, execution, _, _ = distribute(steady)
    assert len(run.records()) == 24
    assert run.prediction_lines.read() == []
    assert execution.evaluation.problems
    assert all("3 workers died of it; the last: no memory left" in line for line in execution.evaluation.problems)


def test_workers_that_die_before_they_are_ready_end_the_run(steady, distribute, monkeypatch):
    def fail(*_):
        raise MemoryError("no memory to begin with")

    monkeypatch.setattr(Worker, "__init__", fail)
    with pytest.raises(RunError, match="workers die before they are ready: no memory to begin with"):
        distribute(steady)


def test_a_worker_that_does_not_fit_ends_the_run(steady, distribute, tmp_path):
    with pytest.raises(UsageError, match="does not see"):
        distribute(steady, change=lambda setup: replace(setup, run=tmp_path / "elsewhere"))


def test_images_that_cannot_be_written_end_the_run(steady, distribute, carry_out, agree, tmp_path):
    def block(setup):
        (setup.run / "originals").write_text("in the way")
        return setup

    with pytest.raises(RunError, match=r"cannot write .*originals"):
        distribute(steady, change=block)
    (tmp_path / "spread/originals").unlink()
    run, *_ = distribute(steady)
    agree(run, carry_out(steady, "local").run)


# What slows it down


@pytest.mark.parametrize("size", [1, 4, 30])
def test_all_workers_have_something_to_do(steady, distribute, size):
    """Twelve photos at the most are ready together: those of the cells of one photo wait for its original."""
    _, execution, _, _ = distribute(steady, size=size, attack=True)
    images = sorted(member.images for member in execution.members.values())
    assert len(images) == size
    assert images[-1] <= max(24 / size * 2, 3)


@pytest.fixture
def watch(monkeypatch):
    """Return a watch over two workers, and what tells it what happened in so many seconds."""
    clock = [0.0]
    monkeypatch.setattr(distributed.time, "monotonic", lambda: clock[0])
    watch = distributed._Watch(2)

    def look(seconds, waited, idle=0.0, starving=True, ready=2):
        clock[0] += seconds
        watch.idle += idle
        return watch.look(waited, starving=starving, ready=ready)

    return look


def test_a_driver_that_is_busy_is_told_of_once(watch):
    assert watch(29, waited=1) == ""
    assert watch(2, waited=1) == "this process is busy 94% of the time and holds the workers up"
    assert watch(31, waited=1) == ""


def test_workers_that_starve_are_told_of_once(watch):
    assert watch(15, waited=15, idle=15) == ""
    assert watch(16, waited=16, idle=10) == "the workers wait for photos 40% of the time"
    assert watch(31, waited=31, idle=60) == ""


@pytest.mark.parametrize(
    "calm",
    [
        {"waited": 10},  # two thirds busy
        {"waited": 31, "idle": 12},  # a fifth of the time of two
        {"waited": 31, "idle": 60, "starving": False},  # nothing is left to do
    ],
)
def test_there_is_no_warning_without_need(watch, calm):
    assert watch(31, **calm) == ""


def test_the_last_images_are_no_starving(watch):
    assert watch(20, waited=20, idle=30) == ""
    assert watch(11, waited=11, idle=20, starving=False) == ""


def test_missing_workers_are_told_of_once(watch):
    assert watch(31, waited=31, ready=1) == "1 of 2 workers are ready after 31 s; is there room?"
    assert watch(31, waited=31, ready=1) == ""


def test_a_missing_worker_hides_no_other_warning(watch):
    assert "1 of 2 workers are ready" in watch(31, waited=1, ready=1)
    assert "this process is busy" in watch(31, waited=1, ready=1)


def test_those_who_never_come_get_no_share(steady, distribute, monkeypatch):
    """The one worker that there is takes a whole batch once the others have had their time."""
    begin, number = Worker.__init__, count()

    def one_comes(self, setup):
        if next(number):
            time.sleep(60)
        begin(self, setup)

    monkeypatch.setattr(Worker, "__init__", one_comes)
    monkeypatch.setattr(distributed, "_WINDOW", 0.0)
    _, _, _, crew = distribute(steady, size=20, attack=True)
    assert max(crew.portions) >= 3


def test_workers_that_never_come_are_told_of(steady, distribute, monkeypatch):
    monkeypatch.setattr(distributed, "_WINDOW", 0.0)
    monkeypatch.setattr(distributed, "_MOST_BUSY", 2.0)
    monkeypatch.setattr(distributed, "_MOST_WAITING", 2.0)
    begin = Worker.__init__

    def slowly(*arguments):
        time.sleep(1.5)
        begin(*arguments)

    monkeypatch.setattr(Worker, "__init__", slowly)
    _, execution, steps, _ = distribute(steady, attack=True)
    assert "0 of 2 workers are ready after" in execution.warnings[0]
    assert steps[0] == Step()
