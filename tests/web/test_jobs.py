"""Jobs wait, are worked on, fail, and are deleted."""

import errno
import threading

import pytest

from edgefool.errors import ImageError
from edgefool.web import jobs as module
from edgefool.web.job import Options
from edgefool.web.jobs import Jobs

OPTIONS = Options("natural", ("first",))


@pytest.fixture
def running(tmp_path):
    """Return a function that starts jobs with some work, and the folder of their files."""
    opened = []

    def start(work, **options):
        jobs = Jobs(work, tmp_path, **options)
        opened.append(jobs)
        return jobs.__enter__()

    yield start
    for jobs in opened:
        jobs.__exit__()


def add(jobs, name="cat.jpg"):
    job = jobs.make(name, OPTIONS)
    job.source.write_bytes(b"photo")
    jobs.submit(job)
    return job


def test_one_after_the_other_in_their_order(running, wait_for):
    order, turns = [], threading.Semaphore(0)

    def work(job):
        assert turns.acquire(timeout=30)
        order.append(job.name)
        job.update(state="done")

    jobs = running(work)
    made = [add(jobs, f"{k}.jpg") for k in range(3)]
    assert [jobs.ahead(job) for job in made] == [0, 1, 2]
    turns.release()
    wait_for(lambda: made[0].status.is_over)
    assert [jobs.ahead(job) for job in made] == [0, 0, 1]
    turns.release(2)
    wait_for(lambda: made[2].status.is_over)
    assert order == ["0.jpg", "1.jpg", "2.jpg"]


def test_a_removed_job_leaves_nothing_behind_and_lets_the_next_one_work(running, tmp_path, wait_for):
    begun, go_on = threading.Event(), threading.Event()

    def work(job):
        begun.set()
        assert go_on.wait(30)
        if job.is_cancelled:
            job.folder.mkdir()  # as if it wrote while the folder was deleted
            job.source.write_bytes(b"more")
        job.check()
        job.update(state="done")

    jobs = running(work)
    first, second, third = (add(jobs) for _ in range(3))
    assert begun.wait(30)
    assert jobs.remove(first.id)
    assert not jobs.remove(first.id)
    assert jobs.remove(second.id)
    assert not first.folder.exists()
    assert jobs.ahead(third) == 0
    go_on.set()
    wait_for(lambda: third.status.is_over)
    assert list(tmp_path.iterdir()) == [third.folder]
    assert not second.status.is_over


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ImageError("has 8x8 max_megapixels"), "cat.jpg: has 8x8 --max-megapixels."),
        (MemoryError(), "cat.jpg: there is not enough memory for this photo."),
        (OSError(errno.ENOSPC, "No space left on device", "/secret"), "cat.jpg: No space left on device."),
    ],
)
def test_what_is_known_to_go_wrong_is_a_sentence(running, wait_for, caplog, error, sentence):
    def work(job):
        raise error

    jobs = running(work, reword=lambda text: text.replace("max_m", "--max-m"))
    job = add(jobs)
    wait_for(lambda: job.status.is_over)
    assert (job.status.state, job.status.error) == ("failed", sentence)
    assert caplog.text == ""


def test_faults_are_logged_and_the_next_photo_is_worked_on(running, wait_for, caplog):
    def work(job):
        if job.name == "bad.jpg":
            raise ValueError("secret")
        job.update(state="done")

    jobs = running(work)
    bad, good = add(jobs, "bad.jpg"), add(jobs)
    wait_for(lambda: good.status.is_over)
    assert good.status.state == "done"
    assert bad.status.state == "failed"
    assert bad.status.error.startswith("This is a bug in EdgeFool.")
    assert "secret" not in bad.status.error
    assert "ValueError: secret" in caplog.text


def test_finished_photos_are_deleted_when_there_are_too_many_or_they_are_too_old(running, wait_for, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    jobs = running(lambda job: job.update(state="done"))
    made = []
    for _ in range(4):
        made.append(add(jobs))
        wait_for(lambda: made[-1].status.is_over)
    assert [job.folder.exists() for job in made] == [False, True, True, True], "the new one had not been finished"
    monkeypatch.setattr(module, "KEPT_FOR", -1)
    monkeypatch.setattr(module, "_LOOK", 0.01)
    last = add(jobs)
    wait_for(lambda: not last.folder.exists())
    assert all(jobs.get(job.id) is None for job in [*made, last])


def test_at_the_end_all_files_are_gone(running, tmp_path, wait_for):
    def work(job):
        while True:
            job.check()

    jobs = running(work)
    for _ in range(2):
        add(jobs)
    jobs.__exit__()
    assert list(tmp_path.iterdir()) == []


def test_ids_are_secrets(tmp_path):
    jobs = Jobs(lambda job: None, tmp_path)
    ids = {jobs.make("cat.jpg", OPTIONS).id for _ in range(100)}
    assert len(ids) == 100
    assert min(map(len, ids)) >= 40
