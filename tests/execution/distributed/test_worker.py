"""A worker by itself: what is submitted, in whatever portions, it does as a local run would."""

import threading
from dataclasses import replace
from itertools import count

import pytest
from PIL import Image

from edgefool.errors import AttackError, RunError, UsageError
from edgefool.execution import cell_attack
from edgefool.execution.distributed.work_queue import WorkItem
from edgefool.execution.distributed.worker import Worker
from edgefool.runs import RunFolder
from edgefool.storage import parse_path

NUMBERS = count()


class Clock:
    """A clock that stands still until it is moved; it counts how often it is read."""

    def __init__(self):
        self.now, self.reads, self.changed = 0.0, 0, threading.Condition()

    def __call__(self):
        with self.changed:
            self.reads += 1
            self.changed.notify_all()
        return self.now

    def wait_for_reads(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: self.reads >= number, timeout=60)

    def move(self, seconds):
        self.now += seconds


@pytest.fixture
def opened(settings, open_state):
    """Return the state of an open run and what its workers need to know."""
    with open_state(settings, batch_size=4) as opened:
        yield opened


def work_items(state, cell):
    """Return the work items of a cell's photos."""
    dataset = cell.job.cell.dataset
    return [
        WorkItem(next(NUMBERS), cell.folder, dataset, photo=photo, known_original=state.original(dataset, photo.name))
        for photo in cell.photos
    ]


def collect(worker, number):
    results = {}
    while len(results) < number:
        reported = dict(worker.poll().results)
        assert not reported.keys() & results.keys(), "each is delivered once"
        results |= reported
    return results


def test_it_does_what_a_local_run_does(opened, plan_done, agree):
    state, config = opened
    worker = Worker(config)
    assert worker.ready.capacity >= 2
    for cell in state.cells:
        items = work_items(state, cell)
        worker.submit(items[:1])
        worker.submit(items[1:])
        outcomes = collect(worker, len(items))
        assert {number: outcome.record.image for number, outcome in outcomes.items()} == {
            item.number: item.photo.name for item in items
        }
        known = {record.key for record in state.run.records()}
        assert not known & {outcome.record.key for outcome in outcomes.values()}, "others write records"
        state.save(list(outcomes.values()))
        for outcome in outcomes.values():
            state.note(cell, outcome.record)
        requests = {next(NUMBERS): request for request in state.requests(cell)}
        worker.submit([WorkItem(number, cell.folder, "pics", request=request) for number, request in requests.items()])
        for number, measured in collect(worker, len(requests)).items():
            state.save_measurements(cell, requests[number], measured)
    agree(state.run, plan_done.run)


def test_it_makes_attacks_of_other_libraries_from_the_settings_of_their_cells(settings, open_state, carry_out):
    pytest.importorskip("foolbox")
    method = {"name": "foolbox:LinfPGD", "constants": {"steps": 2, "epsilon": 0.05}}
    theirs = settings | {"methods": [method], "classifiers": settings["classifiers"][:1]}
    with open_state(theirs, "by-worker") as (state, config):
        items = work_items(state, state.cells[0])
        worker = Worker(config)
        worker.submit(items)
        records = [outcome.record for outcome in collect(worker, len(items)).values()]
    local = carry_out(theirs).run.records()
    assert {record.image: record.png for record in records} == {record.image: record.png for record in local}


def test_the_limit_of_pixels_and_warnings_reach_and_leave_a_worker(settings, album, open_state):
    Image.new("RGB", (1100, 1000), "red").save(album / "large.png")
    Image.new("RGB", (64, 64), "red").save(album / "short.jpg")
    (album / "short.jpg").write_bytes((album / "short.jpg").read_bytes()[:-2])
    with open_state(settings | {"max_megapixels": 1}, batch_size=4) as (state, config):
        worker, cell = Worker(config), state.cells[0]
        items = work_items(state, cell)
        worker.submit(items)
        outcomes = {outcome.record.image: outcome for outcome in collect(worker, len(items)).values()}
        assert "larger max_megapixels" in outcomes["large"].record.error
        assert outcomes["short"].warnings == ("its end marker is missing",)
        state.save(list(outcomes.values()))
        assert state.warnings == ["short.jpg: its end marker is missing"]


def test_a_batch_goes_on_while_nothing_waits(opened):
    """One photo after the other, each submitted when the last is done; and cells in turns."""
    state, config = opened
    worker = Worker(config)
    by_cell = zip(*(work_items(state, cell) for cell in state.cells), strict=True)
    items = [item for photo in by_cell for item in photo]
    for item in items[:8]:
        worker.submit([item])
        ((number, outcome),) = worker.poll().results
        assert (number, outcome.record.cell, outcome.record.image) == (item.number, item.cell, item.photo.name)
    worker.submit(items[8:])
    assert collect(worker, len(items) - 8).keys() == {item.number for item in items[8:]}


