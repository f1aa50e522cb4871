"""A run keeps its promises: one plan, one process, nothing lost, nothing twice, nothing half-written."""

import errno
import io
import json
import math
import multiprocessing
import os
import pickle
import random
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool import cli
from edgefool.classifiers import load_classifier
from edgefool.errors import RunError, UsageError
from edgefool.images import read_image
from edgefool.runs import Record, RunFolder, load_records, open_run
from edgefool.runs.cell import Cell
from edgefool.runs.run_folder import CellLine, Prediction, Quality, sha256, slug

PLAN = "seed = 0\n"
CELL = Cell(
    dataset="photos",
    method="edgefool",
    constants={"alpha": 10.0},
    fingerprint="00",
    size=32,
    seed=0,
    label="edgefool",
    classifier="tiny",
    num_classes=5,
)


def changed(**settings: object) -> Cell:
    return Cell.model_validate(CELL.model_dump() | settings)


def record(image: str = "cat", cell: str = "photos/edgefool/tiny", **fields: object) -> Record:
    return Record(
        cell=cell,
        dataset="photos",
        image=image,
        source=f"/photos/{image}.png",
        method="edgefool",
        classifier="tiny",
        **fields,
    )


def saved(run: RunFolder, image: str = "cat", success: bool = True, **fields: object) -> Record:
    """Save a record with files of its own."""
    files = {kind: f"{kind} {image}".encode() for kind in ("originals", "images", "structure")}
    hashes = {"original_png": "originals", "png": "images", "structure_png": "structure"}
    one = record(image, success=success, **fields, **{name: sha256(files[kind]) for name, kind in hashes.items()})
    run.save(one, {run.image_path(one.kind if kind == "images" else kind, one): data for kind, data in files.items()})
    return one


# Opening


def test_new_run_holds_its_plan_and_versions(tmp_path):
    with open_run(tmp_path / "a" / "run", PLAN, [CELL], command="edgefool attack x") as run:
        assert run.path == tmp_path / "a" / "run"
    assert (run.path / "plan.toml").read_text() == PLAN
    (session,) = run.session_lines.read()
    assert session.command == "edgefool attack x"
    assert {"edgefool", "torch", "torchvision"} <= session.versions.keys()


def test_arguments_that_are_not_utf8_do_not_stop_the_run(tmp_path):
    with open_run(tmp_path / "run", PLAN, [CELL], command=os.fsdecode(b"edgefool caf\xff.png")) as run:
        pass
    assert [session.command for session in run.session_lines.read()] == ["edgefool caf\\udcff.png"]


@pytest.mark.parametrize("days", [(1, 2), (1, 1), (2, 1)])
def test_each_process_that_worked_is_told(tmp_path, monkeypatch, days):
    for number, day in enumerate(days):
        monkeypatch.setattr("edgefool.runs.run_folder._now", lambda day=day: f"2026-01-0{day}")
        with open_run(tmp_path / "run", PLAN, [CELL], command=f"number {number}") as run:
            pass
    assert [session.command for session in run.session_lines.read()] == ["number 0", "number 1"]


def test_a_run_takes_more_cells_and_another_plan(tmp_path):
    more = changed(constants={"alpha": 5.0})
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        first = run.enter([CELL])
    with open_run(tmp_path / "run", "seed = 0 # more", [CELL, more]) as run:
        assert run.enter([more, CELL]) == [f"photos/edgefool-{more.id[:8]}/tiny", *first]
    assert run.cells() == {first[0]: CELL, f"photos/edgefool-{more.id[:8]}/tiny": more}
    assert (run.path / "plan.toml").read_text() == "seed = 0 # more"


@pytest.mark.parametrize("alone", [True, False])
def test_run_of_another_size_or_seed_is_refused(tmp_path, alone):
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        run.enter([CELL])
    other = changed(size=64, constants={"alpha": 5.0})
    message = r"other settings \(size: 32 there, 64 now; alpha: 10.0 there, 5.0 now\); name a new folder"
    with pytest.raises(UsageError, match=message), open_run(tmp_path / "run", "other", [other], alone=alone):
        pass
    assert (run.path / "plan.toml").read_text() == PLAN
    refused = pytest.raises(UsageError, match=r"\(seed: 0 there, 1 now\)")
    with refused, open_run(tmp_path / "run", PLAN, [changed(seed=1)], alone=alone):
        pass
    with open_run(tmp_path / "run", PLAN, [CELL], alone=alone):  # refusing gave the lock back
        pass


