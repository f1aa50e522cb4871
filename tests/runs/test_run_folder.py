"""What a run folder saves comes back, and stays inside it."""

import math
import multiprocessing
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool.errors import RunError, UsageError
from edgefool.runs import Record, RunFolder, open_run, read_run
from edgefool.runs.records import sha256

PLAN = "seed = 0\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_labels_decide_nothing(tmp_path, cell, changed):
    renamed = changed(label="other", classifier="net")
    run = RunFolder(tmp_path)
    (folder,) = run.enter([cell])
    assert run.enter([renamed]) == [folder]
    assert run.cells() == {folder: renamed}


@pytest.mark.parametrize("label", ["../../x", "..", "/etc", "a/b", "a\\b", "κ = 5", "CON", "edgefool"])
def test_labels_never_lead_outside(tmp_path, changed, record, label):
    run = RunFolder(tmp_path / "run")
    run.path.store.make_folder(run.path.key)
    (folder,) = run.enter([changed(label=label, classifier=label)])
    path = Path(str(run.image_path("images", record(cell=folder))))
    assert len(folder.split("/")) == 3
    assert path.resolve().is_relative_to((tmp_path / "run/images/photos").resolve())


def test_a_photo_done_again_has_one_adversarial_image(tmp_path, saved):
    run = RunFolder(tmp_path)
    first = saved(run, success=True)
    second = saved(run, success=False)
    assert not run.image_path("images", first).exists()
    assert run.image_path("failures", second).exists()


@given(st.lists(st.tuples(TEXT, TEXT, st.floats(allow_nan=False))))
def test_records_come_back(tmp_path_factory, values):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    names = {"cell": "photos/edgefool/tiny", "dataset": "photos", "method": "edgefool", "classifier": "tiny"}
    records = [
        Record(**names, image=str(k), source=f"{k}.png", original_name=name, error=error, psnr=psnr)
        for k, (name, error, psnr) in enumerate(values)
    ]
    for one in records:
        run.save(one, {})
    assert run.records() == records


def test_latest_record_of_an_image_counts(tmp_path, record):
    run = RunFolder(tmp_path)
    for one in [record("cat", error="no"), record("dog"), record("cat", success=True)]:
        run.save(one, {})
    assert run.records() == [record("cat", success=True), record("dog")]


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b'{"image": "cat"}', b"\xff\xfe", b"{]"])
def test_damaged_record_is_reported(tmp_path, record, damage):
    run = RunFolder(tmp_path)
    run.save(record("cat"), {})
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(damage + b"\n")
    run.save(record("dog"), {})
    with pytest.raises(RunError, match=r"^line 2 of .*records.jsonl is damaged; to repair it, repeat[^\n]*$"):
        run.records()


def test_only_a_run_is_read(tmp_path):
    with pytest.raises(UsageError, match="is not a run folder"):
        read_run(tmp_path)


def test_selection_and_limits_say_which_images_count(tmp_path, cell, changed):
    few = changed(constants={"alpha": 5.0})
    run = RunFolder(tmp_path)
    folders = run.enter([cell, few], [None, 2])
    assert run.selected() == {}
    run.select({"photos": ["c", "a", "b"]})
    assert run.selected() == {folders[0]: {"a", "b", "c"}, folders[1]: {"c", "a"}}
    run.select({"photos": ["c"]})
    run.enter([cell], [1])
    assert run.selected() == {folders[0]: {"c"}, folders[1]: {"c"}}


def test_what_is_said_already_is_not_written_again(tmp_path, cell):
    run = RunFolder(tmp_path)
    for _ in range(2):
        run.enter([cell], [3])
        run.select({"photos": ["a"]})
    assert len((tmp_path / "cells.jsonl").read_bytes().splitlines()) == 1
    assert len((tmp_path / "selection.jsonl").read_bytes().splitlines()) == 1


def save_elsewhere(run: RunFolder, one: Record, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # its server may have begun before
    run.save_images(one, {run.image_path("images", one): b"image"})


def test_another_process_saves_images(tmp_path, bucket, cell, record):
    context = multiprocessing.get_context("forkserver")
    for place in (tmp_path / "run", bucket / "run"):
        with open_run(place, PLAN, [cell]) as run:
            run.enter([cell])
            one = record(success=True, png=sha256(b"image"), original_png=sha256(b"image"))
            run.save_images(one, {run.image_path("originals", one): b"image"})
            assert pickle.loads(pickle.dumps(run)).path == run.path
            process = context.Process(target=save_elsewhere, args=(run, one, dict(os.environ)))
            process.start()
            process.join()
            assert process.exitcode == 0
            run.save_records([one])
        with open_run(place, PLAN, [cell]) as run:
            assert run.repaired == []
            assert run.records() == [one]


def test_infinity_is_a_distance(tmp_path, record):
    run = RunFolder(tmp_path)
    run.save(record(psnr=math.inf), {})
    assert run.records()[0].psnr == math.inf
