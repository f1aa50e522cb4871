"""A local run does what is missing and nothing else, whatever happened before."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgefool.attacks import DeepFool
from edgefool.attacks.attack import IterativeAttack
from edgefool.errors import RunError, UsageError
from edgefool.execution import RunState, run_local
from edgefool.execution import measurer as measuring
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import open_run
from edgefool.storage import LocalStore, StorePath

FILES = ("cells.jsonl", "records.jsonl", "predictions.jsonl", "quality.jsonl")


def lines(folder: Path) -> dict[str, list[str]]:
    return {name: (folder / name).read_text().splitlines() for name in FILES}


def growth(folder: Path, before: dict[str, list[str]]) -> tuple[int, ...]:
    """Return how many lines each file has more, after making sure that the others are as before."""
    after = lines(folder)
    for name in FILES:
        assert after[name][: len(before[name])] == before[name]
    return tuple(len(after[name]) - len(before[name]) for name in FILES)


@pytest.fixture
def forbid(monkeypatch):
    """Return what makes every attack fail from then on."""

    def fail(*_):
        raise AssertionError("nothing is to be attacked")

    def forbid():
        for method in IterativeAttack.__subclasses__():
            monkeypatch.setattr(method, "begin", fail)

    return forbid


# Once


def test_everything_is_done(tmp_path, settings, carry_out):
    run, state, steps = carry_out(settings)
    records = run.records()
    assert {r.cell for r in records} == set(run.cells()) == {cell.folder for cell in state.cells}
    assert len(records) == len({r.key for r in records}) == 4 * 6
    assert {r.error for r in records} == {None}
    assert 0 < sum(r.success for r in records) < 24, "the tests need both"
    assert {step.record.key: step.record for step in steps if step.record} == {r.key: r for r in records}
    assert {key: r for known in state.records.values() for r in known.values() for key in [r.key]} == {
        r.key: r for r in records
    }
    assert sum(step.measured for step in steps) == 4 * 6 + 6
    # Each image by both classifiers, the originals too.
    assert len(run.predictions()) == (4 * 6 + 6) * 2
    assert len(run.qualities()) == 4 * 6
    assert len(list((tmp_path / "run/originals/pics").iterdir())) == 6


def test_nothing_is_done_twice(tmp_path, settings, carry_out, copied_run, forbid, monkeypatch):
    before, written = lines(tmp_path / "run"), {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.png")}
    forbid()
    monkeypatch.setattr(measuring, "read_image", lambda _: pytest.fail("nothing is to be measured"))
    again = carry_out(settings)
    assert again.steps == []
    assert growth(tmp_path / "run", before) == (0, 0, 0, 0)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.png")} == written
    assert len(again.run.sessions()) == 2


def test_without_predictions_only_distances_are_measured(tmp_path, settings):
    plan = make_plan(settings)
    experiment = Experiment(plan)
    with open_run(tmp_path / "run", plan.to_toml(), experiment.cells) as run:
        steps = list(run_local(RunState(experiment, run, predict=False)))
    assert len(steps) == len(run.records()) == 24
    assert run.predictions() == []
    assert len(run.qualities()) == 24


def test_the_batch_size_changes_nothing(settings, carry_out, plan_done, agree):
    """Of 1, and of all six that fit."""
    agree(carry_out(settings, batch_size=1).run, plan_done.run)


def test_a_store_holds_the_same_as_a_disk(settings, carry_out, agree, store):
    settings = without(settings, "classifiers", 1)
    disk = carry_out(settings).run
    address = store / "run"
    run = carry_out(upload(settings, store / "album"), address).run
    agree(run, disk)
    pngs = {name for name in address.find() if name.endswith(".png")}
    assert pngs == {name for name in disk.path.find() if name.endswith(".png")}
    for name in pngs:
        assert (address / name).read() == (disk.path / name).read()


def test_nothing_is_done_twice_in_a_store(settings, carry_out, memory, forbid):
    settings = upload(settings, memory / "album")
    records = carry_out(settings, memory / "run").run.records()
    forbid()
    again = carry_out(settings, memory / "run")
    assert again.steps == again.run.repaired == []
    assert again.run.records() == records


def upload(settings: dict[str, Any], address: StorePath) -> dict[str, Any]:
    """Return the plan for a copy of its photos in a store."""
    (dataset,) = settings["datasets"]
    for photo in Path(dataset["path"]).iterdir():
        (address / photo.name).write(photo.read_bytes())
    return settings | {"datasets": [dataset | {"path": [str(address)]}]}


# A plan that grows


def without(settings, what, *positions):
    return settings | {what: [entry for k, entry in enumerate(settings[what]) if k not in positions]}


# How many lines cells, records, predictions and qualities grow by.
GROWTH = {
    # Its images of either classifier, which both judge.
    "method": (lambda settings: without(settings, "methods", 1), (2, 12, 24, 12)),
    # Its two cells' images, which both judge, and its own answers about what was there: two cells and the originals.
    "classifier": (lambda settings: without(settings, "classifiers", 1), (2, 12, 24 + 18, 12)),
    "dataset": (lambda settings: without(settings, "datasets", 1), (4, 24, 60, 24)),
    # Two images of four cells, and two originals.
    "photos": (
        lambda settings: settings | {"datasets": [dataset | {"limit": 4} for dataset in settings["datasets"]]},
        (0, 8, 16 + 4, 8),
    ),
    "photos of a method": (
        lambda settings: settings | {"methods": [settings["methods"][0], settings["methods"][1] | {"limit": 4}]},
        (2, 4, 8, 4),  # and the new limits of two cells
    ),
}


@pytest.mark.parametrize("what", GROWTH)
def test_what_is_added_is_done_and_nothing_else(tmp_path, settings, carry_out, plan_done, agree, what):
    shrink, grown = GROWTH[what]
    if what == "dataset":
        shutil.copytree(tmp_path / "album", tmp_path / "more")
        settings["datasets"].append({"kind": "folder", "name": "more", "path": str(tmp_path / "more")})
    carry_out(shrink(settings))
    before = lines(tmp_path / "run")
    run, _, steps = carry_out(settings)
    assert growth(tmp_path / "run", before) == grown
    assert sum(step.record is not None for step in steps) == grown[1]
    agree(run, carry_out(settings, "at once").run if what == "dataset" else plan_done.run)


def test_another_constant_is_another_cell(tmp_path, settings, carry_out, copied_run, frames):
    changed = settings | {"methods": [settings["methods"][0], {"name": "deepfool", "constants": {"max_iterations": 1}}]}
    before = lines(tmp_path / "run")
    run = carry_out(changed).run
    assert growth(tmp_path / "run", before) == (2, 12, 24, 12)
    constants = {folder: cell.constants.get("max_iterations") for folder, cell in run.cells().items()}
    assert len(constants) == 6
    new = [folder for folder, most in constants.items() if most == 1]
    assert all(folder.startswith("pics/deepfool-") for folder in new)
    records, predictions, _ = frames(run)
    assert (records.groupby("cell").size() == 6).all()
    assert records.groupby("cell")["method"].nunique().max() == 1
    assert (predictions.groupby("cell").size() == 12).all()
    # The new cell is what a run of its own gives.
    alone = carry_out(changed, "alone").run
    for folder in new:
        twin = f"pics/deepfool/{run.cells()[folder].classifier}"
        assert hashes(run, folder) == hashes(alone, twin)
    # Back to the first constants: all is there.
    assert carry_out(settings).steps == []


def hashes(run, folder):
    return {record.image: record.png for record in run.records() if record.cell == folder}


def test_a_new_label_is_no_new_cell(tmp_path, settings, carry_out, copied_run):
    before = lines(tmp_path / "run")
    settings["methods"][1]["label"] = "DF"
    run, state, steps = carry_out(settings)
    assert steps == []
    assert growth(tmp_path / "run", before) == (2, 0, 0, 0)  # for the labels
    assert [cell.folder for cell in state.cells] == list(run.cells())
    assert {cell.label for cell in run.cells().values()} == {"enhance", "DF"}


def test_a_squeezer_more_is_measured_without_attacks(tmp_path, settings, carry_out, plan_done, agree, forbid):
    fewer = carry_out(settings | {"squeezers": ["bits4"]}).run
    assert {name for line in fewer.prediction_lines.read() for name in line.scores} == {"bits4"}
    records = lines(tmp_path / "run")["records.jsonl"]
    forbid()
    agree(carry_out(settings).run, plan_done.run)
    assert lines(tmp_path / "run")["records.jsonl"] == records


def test_what_the_plan_no_longer_names_stays(tmp_path, settings, carry_out):
    shutil.copytree(tmp_path / "album", tmp_path / "more")
    more = {"kind": "folder", "name": "more", "path": str(tmp_path / "more")}
    full = settings | {"datasets": [*settings["datasets"], more]}
    carry_out(full)
    before = lines(tmp_path / "run")
    for gone in ("datasets", "classifiers", "methods"):
        run, _, steps = carry_out(without(full, gone, 0))
        assert steps == []
        assert growth(tmp_path / "run", before) == (0, 0, 0, 0)
        assert len(run.cells()) == 8


# Measures from the files


def test_measures_are_computed_again_from_the_images(
    tmp_path, settings, carry_out, plan_done, copied_run, agree, forbid
):
    before = (tmp_path / "run/records.jsonl").read_bytes()
    for name in ("predictions.jsonl", "quality.jsonl"):
        (tmp_path / "run" / name).unlink()
    forbid()
    run, _, steps = carry_out(settings)
    assert not [step for step in steps if step.record]
    assert (tmp_path / "run/records.jsonl").read_bytes() == before
    agree(run, plan_done.run)


# Interruptions


@pytest.mark.parametrize("when", [1, 4, 9])
def test_interrupted_attack_goes_on(settings, carry_out, plan_done, agree, monkeypatch, when):
    calls, step = [], DeepFool.step

    def interrupt(self, classifier, active):
        calls.append(len(active))
        if len(calls) == when:
            raise KeyboardInterrupt
        step(self, classifier, active)

    with monkeypatch.context() as patch:
        patch.setattr(DeepFool, "step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            carry_out(settings, batch_size=2)
    assert len(calls) == when, "it went on after the interruption"
    run, _, steps = carry_out(settings)
    kept = 24 - sum(step.record is not None for step in steps)
    assert 6 <= kept < 24  # those of the first cell at least
    agree(run, plan_done.run)


def test_interrupted_measuring_goes_on(tmp_path, settings, carry_out, plan_done, agree, monkeypatch):
    calls, measure = [], measuring.squeezing_scores

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return measure(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "squeezing_scores", interrupt)
        with pytest.raises(KeyboardInterrupt):
            carry_out(settings)
    assert len(calls) == 6
    assert 0 < len(lines(tmp_path / "run")["predictions.jsonl"]) < 60
    agree(carry_out(settings).run, plan_done.run)


# Damage by hand


def remove(path):
    path.unlink()


def alter(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def garble_line(path):
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:40] + b"\n" + b"".join(rest))


# Which damage is found is tested with the runs; here one kind of each that leads to other work.
DAMAGE = {
    "missing image": ("images/pics/deepfool/first/0.png", remove, "0 of pics/deepfool/first"),
    "changed failure": ("failures/pics/deepfool/first/4.png", alter, "4 of pics/deepfool/first"),
    "changed original": ("originals/pics/3.png", alter, "3 of pics/"),
    "half a last record": ("records.jsonl", truncate, "records.jsonl is incomplete"),
    "garbled record": ("records.jsonl", garble_line, "line 1 of records.jsonl"),
    "no cells": ("cells.jsonl", remove, "its cell is unknown"),
    "half a last prediction": ("predictions.jsonl", truncate, "predictions.jsonl is incomplete"),
    "garbled quality": ("quality.jsonl", garble_line, "line 1 of quality.jsonl"),
}


def pngs(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_reported_and_done_again(settings, carry_out, plan_done, copied_run, agree, damage):
    name, harm, report = DAMAGE[damage]
    before = pngs(copied_run)
    harm(copied_run / name)
    run, _, steps = carry_out(settings)
    assert any(report in line for line in run.repaired)
    assert steps
    agree(run, plan_done.run)
    assert pngs(copied_run) == before
    assert carry_out(settings).steps == []


# Photos


def test_errors_are_tried_again_if_asked(album, settings, carry_out):
    photo = album / "2.png"
    good = photo.read_bytes()
    photo.write_text("no photo")
    run, state, _ = carry_out(settings)
    errors = [r for r in run.records() if r.error]
    assert [r.image for r in errors] == ["2"] * 4
    assert [cell.photos[2].name in state.records[cell.folder] for cell in state.cells] == [True] * 4
    photo.write_bytes(good)
    assert carry_out(settings).steps == []
    run, state, steps = carry_out(settings, retry=True)
    assert [step.record.image for step in steps if step.record] == ["2"] * 4
    assert {r.error for r in run.records()} == {None}
    assert {r.error for known in state.records.values() for r in known.values()} == {None}
    # The four cells' image and the original are measured.
    assert sum(step.measured for step in steps) == 5


def test_a_photo_that_changed_is_refused(tmp_path, album, settings, carry_out, make_photo):
    carry_out(settings)
    before = lines(tmp_path / "run")
    make_photo(album / "2.png", 99)
    with pytest.raises(UsageError, match=r"2\.png has changed since this run attacked it; name a new folder"):
        carry_out(settings)
    assert growth(tmp_path / "run", before) == (0, 0, 0, 0)


def test_photos_keep_their_names(album, settings, carry_out, copied_run, make_photo):
    """A newcomer of the same name must not take that of a photo in the run."""
    make_photo(album / "0" / "3.png", 20)
    run = carry_out(settings).run
    names = {r.source: r.image for r in run.records()}
    assert names["3.png"] == "3"
    assert names["0/3.png"].startswith("3-")
    assert len(run.records()) == 4 * 7


def test_an_original_of_the_run_that_cannot_be_read_is_no_error_of_its_photo(
    settings, carry_out, plan_done, agree, monkeypatch
):
    genuine = LocalStore.read

    def fail(store, key):
        if "/originals/" in key:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), key)
        return genuine(store, key)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "read", fail)
        with pytest.raises(RunError, match=r"^cannot read .*originals.*: Permission denied; repeat the command$"):
            carry_out(settings)
    run = carry_out(settings).run
    assert {record.error for record in run.records()} == {None}
    agree(run, plan_done.run)


@pytest.mark.parametrize(("size", "problem"), [(40, "cannot take 40 x 40 pixels: no 40, please"), (48, "not finite")])
def test_a_classifier_that_fails_leaves_the_others_alone(tiny, settings, carry_out, size, problem):
    both = settings | {"size": size, "classifiers": [settings["classifiers"][0], {"name": f"{tiny}:choosy"}]}
    run, state, _ = carry_out(both, "both")
    assert [bool(r.error) for r in run.records()] == [r.classifier != "first" for r in run.records()]
    (line,) = state.evaluation.problems
    assert line.startswith("classifier-choosy")
    assert problem in line
    assert {line.classifier for line in run.predictions()} == {"first"}
    alone = carry_out(without(both, "classifiers", 1), "alone").run
    for ours, theirs in ((run.predictions(), alone.predictions()), (run.qualities(), alone.qualities())):
        found, expected = ({line.key: line.png for line in each} for each in (ours, theirs))
        assert found == expected