def test_a_run_that_is_to_stay_alone_refuses_other_constants(tmp_path):
    with open_run(tmp_path / "run", PLAN, [CELL], alone=True) as run:
        run.enter([CELL])
    refused = pytest.raises(UsageError, match=r"\(alpha: 10.0 there, 5.0 now\)")
    with refused, open_run(tmp_path / "run", PLAN, [changed(constants={"alpha": 5.0})], alone=True):
        pass


def test_constants_without_end_come_back(tmp_path):
    cell = changed(constants={"kappa": math.inf})
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        (folder,) = run.enter([cell])
    with open_run(tmp_path / "run", PLAN, [cell], alone=True) as run:
        assert run.mended == []
        assert run.cells() == {folder: cell}


def test_labels_decide_nothing(tmp_path):
    renamed = changed(label="other", classifier="net")
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        (folder,) = run.enter([CELL])
        assert run.enter([renamed]) == [folder]
        assert run.cells() == {folder: renamed}


@pytest.mark.parametrize("label", ["../../x", "..", "/etc", "a/b", "a\\b", "κ = 5", "CON", "edgefool"])
def test_labels_never_lead_outside(tmp_path, label):
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        (folder,) = run.enter([changed(label=label, classifier=label)])
        path = run.image_path("images", record(cell=folder))
    assert len(folder.split("/")) == 3
    assert path.resolve().is_relative_to((tmp_path / "run/images/photos").resolve())


def test_run_is_for_one_process(tmp_path):
    busy = pytest.raises(RunError, match=rf"another process is working in .* \(process {os.getpid()} on ")
    with open_run(tmp_path / "run", PLAN, [CELL]), busy, open_run(tmp_path / "run", PLAN, [CELL]):
        pass
    with open_run(tmp_path / "run", PLAN, [CELL]):
        pass
    assert not (tmp_path / "run/.owner").exists()


def test_a_disk_that_became_read_only_is_told_and_the_lock_given_back(tmp_path, monkeypatch):
    genuine = io.open

    def fail(path, mode="w", *rest):
        if mode in ("r", "rb"):
            return genuine(path, mode, *rest)
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patch:
        refused = pytest.raises(RunError, match=r"cannot write .*cells.jsonl: Read-only file system; what is done is")
        with refused, open_run(tmp_path / "run", PLAN, [CELL]) as run:
            patch.setattr(io, "open", fail)
            patch.setattr(os, "unlink", fail)
            run.enter([CELL])
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        assert len(run.enter([CELL])) == 1


@pytest.mark.parametrize("name", ["photo.png", "cells.jsonl", "records.jsonl"])
def test_folder_that_is_not_a_run_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine\n")
    refused = pytest.raises(UsageError, match="is not a run and not empty; name a new folder")
    with refused, open_run(tmp_path, PLAN, [CELL]):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_file_is_not_a_run(tmp_path):
    (tmp_path / "run").touch()
    refused = pytest.raises(UsageError, match="is a file; --out needs a folder")
    with refused, open_run(tmp_path / "run", PLAN, [CELL]):
        pass
    with pytest.raises(RunError, match="cannot write"), open_run(tmp_path / "run" / "deeper", PLAN, [CELL]):
        pass


def test_leftovers_of_a_kill_are_removed(tmp_path):
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        run.enter([CELL])
        saved(run, "cat")
    (tmp_path / "run/originals/photos/0123456789abcdef.partial").write_bytes(b"half")
    with (tmp_path / "run/records.jsonl").open("ab") as file:
        file.write(b'{"image":"dog","sou')
    assert len(load_records(tmp_path / "run")) == 1
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        assert run.mended == []
        saved(run, "dog")
    assert not list(run.path.rglob("*.partial"))
    assert [record.image for record in run.records()] == ["cat", "dog"]


def test_labels_may_end_like_leftovers(tmp_path):
    cell = changed(label="x.partial")
    for _ in range(2):
        with open_run(tmp_path, PLAN, [cell]) as run:
            assert run.mended == []
            saved(run, cell=run.enter([cell])[0])
    assert (tmp_path / "images/photos/x.partial/tiny/cat.png").exists()