def test_time_without_items_is_idle(opened):
    state, config = opened
    clock = Clock()
    worker = Worker(config, clock=clock)
    clock.wait_for_reads(1)  # it begins to wait
    clock.move(7)
    worker.submit(work_items(state, state.cells[0])[:1])
    assert worker.poll().idle == 7


def test_waiting_for_photos_is_idle(opened, monkeypatch):
    state, config = opened
    clock, read = Clock(), cell_attack.read_image

    def read_slowly(source, **options):
        if not isinstance(source, bytes):  # a photo
            clock.wait_for_reads(3)  # before and after the wait for an item, and before that for this photo
            clock.move(7)
        return read(source, **options)

    worker = Worker(config, clock=clock)
    monkeypatch.setattr(cell_attack, "read_image", read_slowly)
    worker.submit(work_items(state, state.cells[0])[:1])
    report = worker.poll()
    assert report.results
    assert report.idle == 7


def test_an_owner_that_cannot_be_read_for_a_moment_is_asked_again(opened, monkeypatch):
    state, config = opened
    pauses = []
    worker, owner, failures = Worker(config, sleep=pauses.append), RunFolder.owner, 2

    def stutter(self):
        if len(pauses) < failures:
            raise OSError(5, "Input/output error")
        return owner(self)

    monkeypatch.setattr(RunFolder, "owner", stutter)
    items = work_items(state, state.cells[0])
    worker.submit(items[:1])
    assert worker.poll().results
    assert pauses == [1, 2]
    failures = 100
    worker.submit(items[1:2])
    with pytest.raises(RunError, match=r"cannot read .*run: Input/output error"):
        worker.poll()


def test_a_photo_that_cannot_be_read_is_an_error_record(opened, album):
    state, config = opened
    (album / "0.png").write_bytes(b"no image")
    worker = Worker(config)
    worker.submit(work_items(state, state.cells[0]))
    outcomes = collect(worker, 6).values()
    assert [(o.record.image, o.quality) for o in outcomes if o.record.error] == [("0", None)]


def test_a_worker_that_sees_another_folder_is_refused(opened, tmp_path):
    _, config = opened
    with pytest.raises(UsageError, match=r"does not see .*elsewhere: workers and driver must share it"):
        Worker(replace(config, run=parse_path(tmp_path / "elsewhere")))


def test_a_worker_with_another_classifier_is_refused(opened, tiny):
    _, config = opened
    tiny.write_text(tiny.read_text().replace("manual_seed(1)", "manual_seed(7)"))
    with pytest.raises(UsageError, match=r"has other weights or code of .* than the driver"):
        Worker(config)


def test_a_worker_whose_driver_was_replaced_stops(opened):
    state, config = opened
    worker = Worker(config)
    (config.run / ".owner").write(b"somebody else")
    worker.submit(work_items(state, state.cells[0])[:1])
    with pytest.raises(RunError, match="the driver no longer holds"):
        worker.poll()
    assert not [name for name in config.run.find() if name.endswith(".png")]


def test_a_failure_is_raised_after_what_was_done(opened, monkeypatch):
    state, config = opened
    genuine, steps = type(state.cells[0].job.attack).step, count()

    def step(*arguments):
        if next(steps):
            raise MemoryError("out of memory")
        genuine(*arguments)

    monkeypatch.setattr(type(state.cells[0].job.attack), "step", step)
    first, second = work_items(state, state.cells[0])[:2]
    worker = Worker(replace(config, batch_size=1))
    worker.submit([first, second])
    ((number, outcome),) = worker.poll().results
    assert (number, outcome.record.error) == (first.number, None)
    with pytest.raises(AttackError, match="enhance on first failed: out of memory"):
        worker.poll()


def test_a_known_original_is_not_made_again(opened):
    state, config = opened
    worker, (first, second, *_) = Worker(config), state.cells
    worker.submit(work_items(state, first)[:1])
    ((_, outcome),) = worker.poll().results
    written = state.run.image_path("originals", outcome.record).stat()
    worker.submit([WorkItem(0, second.folder, "pics", photo=second.photos[0], known_original=outcome.record)])
    ((_, again),) = worker.poll().results
    assert again.record.original_png == outcome.record.original_png
    assert state.run.image_path("originals", outcome.record).stat() == written
