"""The progress of a run in the terminal."""

from types import SimpleNamespace

import pytest

from edgefool.cli.progress import track_run
from edgefool.datasets import Photo
from edgefool.execution import CellProgress, Step
from edgefool.runs import Record
from edgefool.text import plain

NASTY = "[red]x[/b] :cat: \x1b[31m\u202e\n\r\x07\x9b\udcff"
TAME = "[red]x[/b] :cat: ?[31m??????"


def make_record(image: str, *, success: bool = True, error: str | None = None, source: str = "a.png") -> Record:
    names = {"cell": "pics/nfgsm/a", "dataset": "pics", "image": image, "method": "nfgsm", "classifier": "a"}
    return Record.model_validate({**names, "source": source, "success": success, "error": error})


def make_cell(folder: str, images: str, waiting: str, label: str = "nfgsm") -> CellProgress:
    photos = [Photo(None, image, image) for image in images]
    job = SimpleNamespace(cell=SimpleNamespace(label=label))
    return CellProgress(job, folder, photos, [photo for photo in photos if photo.name in waiting])


def follow(
    cells: list[CellProgress], done: dict[str, list[Record]], costs: list[float], steps: list[Step], capsys, **more
) -> str:
    """Return the last line of progress; errors and notes stand above it, the rates of workers below."""
    records = {folder: {record.image: record for record in of_cell} for folder, of_cell in done.items()}
    state = SimpleNamespace(cells=cells, records=records, **({"rates": {}, "warnings": []} | more))
    assert list(track_run(state, steps, costs)) == steps
    return capsys.readouterr().err


def test_progress_of_one_cell(capsys):
    """``e`` was done when the plan still held it."""
    cell = make_cell("pics/nfgsm/a", "abcd", "cd")
    done = [make_record("a"), make_record("b", success=False), make_record("e")]
    bar = follow([cell], {cell.folder: done}, [2.0], [], capsys)
    assert bar.startswith("nfgsm ")
    assert "2/4, 1 of 2 successful " in bar
    bar = follow([cell], {cell.folder: done}, [2.0], [Step(cell, make_record("c")), Step(cell, measured=3)], capsys)
    assert "3/4, 2 of 3 successful, 3 measured " in bar
    assert "cells" not in bar


def test_progress_of_many_cells(capsys):
    cells = [make_cell("pics/nfgsm/a", "ab", "b"), make_cell("pics/cw/a", "ab", "ab"), make_cell("pics/cw/b", "a", "")]
    done = {cells[0].folder: [make_record("a")], cells[1].folder: [], cells[2].folder: [make_record("a")]}
    bar = follow(cells, done, [1.0, 2.0, 0.0], [], capsys)
    assert bar.startswith("pics/nfgsm/a ")
    assert "2/5, 1/3 cells, 1 of 1 successful " in bar
    steps = [Step(cells[0], make_record("b", success=False)), Step(cells[1], make_record("a"))]
    bar = follow(cells, done, [1.0, 2.0, 0.0], steps, capsys)
    assert bar.startswith("pics/cw/a ")
    assert "4/5, 2/3 cells, 1 of 1 successful " in bar
    bar = follow(cells, done, [1.0, 2.0, 0.0], [*steps, Step(measured=7)], capsys)
    assert bar.startswith("originals ")
    assert "4/5, 2/3 cells, 7 measured " in bar


def test_progress_where_nothing_is_left(capsys):
    cell = make_cell("pics/nfgsm/a", "a", "")
    bar = follow([cell], {cell.folder: [make_record("a")]}, [0.0], [], capsys)
    assert "1/1, 1 of 1 successful " in bar


def test_errors_stand_above_the_progress(capsys):
    cell = make_cell("pics/nfgsm/a", "ab", "ab")
    broken = make_record("a", success=False, source=NASTY, error=NASTY)
    stderr = follow([cell], {cell.folder: []}, [1.0], [Step(cell, broken)], capsys)
    error, bar = stderr.splitlines()
    assert error == f"{TAME}: {TAME}"
    assert "1/2, 0 of 1 successful " in bar


def test_workers_and_their_rates_are_shown(capsys):
    cell = make_cell("pics/nfgsm/a", "ab", "ab")
    rates = {f"worker 1 ({NASTY})": 1.25, "worker 2 (b)": 3.5}
    stderr = follow([cell], {cell.folder: []}, [1.0], [], capsys, rates=rates)
    bar, *workers = stderr.splitlines()
    assert "2 workers: 4.75 images/s (1.2 to 3.5 each) " in bar
    assert workers == [f"worker 1 ({TAME}): 1.25 images/s", "worker 2 (b): 3.5 images/s"]
    bar, _ = follow([cell], {cell.folder: []}, [1.0], [], capsys, rates={"worker 1 (a)": 1.25}).splitlines()
    assert "1 worker: 1.25 images/s " in bar


def test_notes_stand_above_the_progress_each_once(capsys):
    cell = make_cell("pics/nfgsm/a", "ab", "ab")
    steps = [Step(), Step(cell, make_record("a"))]
    *notes, bar = follow([cell], {cell.folder: []}, [1.0], steps, capsys, warnings=["slow", NASTY]).splitlines()
    assert notes == ["note: slow", f"note: {TAME}"]
    assert bar.startswith("nfgsm ")
    (_, bar) = follow([cell], {cell.folder: []}, [1.0], [Step()], capsys, warnings=["slow"]).splitlines()
    assert bar.startswith("nfgsm "), "a note is not a measurement of originals"


@pytest.mark.parametrize("name", ["[/b]x", "[red]x", NASTY])
def test_labels_in_progress_are_plain(capsys, name):
    """Markup that closes what was never opened must not stop a run."""
    for cells in ([make_cell("f", "a", "a", name)], [make_cell(name, "a", "a"), make_cell("other", "a", "a")]):
        bar = follow(cells, {cell.folder: [] for cell in cells}, [1.0] * len(cells), [], capsys)
        assert bar.startswith(f"{plain(name)} ")