@pytest.mark.parametrize("leftovers", [[], [".lock"], [".lock", ".owner", "0123456789abcdef.partial"]])
def test_run_killed_before_its_plan_was_written_goes_on(tmp_path, leftovers):
    for name in leftovers:
        (tmp_path / name).touch()
    with open_run(tmp_path, PLAN, [CELL]):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "plan.toml", "sessions.jsonl"]


# Damage: found when the run is opened, told, and no longer counted as done


def test_a_run_whose_plan_is_missing_goes_on(tmp_path):
    with open_run(tmp_path, PLAN, [CELL]) as run:
        run.enter([CELL])
        one = saved(run)
    (tmp_path / "plan.toml").unlink()
    with (tmp_path / "cells.jsonl").open("ab") as file:
        file.write(b"damaged, too\n")
    with open_run(tmp_path, PLAN, [CELL]) as run:
        assert run.mended == ["line 2 of cells.jsonl was damaged"]
        assert run.records() == [one]
    assert (tmp_path / "plan.toml").read_text() == PLAN


DAMAGE = {
    "missing image": ("images/photos/edgefool/tiny/cat.png", None, "images/photos/edgefool/tiny/cat.png is missing"),
    "altered image": ("images/photos/edgefool/tiny/cat.png", b"x", "images/photos/edgefool/tiny/cat.png was altered"),
    "missing original": ("originals/photos/cat.png", None, "originals/photos/cat.png is missing"),
    "altered original": ("originals/photos/cat.png", b"x", "originals/photos/cat.png was altered"),
    "missing structure": ("structure/photos/edgefool/tiny/cat.png", None, "structure/photos/edgefool/tiny/cat.png is"),
    "altered structure": ("structure/photos/edgefool/tiny/cat.png", b"", "structure/photos/edgefool/tiny/cat.png was"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_images_count_as_not_done(tmp_path, case):
    name, data, message = DAMAGE[case]
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        run.enter([CELL])
        for image in ("cat", "dog"):
            saved(run, image)
        run.save(record("bad", error="no image"), {})
    path = tmp_path / "run" / name
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        (told,) = run.mended
        assert f"cat of photos/edgefool/tiny: {message}" in told
        assert [record.image for record in run.records()] == ["dog", "bad"]
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        assert run.mended == []


HOSTILE = ["../x", "..", "a/../../x", "/etc/passwd", "", "a//b", "..\\x", "nul\0"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("field", ["cell", "image", "dataset"])
def test_records_that_lead_outside_are_damaged(tmp_path, field, name):
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        run.enter([CELL])
        one = saved(run)
    run.record_lines.append([one.model_copy(update={field: name})])
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        assert run.mended == ["line 2 of records.jsonl was damaged"]
        assert run.records() == [one]


def test_names_that_no_disk_can_hold_do_not_stop_the_run(tmp_path):
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        run.enter([CELL])
        one = saved(run)
        run.record_lines.append([one.model_copy(update={"image": "x" * 1000})])
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        (told,) = run.mended
        assert told.endswith("xxx.png is missing")
        assert run.records() == [one]


@pytest.mark.parametrize("folder", HOSTILE)
def test_cells_that_lead_outside_are_damaged(tmp_path, folder):
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        run.enter([CELL])
        one = saved(run)
        run.cell_lines.append([CellLine.model_construct(folder=folder, cell=CELL)])
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        assert run.mended == ["line 2 of cells.jsonl was damaged"]
        assert run.cells() == {one.cell: CELL}
        assert run.records() == [one]


def test_record_of_an_unknown_cell_is_taken_out(tmp_path):
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        run.enter([CELL])
        one = saved(run)
        run.save(record("dog", cell="photos/other/tiny", error="x"), {})
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        assert run.mended == ["dog of photos/other/tiny: its cell is unknown"]
        assert run.records() == [one]


def test_damaged_lines_of_every_file_are_taken_out(tmp_path):
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        run.enter([CELL])
        one = saved(run)
        prediction = Prediction(
            cell=None, dataset="photos", image="cat", png="", classifier="", fingerprint="", predicted=1, probability=1,
            scores={},
        )  # fmt: skip
        quality = Quality(cell=one.cell, image="cat", png="", ciede2000=1, linf=1, changed_pixels=1)
        run.save_measures([prediction], [quality])
    names = ["cells.jsonl", "records.jsonl", "predictions.jsonl", "quality.jsonl", "sessions.jsonl"]
    for name in names:
        path = tmp_path / "run" / name
        path.write_bytes(b'{"half": \n' + path.read_bytes())
    with open_run(tmp_path / "run", PLAN, [CELL]) as run:
        assert run.mended == [f"line 1 of {name} was damaged" for name in names]
        assert run.records() == [one]
        assert run.prediction_lines.read() == [prediction]
        assert run.quality_lines.read() == [quality]


def test_a_photo_done_again_has_one_adversarial_image(tmp_path):
    run = RunFolder(tmp_path)
    first = saved(run, success=True)
    second = saved(run, success=False)
    assert not run.image_path("images", first).exists()
    assert run.image_path("failures", second).exists()


# Records

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXT, TEXT, st.floats(allow_nan=False))))
def test_records_come_back(tmp_path_factory, values):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    records = [record(str(k), original_name=n, error=error, psnr=psnr) for k, (n, error, psnr) in enumerate(values)]
    for one in records:
        run.save(one, {})
    assert run.records() == records


