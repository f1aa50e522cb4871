"""What people see: nothing untrusted as it is, and the numbers that are there."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest
from edgefool.console import Follower, err, out, plain, print_records, print_summary
from hypothesis import given
from hypothesis import strategies as st

from edgefool.datasets import Photo
from edgefool.execution import Step, Task
from edgefool.runs import Record

NASTY = "[red]x[/b] :cat: \x1b[31m\u202e\n\r\x07\x9b\udcff"
TAME = "[red]x[/b] :cat: ?[31m??????"


@given(st.text())
def test_plain_text_stays_on_its_line(text):
    told = plain(text)
    assert told.isprintable()
    assert len(told) == len(text)
    assert all(new in (old, "?") for new, old in zip(told, text, strict=True))
    assert plain(told) == told


@pytest.mark.parametrize("console", [out, err])
def test_consoles_take_text_as_it_is(console, capsys):
    console.print(plain(NASTY))
    assert "".join(capsys.readouterr()) == f"{TAME}\n"


def words(line: str) -> str:
    return " ".join(line.split())


def make_record(image: str = "cat", **changes: object) -> Record:
    settings = {
        "cell": "pics/nfgsm/a",
        "dataset": "pics",
        "image": image,
        "source": f"/photos/{image}.png",
        "method": "nfgsm",
        "classifier": "a",
        "original_name": "tabby",
        "original_probability": 0.511,
        "adversarial_name": "beaver",
        "adversarial_probability": 0.987,
        "success": True,
        "iterations": 12,
        "seconds": 3.21,
        "psnr": 31.06,
    }
    return Record.model_validate(settings | changes)


# Records


def test_records_are_rows(capsys):
    print_records([make_record(), make_record("dog", success=False, converged=True, psnr=math.inf)])
    heading, cat, dog = capsys.readouterr().out.splitlines()
    assert words(heading) == "image original adversarial misled converged iterations seconds PSNR"
    assert words(cat) == "cat tabby 51% beaver 99% yes no 12 3.2 31.1 dB"
    assert words(dog) == "dog tabby 51% beaver 99% no yes 12 3.2 inf dB"


def test_errors_are_told_in_their_rows(capsys):
    print_records([make_record(error=NASTY, original_name=None, iterations=None, seconds=None, psnr=None)])
    assert f"error: {TAME}" in capsys.readouterr().out


def test_only_the_first_records_are_shown(capsys):
    print_records([make_record(f"photo{k}") for k in range(7)], most=5)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*(f"photo{k}" for k in range(5)), "…"]
    assert lines[-1] == "… and 2 more in the records"


def test_names_in_records_are_plain(capsys):
    print_records([make_record(NASTY.replace("/", "|"), original_name=NASTY, adversarial_name=NASTY)])
    stdout = capsys.readouterr().out
    assert stdout.count(TAME) == 2
    assert all(line.isprintable() for line in stdout.splitlines())


# Summaries

ROW = {
    "dataset": "pics",
    "method": "nfgsm",
    "classifier": "a",
    "images": 8,
    "errors": 0,
    "misled": 0.5,
    "misled_low": 0.125,
    "misled_high": 0.875,
    "misled_float": 0.625,
    "transferred": 0.251,
    "null": 0.042,
    "detected": 1.0,
    "psnr": 31.06,
    "ssim": 0.98765,
    "lpips": 0.0456,
    "iterations": 10.0,
    "seconds": 0.017,
}


def test_a_summary_has_a_table_for_each_dataset(capsys):
    print_summary(pd.DataFrame([ROW, ROW | {"dataset": "scenes", "method": "cw"}, ROW | {"classifier": "b"}]))
    blank, pics, heading, first, second, _, scenes, _, last = capsys.readouterr().out.splitlines()
    assert (blank, pics, scenes) == ("", "pics", "scenes")
    assert "95 %" in heading
    numbers = "8 50.0% 12% to 88% 62.5% 25.1% 4.2% 100.0% 31.1 0.988 0.046 10 0.02"
    assert words(first) == f"nfgsm a {numbers}"
    assert words(second) == f"nfgsm b {numbers}"
    assert words(last) == f"cw a {numbers}"


def test_what_was_not_measured_is_left_blank(capsys):
    unknown = dict.fromkeys((name for name in ROW if name not in ("dataset", "method", "classifier")), math.nan)
    print_summary(pd.DataFrame([ROW | unknown | {"images": 0, "errors": 3}]))
    row = capsys.readouterr().out.splitlines()[-1]
    assert words(row) == "nfgsm a 0 + 3 errors"


def test_only_the_first_rows_are_shown(capsys):
    print_summary(pd.DataFrame([ROW | {"method": f"m{k}"} for k in range(7)]), most=5)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 5 + 1
    assert lines[-1] == "… and 2 more in the tables"


def test_names_in_summaries_are_plain(capsys):
    print_summary(pd.DataFrame([ROW | {"dataset": NASTY, "method": NASTY, "classifier": NASTY}]))
    stdout = capsys.readouterr().out
    assert stdout.count(TAME) == 3
    assert all(line.isprintable() for line in stdout.splitlines())


# Progress


def make_task(folder: str, images: str, waiting: str, label: str = "nfgsm") -> Task:
    photos = [Photo(None, image) for image in images]
    work = SimpleNamespace(cell=SimpleNamespace(label=label))
    return Task(work, folder, photos, [photo for photo in photos if photo.name in waiting])


def follow(
    tasks: list[Task], done: dict[str, list[Record]], costs: list[float], steps: list[Step], capsys, rates=(), notes=()
) -> str:
    """Return the last line of progress; errors and notes stand above it, the rates of workers below."""
    execution = SimpleNamespace(
        tasks=tasks,
        done={folder: {r.image: r for r in records} for folder, records in done.items()},
        rates=dict(rates),
        warnings=list(notes),
    )
    with Follower(execution, costs) as follower:
        for step in steps:
            follower.step(step)
    return capsys.readouterr().err


def test_progress_of_one_cell(capsys):
    """``e`` was misled before, when the plan named it still."""
    task = make_task("pics/nfgsm/a", "abcd", "cd")
    done = [make_record("a"), make_record("b", success=False), make_record("e")]
    bar = follow([task], {task.folder: done}, [2.0], [], capsys)
    assert bar.startswith("nfgsm ")
    assert "2/4, 1 of 2 misled " in bar
    bar = follow([task], {task.folder: done}, [2.0], [Step(task, make_record("c")), Step(task, measured=3)], capsys)
    assert "3/4, 2 of 3 misled, 3 measured " in bar
    assert "cells" not in bar


def test_progress_of_many_cells(capsys):
    tasks = [make_task("pics/nfgsm/a", "ab", "b"), make_task("pics/cw/a", "ab", "ab"), make_task("pics/cw/b", "a", "")]
    done = {tasks[0].folder: [make_record("a")], tasks[1].folder: [], tasks[2].folder: [make_record("a")]}
    bar = follow(tasks, done, [1.0, 2.0, 0.0], [], capsys)
    assert bar.startswith("pics/nfgsm/a ")
    assert "2/5, 1/3 cells, 1 of 1 misled " in bar
    steps = [Step(tasks[0], make_record("b", success=False)), Step(tasks[1], make_record("a"))]
    bar = follow(tasks, done, [1.0, 2.0, 0.0], steps, capsys)
    assert bar.startswith("pics/cw/a ")
    assert "4/5, 2/3 cells, 1 of 1 misled " in bar
    bar = follow(tasks, done, [1.0, 2.0, 0.0], [*steps, Step(measured=7)], capsys)
    assert bar.startswith("originals ")
    assert "4/5, 2/3 cells, 7 measured " in bar


def test_progress_where_nothing_is_left(capsys):
    task = make_task("pics/nfgsm/a", "a", "")
    bar = follow([task], {task.folder: [make_record("a")]}, [0.0], [], capsys)
    assert "1/1, 1 of 1 misled " in bar


def test_errors_stand_above_the_progress(capsys):
    task = make_task("pics/nfgsm/a", "ab", "ab")
    broken = Record(
        **make_record("a").model_dump(include={"cell", "dataset", "image", "method", "classifier"}),
        source=NASTY,
        error=NASTY,
    )
    stderr = follow([task], {task.folder: []}, [1.0], [Step(task, broken)], capsys)
    error, bar = stderr.splitlines()
    assert error == f"{TAME}: {TAME}"
    assert "1/2, 0 of 1 misled " in bar


def test_workers_are_told_of(capsys):
    task = make_task("pics/nfgsm/a", "ab", "ab")
    rates = {f"worker 1 ({NASTY})": 1.25, "worker 2 (b)": 3.5}
    stderr = follow([task], {task.folder: []}, [1.0], [], capsys, rates)
    bar, *workers = stderr.splitlines()
    assert "2 workers: 1.2 to 3.5 images/s each, 4.75 in all " in bar
    assert workers == [f"worker 1 ({TAME}): 1.25 images/s", "worker 2 (b): 3.5 images/s"]
    bar, _ = follow([task], {task.folder: []}, [1.0], [], capsys, {"worker 1 (a)": 1.25}).splitlines()
    assert "1 worker: 1.25 images/s " in bar


def test_notes_stand_above_the_progress_each_once(capsys):
    task = make_task("pics/nfgsm/a", "ab", "ab")
    steps = [Step(), Step(task, make_record("a"))]
    *notes, bar = follow([task], {task.folder: []}, [1.0], steps, capsys, notes=["slow", NASTY]).splitlines()
    assert notes == ["note: slow", f"note: {TAME}"]
    assert bar.startswith("nfgsm ")
    (_, bar) = follow([task], {task.folder: []}, [1.0], [Step()], capsys, notes=["slow"]).splitlines()
    assert bar.startswith("nfgsm "), "a note is no measure of originals"


@pytest.mark.parametrize("name", ["[/b]x", "[red]x", NASTY])
def test_labels_in_progress_are_plain(capsys, name):
    """Markup that closes what was never opened must not stop a run."""
    for tasks in ([make_task("f", "a", "a", name)], [make_task(name, "a", "a"), make_task("other", "a", "a")]):
        bar = follow(tasks, {task.folder: [] for task in tasks}, [1.0] * len(tasks), [], capsys)
        assert bar.startswith(f"{plain(name)} ")