def test_latest_record_of_an_image_counts(tmp_path):
    run = RunFolder(tmp_path)
    for one in [record("cat", error="no"), record("dog"), record("cat", success=True)]:
        run.save(one, {})
    assert run.records() == [record("cat", success=True), record("dog")]


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b'{"image": "cat"}', b"\xff\xfe", b"{]"])
def test_damaged_record_is_told(tmp_path, damage):
    run = RunFolder(tmp_path)
    run.save(record("cat"), {})
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(damage + b"\n")
    run.save(record("dog"), {})
    with pytest.raises(RunError, match=r"^line 2 of .*records.jsonl is damaged; the command that made[^\n]*$"):
        run.records()


def test_load_records_of_new_and_missing_runs(tmp_path):
    with open_run(tmp_path / "run", PLAN, [CELL]):
        pass
    frame = load_records(str(tmp_path / "run"))
    assert frame.empty
    assert list(frame) == list(Record.model_fields)
    assert (frame["iterations"].dtype, frame["psnr"].dtype, frame["success"].dtype) == ("Int64", "float64", "bool")
    with pytest.raises(UsageError, match="is not a run folder"):
        load_records(tmp_path)


def test_load_records_has_a_row_per_image(tmp_path):
    with open_run(tmp_path, PLAN, [CELL]) as run:
        run.save(record("cat", success=True, psnr=math.inf, original_class=3), {})
        run.save(record("dog", error="damaged"), {})
    frame = load_records(tmp_path)
    assert frame["image"].tolist() == ["cat", "dog"]
    assert frame["success"].dtype == bool
    assert frame["psnr"][0] == math.inf
    assert frame["error"].isna().tolist() == [True, False]


@given(st.text())
def test_slug_is_one_plain_folder(name):
    assert slug(name) == slug(slug(name))
    assert not set(slug(name)) & set('/\\:*?"<>|\n\0')
    assert slug(name).strip(".")


# Faults: whatever write fails, the run stops with one line and goes on later

FAULTS = [
    (os, "fsync", errno.ENOSPC, lambda *_: True),
    (os, "replace", errno.ENOSPC, lambda *_: True),
    (os, "mkdir", errno.EACCES, lambda path, *_: not os.path.exists(path)),
    (io, "open", errno.EACCES, lambda _, mode, *__: mode in ("wb", "ab")),
]


@pytest.mark.parametrize(("module", "function", "code", "counts"), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_run_survives_every_failing_write(tmp_path, monkeypatch, make_photo, attack, module, function, code, counts):
    photo = make_photo(tmp_path / "cat.png")
    assert attack(photo, "--out", tmp_path / "good")[0] == 0
    genuine = getattr(module, function)
    for number in range(100):
        out, left = tmp_path / f"run{number}", [number]

        def fail(*arguments, left=left, **keywords):
            if counts(*arguments):
                left[0] -= 1
                if left[0] == -1:
                    raise OSError(code, os.strerror(code), str(arguments[0]))
            return genuine(*arguments, **keywords)

        with monkeypatch.context() as patch:
            patch.setattr(module, function, fail)
            exit_code, _, stderr = attack(photo, "--out", out)
        if left[0] >= 0:
            break
        errors = [line for line in stderr.splitlines() if "error: " in line]
        assert exit_code == 1
        assert len(errors) == 1
        assert os.strerror(code) in errors[0]
        assert "repeat the command" in errors[0]
        assert "Traceback" not in stderr
        assert attack(photo, "--out", out)[0] == 0
        assert_same_run(out, tmp_path / "good")
    assert number >= 3
    assert exit_code == 0


def test_full_disk_in_the_middle_of_a_line(tmp_path, tiny, make_photo, child):
    """The kernel cuts a record's line short, as a full disk does."""
    for seed in range(8):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    # By a child as well: with another number of threads a pixel may round otherwise.
    assert child(cli.main, arguments(tmp_path / "photos", tmp_path / "good", tiny)).exitcode == 0
    sizes = [path.stat().st_size for path in (tmp_path / "good").rglob("*.png")]
    limit = (tmp_path / "good/records.jsonl").stat().st_size - 100
    assert limit > max(sizes), "images, not records, would hit the limit"
    command = arguments(tmp_path / "photos", tmp_path / "run", tiny)
    limited = f"""
import resource
from edgefool.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
main({command})
"""
    assert child(exec, limited, {}).exitcode == 1
    records = (tmp_path / "run/records.jsonl").read_bytes()
    assert records.endswith(b"\n"), "half a line is taken back"
    assert len(load_records(tmp_path / "run")) == 7
    assert child(cli.main, command).exitcode == 0
    assert_same_run(tmp_path / "run", tmp_path / "good")


def test_damage_at_random_places_is_made_good(tmp_path, make_photo, attack):
    for seed in range(4):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    command = [tmp_path / "photos", "--out"]
    assert attack(*command, tmp_path / "good")[0] == 0
    attack(*command, tmp_path / "run")
    places, mended = random.Random(0), 0
    for _ in range(25):
        damage(tmp_path / "run", places)
        code, _, stderr = attack(*command, tmp_path / "run")
        assert code == 0
        mended += "damaged, so done again" in stderr
        assert_same_run(tmp_path / "run", tmp_path / "good")
    assert mended >= 15, "the damage was too small to mean anything"


def test_damage_to_many_cells_is_made_good(tmp_path, settings, carry_out, agree):
    good = carry_out(settings, "good", batch_size=1).run
    carry_out(settings, "run", batch_size=1)
    places, mended = random.Random(0), 0
    for _ in range(12):
        for _ in range(places.randint(1, 5)):
            damage(tmp_path / "run", places)
        run = carry_out(settings, "run", batch_size=1).run
        mended += bool(run.mended)
        assert_same_run(run.path, good.path)
        assert run.cells() == good.cells()
        agree(run, good)
        assert carry_out(settings, "run").steps == []
    assert mended >= 9, "the damage was too small to mean anything"


def damage(run: Path, places: random.Random) -> None:
    """Take away, cut short or alter a file of a run, or take a piece out of it."""
    path = places.choice([p for p in sorted(run.rglob("*")) if p.suffix in (".png", ".jsonl") and p.stat().st_size])
    data = path.read_bytes()
    at = places.randrange(len(data))
    kind = places.choice(["flip", "cut", "gap", "delete"])
    if kind == "delete":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(data[:at])
    elif kind == "gap":
        path.write_bytes(data[:at] + data[at + places.randint(1, 300) :])
    else:
        path.write_bytes(data[:at] + bytes([data[at] ^ places.randint(1, 255)]) + data[at + 1 :])


# Kills


@pytest.fixture
def child(monkeypatch):
    """Return what runs a function in a process of its own, forked from one that has imported the package.

    Forking from a process that does nothing else is a fresh start without the seconds of imports; with ``wait`` the
    process is killed (SIGKILL) after that many seconds, if it still runs.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["edgefool.cli", "edgefool.classifiers.loading", "edgefool.experiments", "rich.progress"]
    )

    def run(function, *arguments, wait=None):
        process = context.Process(target=function, args=arguments)
        process.start()
        process.join(wait)
        process.kill()
        process.join()
        return process

    return run


def arguments(photos: Path, out: Path, tiny: Path) -> list[str]:
    return [
        *("attack", str(photos), "--out", str(out), "--classifier", f"{tiny}:factory", "--size", "32"),
        *("--set", "start=identity", "--set", "max_iterations=3", "--set", "tau=0.01", "--batch-size", "1"),
    ]


@pytest.mark.kills
def test_killed_twenty_times_at_random_moments(tmp_path, tiny, make_photo, child, tally):
    tally.fault = "killed (SIGKILL) at random moments, until the run is done"
    for seed in range(8):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    good = tmp_path / "good"
    child(cli.main, arguments(tmp_path / "photos", good, tiny))  # the server starts here
    start = time.perf_counter()
    child(cli.main, arguments(tmp_path / "photos", tmp_path / "timed", tiny))
    whole = time.perf_counter() - start

    moments, kills, runs, in_the_middle = random.Random(0), 0, 0, 0
    while kills < 20:
        runs += 1
        command = arguments(tmp_path / "photos", tmp_path / f"run{runs}", tiny)
        while kills < 20:
            code = child(cli.main, command, wait=moments.uniform(0, whole)).exitcode
            assert code in (0, -9)
            if code == 0:
                break
            kills += 1
            tally.tries += 1
            in_the_middle += 0 < len(finished(tmp_path / f"run{runs}")) < 8
        assert child(cli.main, command).exitcode == 0
        assert_same_run(tmp_path / f"run{runs}", good)
        assert_true(tmp_path / f"run{runs}", tiny)
    assert in_the_middle >= 3, "the kills came too early or too late to mean anything"


@pytest.mark.kills
def test_killed_at_every_write(tmp_path, tiny, make_photo, child, dying, tally):
    tally.fault = "killed (SIGKILL) at each write of a run"
    for seed in range(2):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    child(cli.main, arguments(tmp_path / "photos", tmp_path / "good", tiny))
    command = arguments(tmp_path / "photos", tmp_path / "run", tiny)
    deadly = f"""{dying}
from edgefool.cli import main
os.fsync, os.replace, os.mkdir = die_after(os.fsync), die_after(os.replace), die_after(os.mkdir)
main({command})
"""
    codes = [-9]
    while codes[-1] == -9 and len(codes) < 40:
        codes.append(child(exec, deadly.format(left=len(codes) - 1), {}).exitcode)
        assert codes[-1] in (0, -9)
    tally.tries = codes.count(-9)
    assert tally.tries > 5
    assert codes[-1] == 0
    assert_same_run(tmp_path / "run", tmp_path / "good")
    assert_true(tmp_path / "run", tiny)


def finished(run: Path) -> list[bytes]:
    path = run / "records.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def assert_same_run(run: Path, good: Path) -> None:
    """Nothing twice, nothing lost, nothing half-written, and the same results as without any disturbance."""
    lines = finished(run)
    assert (run / "records.jsonl").read_bytes().endswith(b"\n")
    assert len(lines) == len({(line["cell"], line["image"]) for line in map(json.loads, lines)})
    ours, theirs = (
        load_records(path).drop(columns="seconds").sort_values(["cell", "image"], ignore_index=True)
        for path in (run, good)
    )
    pd.testing.assert_frame_equal(ours, theirs)
    assert tree(run) == tree(good)


def tree(run: Path) -> dict[str, bytes]:
    told = {".lock", "sessions.jsonl", "records.jsonl", "predictions.jsonl", "quality.jsonl"}
    told |= {"cells.jsonl"} if len(RunFolder(run).cells()) > 1 else set()  # their order may be another
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name not in told
    }


def assert_true(run: Path, tiny: Path) -> None:
    """Every PNG is classified as its record says."""
    classifier = load_classifier(f"{tiny}:factory")
    folder = RunFolder(run)
    for one in folder.records():
        original = read_image(folder.image_path("originals", one))[None]
        assert int(classifier(original).argmax()) == one.original_class
        assert folder.image_path("images", one).exists() == one.success
        adversarial = read_image(folder.image_path(one.kind, one))[None]
        assert int(classifier(adversarial).argmax()) == one.adversarial_class


# Several processes


def save_elsewhere(run: RunFolder, one: Record, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # its server may have begun before
    run.save_images(one, {run.image_path("images", one): b"image"})


def test_another_process_saves_images(tmp_path, bucket, child):
    for place in (tmp_path / "run", bucket / "run"):
        with open_run(place, PLAN, [CELL]) as run:
            run.enter([CELL])
            one = record(success=True, png=sha256(b"image"), original_png=sha256(b"image"))
            run.save_images(one, {run.image_path("originals", one): b"image"})
            assert pickle.loads(pickle.dumps(run)).path == place
            assert child(save_elsewhere, run, one, dict(os.environ)).exitcode == 0
            run.save_records([one])
        with open_run(place, PLAN, [CELL]) as run:
            assert run.mended == []
            assert run.records() == [one]
