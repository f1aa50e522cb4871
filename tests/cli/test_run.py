"""`edgefool run` and `edgefool evaluate`: plans from files, tables to files, one line for whatever is wrong."""

import copy
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
import torch
from safetensors.torch import save_file

from edgefool.attacks import METHODS, NFGSM
from edgefool.classifiers.vision import torchvision
from edgefool.datasets import paper_subset
from edgefool.datasets.demo import DEMO_PHOTOS
from edgefool.errors import UsageError
from edgefool.experiments import read_plan
from edgefool.experiments.experiment import Experiment
from edgefool.runs import load_records, open_run

PLANS = Path(__file__).parent.parent / "experiments"
TABLES = ("misleading", "transferability", "detectability", "quality")

STRONG = {"name": "nfgsm", "constants": {"max_iterations": 3, "alpha": 0.06, "epsilon": 0.2}}
"""N-FGSM that misleads the tiny classifiers with every photo."""


@pytest.fixture
def settings(tmp_path, tiny, make_photo):
    """Return a plan of one dataset of six photos, two classifiers and two methods; paths count from its file."""
    for seed in range(6):
        make_photo(tmp_path / "album" / f"{seed}.png", seed)
    return {
        "datasets": [{"kind": "folder", "name": "pics", "path": "album"}],
        "classifiers": [
            {"name": "classifier.py:factory", "label": "first"},
            {"name": "classifier.py:other", "label": "other"},
        ],
        "methods": [{"name": "enhance"}, {"name": "deepfool", "constants": {"max_iterations": 3}}],
        "size": 32,
        "squeezers": ["bits4", "median2"],
        "false_positive_rate": 0.2,
    }


@pytest.fixture
def carry_out(tmp_path, edgefool):
    """Return what writes a plan and runs it, by default in the folder ``run``."""

    def carry_out(settings, *options, run="run"):
        (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings))
        return edgefool("run", tmp_path / "plan.toml", "--out", tmp_path / run, *options)

    return carry_out


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of a run, but for times."""
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}
    return {name: table.drop(columns="seconds", errors="ignore") for name, table in tables.items()}


def same_tables(folder: Path, other: Path) -> None:
    ours, theirs = read_tables(folder), read_tables(other)
    for name in TABLES:
        pd.testing.assert_frame_equal(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


def count_lines(run: Path) -> dict[str, int]:
    return {name: len((run / f"{name}.jsonl").read_bytes().splitlines()) for name in ("records", "predictions")}


def one_plain_line(text: str) -> bool:
    return text.startswith("error: ") and text.endswith("\n") and text[:-1].isprintable()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# Runs


def test_tables_equal_plain_counts_over_the_files(tmp_path, settings, carry_out):
    (tmp_path / "labels.csv").write_text("file,label\n0.png,1\n1.png,2\n3.png,0\n5.png,\n")
    settings["datasets"][0] |= {"labels": "labels.csv", "num_classes": 5}
    settings["methods"] = [{"name": "enhance"}, {"name": "semanticadv", "constants": {"trials": 20}}]
    code, stdout, stderr = carry_out(settings)
    assert code == 0
    assert "4 cells, 24 images, 24 of them to attack: roughly 0:00:" in stderr
    assert "24/24, 4/4 cells, " in stderr
    assert ", 30 measured" in stderr
    assert "note" not in stderr
    assert str(tmp_path / "run/tables") in stdout
    tables = read_tables(tmp_path / "run/tables")
    records, predictions, qualities = (
        [json.loads(line) for line in (tmp_path / f"run/{name}.jsonl").read_text().splitlines()]
        for name in ("records", "predictions", "quality")
    )
    answer = {(line["cell"], line["image"], line["classifier"]): line for line in predictions}
    pairs = [(method, classifier) for classifier in ("first", "other") for method in ("enhance", "semanticadv")]
    for name in ("misleading", "transferability", "quality"):
        assert [*zip(tables[name]["method"], tables[name]["classifier"], strict=True)] == pairs
    transferred = 0
    for row, (method, classifier) in enumerate(pairs):
        mine = [r for r in records if (r["method"], r["classifier"]) == (method, classifier)]
        cell, target = f"pics/{method}/{classifier}", {"first": "other", "other": "first"}[classifier]
        images = [r["image"] for r in mine]
        assert sorted(images) == list("012345")

        misleading = tables["misleading"].loc[row]
        assert misleading["misled"] == np.mean([r["original_class"] != r["adversarial_class"] for r in mine])
        assert misleading["misled"] == np.mean([(tmp_path / "run/images" / cell / f"{i}.png").exists() for i in images])
        assert misleading["iterations"] == np.median([r["iterations"] for r in mine])
        assert misleading["forward_passes"] == np.mean([r["forward_passes"] for r in mine])

        transfer = tables["transferability"].loc[row]
        before = [answer[None, i, target]["predicted"] for i in images]
        after = [answer[cell, i, target]["predicted"] for i in images]
        enhanced = [answer[f"pics/enhance/{classifier}", i, target]["predicted"] for i in images]
        assert (transfer["target"], transfer["images"]) == (target, 6)
        assert transfer["changed"] == np.mean(np.not_equal(before, after))
        assert transfer["null"] == np.mean(np.not_equal(before, enhanced))
        assert transfer["source"] == np.mean(np.not_equal([r["original_class"] for r in mine], after))
        truth = {"0": 1, "1": 2, "3": 0}
        known = [k for k, image in enumerate(images) if image in truth]
        assert transfer["truth"] == np.mean([after[k] != truth[images[k]] for k in known])
        assert transfer["truth_clean"] == np.mean([before[k] != truth[images[k]] for k in known])
        transferred += transfer["changed"]

        detection = tables["detectability"][
            (tables["detectability"]["method"] == method) & (tables["detectability"]["classifier"] == classifier)
        ]
        assert detection["squeezer"].tolist() == ["bits4", "median2", "joint", "mean"]
        mean, detection = detection.iloc[-1], detection.iloc[:-1]
        assert mean["detected"] == pytest.approx(detection["detected"].iloc[:-1].mean())
        clean, scores = (
            np.array([[*(s := answer[which, i, classifier]["scores"]).values(), max(s.values())] for i in images])
            for which in (None, cell)
        )
        threshold = np.sort(clean, axis=0)[math.ceil(6 * 0.8) - 1]
        misled = np.array([r["success"] for r in mine])
        assert detection["threshold"].to_numpy() == pytest.approx(threshold)
        assert detection["detected"].to_numpy() == pytest.approx((scores > threshold).mean(0))
        if misled.any():
            assert detection["detected_misled"].to_numpy() == pytest.approx((scores > threshold)[misled].mean(0))
        assert (detection["misled_images"] == misled.sum()).all()

        quality, distances = tables["quality"].loc[row], [q for q in qualities if q["cell"] == cell]
        assert quality["psnr"] == pytest.approx(np.mean([r["psnr"] for r in mine]))
        for name in ("ciede2000", "linf", "changed_pixels"):
            assert quality[name] == pytest.approx(np.mean([q[name] for q in distances]))
    assert transferred > 0, "the test needs images that transfer"


def test_the_same_command_again_changes_nothing(tmp_path, settings, carry_out):
    first = carry_out(settings)
    before = snapshot(tmp_path / "run")
    again = carry_out(settings)
    assert again[:2] == first[:2] == (0, first[1])
    assert "4 cells, 24 images, 0 of them to attack\n" in again[2]
    after = snapshot(tmp_path / "run")
    sessions = str(tmp_path / "run/sessions.jsonl")
    assert after.pop(sessions).startswith(before.pop(sessions))
    page = str(tmp_path / "run/report/index.html")
    once, twice = before.pop(page).decode(), after.pop(page).decode()
    assert once.replace("in 1 session,", "in 2 sessions,") == twice
    assert after == before


def test_a_plan_that_grows_is_carried_on(tmp_path, settings, carry_out):
    """First one classifier and one method, then a method more, then a classifier more."""
    one = settings | {"classifiers": settings["classifiers"][:1], "methods": settings["methods"][:1]}
    assert carry_out(one)[0] == 0
    assert count_lines(tmp_path / "run") == {"records": 6, "predictions": 6 + 6}
    before = {name: (tmp_path / f"run/{name}.jsonl").read_bytes() for name in ("records", "predictions", "quality")}
    code, _, stderr = carry_out(settings | {"classifiers": settings["classifiers"][:1]})
    assert code == 0
    assert "2 cells, 12 images, 6 of them to attack" in stderr
    assert count_lines(tmp_path / "run") == {"records": 12, "predictions": 12 + 6}
    code, _, stderr = carry_out(settings)
    assert code == 0
    assert "4 cells, 24 images, 12 of them to attack" in stderr
    assert count_lines(tmp_path / "run") == {"records": 24, "predictions": 48 + 12}
    for name, data in before.items():
        assert (tmp_path / f"run/{name}.jsonl").read_bytes().startswith(data)
    assert read_plan(tmp_path / "run/plan.toml") == read_plan(tmp_path / "plan.toml")
    assert carry_out(settings, run="at once")[0] == 0
    same_tables(tmp_path / "run/tables", tmp_path / "at once/tables")


def test_another_constant_stands_beside_the_first(tmp_path, settings, carry_out):
    assert carry_out(settings)[0] == 0
    before = read_tables(tmp_path / "run/tables")["misleading"]
    changed = copy.deepcopy(settings)
    changed["methods"][1]["constants"]["max_iterations"] = 1
    code, _, stderr = carry_out(changed)
    assert code == 0
    assert "4 cells, 24 images, 12 of them to attack" in stderr
    after = read_tables(tmp_path / "run/tables")["misleading"]
    pd.testing.assert_frame_equal(after[: len(before)], before)
    assert (after["images"] == 6).all()
    assert len(after) == len(after[["method", "classifier"]].drop_duplicates()) == 6
    assert after["method"].str.startswith("deepfool-").sum() == 2


def test_measures_are_computed_again_without_attacks(tmp_path, settings, carry_out, monkeypatch):
    assert carry_out(settings)[0] == 0
    before = snapshot(tmp_path / "run")
    shutil.copytree(tmp_path / "run/tables", tmp_path / "before")
    for name in ("predictions.jsonl", "quality.jsonl", *(f"tables/{name}.csv" for name in TABLES)):
        (tmp_path / "run" / name).unlink()

    def fail(*_):
        raise AssertionError("nothing is to be attacked")

    for method in METHODS.values():
        for name in ("begin", "step", "stream"):
            monkeypatch.setattr(method, name, fail)
    code, _, stderr = carry_out(settings)
    assert code == 0
    assert "0 of them to attack" in stderr
    assert "24/24, 4/4 cells, " in stderr
    assert ", 30 measured" in stderr
    same_tables(tmp_path / "run/tables", tmp_path / "before")
    records = str(tmp_path / "run/records.jsonl")
    assert snapshot(tmp_path / "run")[records] == before[records]


def test_an_image_that_cannot_be_attacked_is_an_error(tmp_path, settings, carry_out):
    photo = tmp_path / "album/3.png"
    good = photo.read_bytes()
    photo.write_text("no photo")
    code, stdout, stderr = carry_out(settings)
    assert code == 1
    assert stderr.count(f"{photo}: not an image") == 4
    assert "4 errors; see the records, and --retry" in stdout
    misleading = read_tables(tmp_path / "run/tables")["misleading"]
    assert misleading["images"].tolist() == [5] * 4
    assert misleading["errors"].tolist() == [1] * 4
    photo.write_bytes(good)
    assert carry_out(settings)[0] == 1
    assert count_lines(tmp_path / "run")["records"] == 24
    assert carry_out(settings, "--retry")[0] == 0
    assert count_lines(tmp_path / "run")["records"] == 28
    assert carry_out(settings, run="undisturbed")[0] == 0
    same_tables(tmp_path / "run/tables", tmp_path / "undisturbed/tables")


def test_lpips_in_the_tables(tmp_path, settings, carry_out):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "squeezenet.safetensors")
    settings |= {"methods": settings["methods"][:1], "classifiers": settings["classifiers"][:1]}
    assert carry_out(settings)[0] == 0
    assert read_tables(tmp_path / "run/tables")["quality"]["lpips"].isna().all()
    code, stdout, _ = carry_out(settings | {"lpips": {"backbone": "squeeze", "weights": "squeezenet.safetensors"}})
    assert code == 0
    (lpips,) = read_tables(tmp_path / "run/tables")["quality"]["lpips"]
    assert lpips > 0
    assert f" {lpips:.3f} " in stdout
    assert count_lines(tmp_path / "run")["records"] == 6


# Interruptions and other processes


def test_interrupted_run_goes_on(tmp_path, settings, carry_out, monkeypatch):
    settings["methods"][1] = {"name": "nfgsm"}
    assert carry_out(settings, run="undisturbed")[0] == 0
    calls, step = [], NFGSM.step

    def interrupt(self, classifier, active):
        if len(active) == 2:  # not the estimate's
            calls.append(active)
        if len(calls) == 15:  # in the second batch; the first took 10
            raise KeyboardInterrupt
        step(self, classifier, active)

    with monkeypatch.context() as patch:
        patch.setattr(NFGSM, "step", interrupt)
        code, stdout, stderr = carry_out(settings, "--batch-size", 2)
    assert (code, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "stopped; what is done is kept, repeat the command to go on"
    assert "Traceback" not in stderr
    assert len(calls) == 15, "it went on after the interruption"
    kept = (tmp_path / "run/records.jsonl").read_bytes()
    assert len(kept.splitlines()) == 6 + 2
    code, _, stderr = carry_out(settings)
    assert code == 0
    assert "4 cells, 24 images, 16 of them to attack" in stderr
    assert (tmp_path / "run/records.jsonl").read_bytes().startswith(kept)
    same_tables(tmp_path / "run/tables", tmp_path / "undisturbed/tables")


def heed_interrupts() -> None:
    """Undo what a shell does to the jobs that it puts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_second_process_is_refused_and_the_first_stops_at_once(tmp_path, settings, carry_out):
    """The second method would take for ever, so that it is interrupted within its first batch."""
    endless = copy.deepcopy(settings) | {"classifiers": settings["classifiers"][:1]}
    endless["methods"][1] = {"name": "nfgsm", "constants": {"max_iterations": 10**9}}
    (tmp_path / "endless.toml").write_text(tomli_w.dumps(endless))
    command = [sys.executable, "-m", "edgefool", "run", str(tmp_path / "endless.toml"), "--out", str(tmp_path / "run")]
    quality = tmp_path / "run/quality.jsonl"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as process:
        try:
            while process.poll() is None and not (quality.exists() and quality.read_bytes().count(b"\n") == 6):
                time.sleep(0.05)
            code, stdout, stderr = carry_out(settings)
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (code, stdout) == (1, "")
    assert f"another process is working in {tmp_path / 'run'} (process {process.pid} on " in stderr
    assert one_plain_line(stderr)
    assert process.returncode == 130
    assert told[0] == ""
    assert told[1].splitlines()[-1] == "stopped; what is done is kept, repeat the command to go on"
    assert "Traceback" not in told[1]
    assert len(load_records(tmp_path / "run")) == 6
    code, _, stderr = carry_out(settings)
    assert code == 0
    assert "4 cells, 24 images, 18 of them to attack" in stderr


def test_the_first_process_is_named(tmp_path, settings, carry_out):
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings))
    experiment = Experiment(read_plan(tmp_path / "plan.toml"))
    with open_run(tmp_path / "run", experiment.plan.to_toml(), experiment.cells):
        before = snapshot(tmp_path / "run")
        code, stdout, stderr = carry_out(settings)
        assert snapshot(tmp_path / "run") == before
    assert (code, stdout) == (1, "")
    assert f"(process {os.getpid()} on " in stderr
    assert one_plain_line(stderr)
    assert carry_out(settings)[0] == 0


def test_full_disk_is_one_line(tmp_path, settings, carry_out, monkeypatch):
    def fail(path, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("edgefool.cli.write_atomically", fail)  # the tables
        code, _, stderr = carry_out(settings)
    assert code == 1
    error = stderr.splitlines(keepends=True)[-1]
    assert "No space left on device" in error
    assert one_plain_line(error)
    with monkeypatch.context() as patch:
        patch.setattr("edgefool.runs.run_folder.write_atomically", fail)  # images
        code, _, stderr = carry_out(settings, run="full")
    assert code == 1
    assert "No space left on device; what is done is kept, mend this and repeat the command" in stderr
    assert one_plain_line(stderr.splitlines(keepends=True)[-1])
    assert carry_out(settings)[0] == carry_out(settings, run="full")[0] == 0
    same_tables(tmp_path / "run/tables", tmp_path / "full/tables")


# Wrong usage


def entry(what, **changes):
    """Return what changes the first entry of a plan's list."""
    return lambda settings: settings | {what: [settings[what][0] | changes, *settings[what][1:]]}


def more(what, *entries):
    return lambda settings: settings | {what: [*settings[what], *entries]}


def labelled(file):
    return entry("datasets", labels=file, num_classes=5)


WRONG = {
    "nothing to run": (lambda s: {}, "Field required"),
    "no such entry": (lambda s: s | {"sise": 32}, "sise = 32: Extra inputs are not permitted"),
    "no dataset": (lambda s: s | {"datasets": []}, "datasets"),
    "no such kind of dataset": (entry("datasets", kind="imagnet"), "imagnet"),
    "one dataset twice": (more("datasets", {"kind": "folder", "name": "PICS", "path": "album"}), "'pics' stands twice"),
    "name that leads elsewhere": (entry("datasets", name="../x"), "datasets.0.folder.name = '../x'"),
    "no such photos": (entry("datasets", path="albun"), "albun'; did you mean"),
    "no photos in a folder": (entry("datasets", path="empty"), "no image files in the folder"),
    "no path": (lambda s: s | {"datasets": [{"kind": "folder"}]}, "path: Field required"),
    "a variable that is not set": (entry("datasets", path="$EDGEFOOL_NONE/x"), "$EDGEFOOL_NONE is not set in the"),
    "no such labels": (labelled("gone.csv"), "gone.csv': No such file"),
    "labels of files outside": (labelled("outside.csv"), "line 2: '../secret.png' is no file of that folder"),
    "labels of absolute files": (labelled("absolute.csv"), "line 2: '/etc/secret.png' is no file of that folder"),
    "labels of files that are not there": (labelled("missing.csv"), "1 of 2 images is missing"),
    "labels out of range": (labelled("large.csv"), "label '5' of '0.png' is no whole number from 0 to 4"),
    "one file labelled twice": (labelled("twice.csv"), "'0.png' is named twice"),
    "labels without a number of classes": (entry("datasets", labels="large.csv"), "labels need num_classes"),
    "no such classifier": (entry("classifiers", name="resnet5"), "unknown classifier 'resnet5'; did you mean"),
    "no such factory": (entry("classifiers", name="classifier.py:facto"), "did you mean factory"),
    "factory that fails": (entry("classifiers", name="classifier.py:failing"), "OSError: no?[31m net"),
    "no such file of a factory": (entry("classifiers", name="none.py:net"), "none.py"),
    "no such weights": (entry("classifiers", name="resnet18", weights="gone.pth"), "gone.pth"),
    "no such class names": (entry("classifiers", classes="gone.txt"), "cannot read the class names of"),
    "too few class names": (entry("classifiers", classes="names.txt"), "names 2 classes; the classifier has 5"),
    "no such dataset": (entry("classifiers", datasets=["pic"]), "'pic'; did you mean pics?"),
    "no classifier for a dataset": (
        lambda s: s | {"classifiers": [c | {"datasets": []} for c in s["classifiers"]]},
        "no classifier of the plan is for the dataset pics",
    ),
    "one classifier twice": (
        more("classifiers", {"name": "classifier.py:other", "label": "again"}),
        "the classifiers other and again are the same",
    ),
    "one label of classifiers twice": (entry("classifiers", label="other"), "two classifiers are called other"),
    "label of no letters": (entry("classifiers", label="[/]"), "a label needs a letter or a digit"),
    "label that controls": (entry("methods", label="\x1b[31mred"), "nothing that cannot be printed"),
    "no such method": (entry("methods", name="enhanse"), "unknown method 'enhanse'; did you mean enhance?"),
    "no such field": (entry("methods", constants={"v4": 1}), "unknown field of enhance 'v4'; did you mean"),
    "field out of range": (entry("methods", constants={"v1": 101}), "v1=101: input should be less than or equal to"),
    "one label twice": (
        more("methods", {"name": "enhance", "constants": {"v1": 1.0}}),
        "method 'enhance' stands twice",
    ),
    "one method twice": (
        more("methods", {"name": "enhance", "label": "again"}),
        "the methods enhance and again are the same",
    ),
    "no limit": (entry("methods", limit=0), "methods.0.limit = 0"),
    "no such squeezer": (lambda s: s | {"squeezers": ["bits9"]}, "unknown squeezer 'bits9'; did you mean bits"),
    "one squeezer twice": (lambda s: s | {"squeezers": ["bits1", "bits1"]}, "squeezer 'bits1' stands twice"),
    "all are false positives": (lambda s: s | {"false_positive_rate": 1.0}, "false_positive_rate = 1.0"),
    "size too small": (lambda s: s | {"size": 15}, "size"),
    "no such size": (lambda s: s | {"size": "large"}, "size"),
    "no such network for LPIPS": (lambda s: s | {"lpips": {"backbone": "resnet"}}, "lpips.backbone = 'resnet'"),
    "no weights for LPIPS": (lambda s: s | {"lpips": {"backbone": "vgg"}}, "needs a file with its weights"),
    "no such weights for LPIPS": (lambda s: s | {"lpips": {"weights": "gone.pth"}}, "gone.pth"),
    "no ImageNet": (lambda s: s | {"datasets": [{"kind": "imagenet", "path": "album"}]}, "none of the 3,000 images"),
    "no folder of Places365": (
        lambda s: s | {"datasets": [{"kind": "private-places365", "path": "gone"}]},
        "cannot open",
    ),
    "no such demo photo": (lambda s: s | {"datasets": [{"kind": "demo", "names": ["dog"]}]}, "'dog'"),
    "markup and control": (lambda s: s | {"[red]\x1b[31m\n\u202e": 1}, "[red]\\x1b[31m\\n\\u202e = 1"),
}
LABELS = {
    "outside": "../secret.png,1",
    "absolute": "/etc/secret.png,1",
    "missing": "0.png,1\nnone.png,1",
    "large": "0.png,5",
    "twice": "0.png,1\n0.png,2",
}


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["run", "dry run"])
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_plan_is_one_line(tmp_path, settings, carry_out, case, options):
    (tmp_path / "empty").mkdir()
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for name, text in LABELS.items():
        (tmp_path / f"{name}.csv").write_text(f"file,label\n{text}\n")
    change, message = WRONG[case]
    code, stdout, stderr = carry_out(change(settings), *options)
    assert code == 2
    assert stdout == ""
    assert message in stderr
    assert one_plain_line(stderr)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "No such file or directory"),
        (b"no = = plan", "(at line 1"),
        (b"\xff\xfe", "can't decode"),
        (b"", "Field required"),
    ],
)
def test_a_plan_that_cannot_be_read_is_one_line(tmp_path, edgefool, data, reason):
    if data is not None:
        (tmp_path / "p\x1b[31m.toml").write_bytes(data)
    code, stdout, stderr = edgefool("run", tmp_path / "p\x1b[31m.toml", "--out", tmp_path / "run")
    assert (code, stdout) == (2, "")
    assert f"{tmp_path}/p?[31m.toml" in stderr
    assert reason in stderr
    assert one_plain_line(stderr)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-size", "0"], "'--batch-size'"),
        (["--device", "tpu9"], "--device tpu9: not at hand here"),
        (["--out", __file__], "is a file; --out needs a folder"),
        (["--out", str(PLANS)], "is not a run and not empty; name a new folder"),
        (["--out", "album"], "lies where photos are searched; name a folder outside"),
        (["--out", "album/run"], "lies where photos are searched; name a folder outside"),
        (["--colour"], "No such option: --colour"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, settings, carry_out, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path / "album")
    code, stdout, stderr = carry_out(settings, *options)
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert one_plain_line(stderr)
    assert not (tmp_path / "run").exists()
    assert snapshot(tmp_path / "album") == before


def test_photos_inside_the_run_are_refused(tmp_path, settings, carry_out, make_photo):
    make_photo(tmp_path / "run/photo.png")
    code, _, stderr = carry_out(entry("datasets", path="run/photo.png")(settings))
    assert code == 2
    assert "lies where photos are searched" in stderr
    assert one_plain_line(stderr)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["photo.png"]


@pytest.mark.parametrize(("change", "told"), [({"size": 40}, "size: 32 there, 40 now"), ({"seed": 7}, "seed: 0 there")])
def test_a_run_of_another_size_or_seed_is_refused(tmp_path, settings, carry_out, change, told):
    assert carry_out(settings)[0] == 0
    before = snapshot(tmp_path / "run")
    code, stdout, stderr = carry_out(settings | change)
    assert (code, stdout) == (2, "")
    assert "was made with other settings" in stderr
    assert told in stderr
    assert one_plain_line(stderr)
    assert snapshot(tmp_path / "run") == before


def test_a_photo_that_changed_is_refused(tmp_path, settings, carry_out, make_photo):
    assert carry_out(settings)[0] == 0
    before = count_lines(tmp_path / "run")
    make_photo(tmp_path / "album/2.png", 99)
    code, _, stderr = carry_out(settings)
    assert code == 2
    assert "2.png has changed since this run attacked it; name a new folder" in stderr
    assert one_plain_line(stderr)
    assert count_lines(tmp_path / "run") == before


def test_labels_of_other_classes_are_told(tmp_path, settings, carry_out):
    """The ground truth of five classes says nothing of three; all else is computed."""
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{k}.png,{k}\n" for k in range(5)))
    labels = labelled("labels.csv")(settings)
    labels["classifiers"] = [labels["classifiers"][0], {"name": "classifier.py:three", "label": "three"}]
    code, _, stderr = carry_out(labels)
    assert code == 0
    assert stderr.startswith("note: pics has labels of 5 classes, three has 3: not compared with the ground truth\n")
    tables = read_tables(tmp_path / "run/tables")
    transfer = tables["transferability"].set_index(["method", "target"])
    assert transfer.loc[(["enhance", "deepfool"], "three"), ["truth", "truth_clean"]].isna().all(axis=None)
    assert transfer.loc[(["enhance", "deepfool"], "first"), ["truth", "truth_clean"]].notna().all(axis=None)
    assert transfer["changed"].notna().all()
    assert (transfer["images"] == 6).all()
    assert tables["misleading"]["misled"].notna().all()
    assert tables["detectability"]["detected"].notna().all()


@pytest.mark.parametrize("size", [40, 48])
def test_a_classifier_that_fails_is_told(tmp_path, settings, carry_out, size):
    """At 40 pixels ``choosy`` takes no image, at 48 it knows nothing; the other classifier goes on."""
    settings |= {"classifiers": [settings["classifiers"][0], {"name": "classifier.py:choosy"}], "size": size}
    code, stdout, stderr = carry_out(settings)
    assert code == 1
    assert "Traceback" not in stderr
    assert "12 errors" in stdout
    (told,) = [line for line in stderr.splitlines() if line.startswith("not measured: ")]
    assert told.startswith("not measured: classifier-choosy")
    assert f"{size} x {size} pixels" in told
    tables = read_tables(tmp_path / "run/tables")
    assert tables["misleading"]["images"].tolist() == [6, 6, 0, 0]
    assert tables["misleading"]["errors"].tolist() == [0, 0, 6, 6]
    assert set(tables["detectability"]["classifier"]) == {"first"}
    assert (tables["detectability"]["images"] == 6).all()
    assert tables["transferability"]["images"].tolist() == [0] * 4
    assert carry_out(settings)[0] == 1, "its files can be read again"


# Damage by hand


def truncate(path):
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:50] + b"\n" + b"".join(rest))


@pytest.mark.parametrize(
    ("name", "harm", "told"),
    [
        ("images/pics/deepfool/first/0.png", Path.unlink, "0 of pics/deepfool/first: images/pics/deepfool/first/0.png"),
        ("originals/pics/3.png", lambda path: path.write_bytes(path.read_bytes() + b"x"), "3.png was altered"),
        ("records.jsonl", truncate, "line 1 of records.jsonl was damaged"),
        ("predictions.jsonl", truncate, "line 1 of predictions.jsonl was damaged"),
        ("cells.jsonl", Path.unlink, "its cell is unknown\n... and 19 more"),
    ],
)
def test_a_run_damaged_by_hand_is_mended(tmp_path, settings, carry_out, name, harm, told):
    assert carry_out(settings)[0] == 0
    shutil.copytree(tmp_path / "run", tmp_path / "before")
    harm(tmp_path / "run" / name)
    code, _, stderr = carry_out(settings)
    assert code == 0
    assert stderr.startswith("damaged, so done again: ")
    assert told in stderr
    same_tables(tmp_path / "run/tables", tmp_path / "before/tables")
    ours, theirs = (
        {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*.png")}
        for top in (tmp_path / "run", tmp_path / "before")
    )
    assert ours == theirs
    assert "damaged" not in carry_out(settings)[2]


# Plans that are checked only, or have less to work on


def test_a_dry_run_checks_estimates_and_writes_nothing(tmp_path, settings, carry_out, monkeypatch):
    settings["methods"][1]["limit"] = 2
    settings["false_positive_rate"] = 0.05
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings))
    before = snapshot(tmp_path)
    code, stdout, stderr = carry_out(settings, "--dry-run")
    assert (code, stdout) == (0, "")
    note, estimate = stderr.splitlines()
    assert note.startswith("note: pics has 6 photos, too few for 5% false positives")
    assert estimate.startswith("4 cells, 16 images, 16 of them to attack: roughly 0:00:")
    assert snapshot(tmp_path) == before
    # It does not promise the same for an attack that is slower.
    monkeypatch.setattr(Experiment, "seconds_per_image", lambda _, works: [w.attack.typical_steps * 100 for w in works])
    steps = 2 * (6 * METHODS["enhance"].typical_steps + 2 * METHODS["deepfool"].typical_steps)
    minutes, seconds = divmod(steps * 100, 60)
    assert f"roughly {minutes // 60}:{minutes % 60:02}:{seconds:02}, " in carry_out(settings, "--dry-run")[2]


def test_a_dry_run_leaves_a_run_alone(tmp_path, settings, carry_out):
    assert carry_out(settings)[0] == 0
    before = snapshot(tmp_path)
    code, _, stderr = carry_out(settings, "--dry-run")
    assert code == 0
    assert "4 cells, 24 images, 0 of them to attack\n" in stderr
    assert snapshot(tmp_path) == before
    settings["methods"].append({"name": "nfgsm", "limit": 2})
    assert "6 cells, 28 images, 4 of them to attack: roughly" in carry_out(settings, "--dry-run")[2]
    code, _, stderr = carry_out(settings | {"size": 48}, "--dry-run")
    assert code == 2
    assert "size: 32 there, 48 now" in stderr


def test_an_error_of_a_photo_that_is_gone_is_no_longer_one(tmp_path, settings, carry_out):
    (tmp_path / "album/bad.png").touch()
    assert carry_out(settings)[0] == 1
    (tmp_path / "album/bad.png").unlink()
    assert carry_out(settings)[0] == 0


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("imagenet", [f"val/{stem}.JPEG" for stem in paper_subset()[:3]]),
        ("private-places365", [f"val_256/Places365_val_{number:08}.jpg" for number in (13, 15, 16)]),
    ],
)
def test_images_of_a_list_may_be_missing_if_said(tmp_path, settings, carry_out, make_photo, kind, names):
    for name in [*names, "val/stranger.jpg"]:
        make_photo(tmp_path / "known" / name)
    settings |= {"datasets": [{"kind": kind, "path": "known"}], "classifiers": settings["classifiers"][:1]}
    code, stdout, stderr = carry_out(settings)
    assert (code, stdout) == (2, "")
    assert f"{kind}: 2,997 of 3,000 images are missing in" in stderr
    assert "--allow-missing goes on with the 3 that are there" in stderr
    assert one_plain_line(stderr)
    assert not (tmp_path / "run").exists()
    code, _, stderr = carry_out(settings, "--allow-missing")
    assert code == 0
    assert f"note: {kind} has labels of " in stderr
    frame = load_records(tmp_path / "run")
    assert sorted(set(frame["image"])) == sorted(Path(name).stem for name in names)
    assert frame["label"].notna().all()
    assert len(frame) == 6
    for path in (tmp_path / "known").rglob("*.*"):
        path.unlink()
    code, _, stderr = carry_out(settings, "--allow-missing", run="empty")
    assert code == 2
    assert f"{kind}: none of the 3,000 images is in" in stderr
    assert one_plain_line(stderr)


# Plans of the repository


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Refuse the network, and start with an empty cache."""

    def fail(*_, **__):
        raise AssertionError("nothing is to be downloaded")

    monkeypatch.setattr("edgefool.classifiers.downloads.urlopen", fail)
    monkeypatch.setenv("EDGEFOOL_CACHE", str(tmp_path / "cache"))


QUICK = {
    "enhance": {},
    "edgefool": {"max_iterations": 2, "tau": 1.0},
    "pfgsm": {"max_iterations": 2},
    "deepfool": {"max_iterations": 1, "candidates": 2},
    "sparsefool": {"max_iterations": 1},
    "cw": {"max_iterations": 1, "binary_search_steps": 1},
    "semanticadv": {"trials": 2},
    "nfgsm": {"max_iterations": 2},
}


def test_the_demo_plan_runs_offline(tmp_path, carry_out, offline):
    plan = read_plan(PLANS / "demo.toml")
    assert [(method.name, method.label) for method in plan.methods] == [(m.name, m.name) for m in plan.methods]
    assert {method.name for method in plan.methods} == set(METHODS)
    assert [classifier.name for classifier in plan.classifiers] == ["caltech101-resnet", "caltech101-alexnet"]
    assert [photo.name for photo in plan.datasets[0].find()] == list(DEMO_PHOTOS)
    settings = tomllib.loads((PLANS / "demo.toml").read_text())
    settings["datasets"][0]["names"] = ["cat", "coffee"]
    settings["size"] = 32
    for method in settings["methods"]:
        method["constants"] = QUICK[method["name"]]
    code, stdout, _ = carry_out(settings)
    assert code == 0
    tables = read_tables(tmp_path / "run/tables")
    assert [len(tables[name]) for name in TABLES] == [16, 16, 16 * 8, 16]
    for name in TABLES:
        assert set(tables[name]["method"]) == set(METHODS)
        assert (tables[name]["images"] == 2).all()
    assert all(method in stdout for method in METHODS)


def test_the_papers_plan_is_valid(tmp_path, monkeypatch, edgefool, offline):
    monkeypatch.setenv("IMAGENET", str(tmp_path / "imagenet"))
    monkeypatch.setenv("PLACES365", str(tmp_path / "places"))
    plan = read_plan(PLANS / "paper.toml")
    assert [dataset.paths for dataset in plan.datasets] == [(tmp_path / "imagenet",), (tmp_path / "places",)]
    assert {method.name for method in plan.methods} == set(METHODS)
    assert not any(method.constants or method.limit for method in plan.methods)
    assert [classifier.datasets for classifier in plan.classifiers] == [("imagenet",)] * 3 + [
        ("private-places365",)
    ] * 3
    assert (plan.size, plan.false_positive_rate, len(plan.squeezers)) == (224, 0.05, 6)
    # Photos are looked for before anything is downloaded.
    (tmp_path / "imagenet").mkdir()
    code, _, stderr = edgefool("run", PLANS / "paper.toml", "--out", tmp_path / "run")
    assert code == 2
    assert "none of the 3,000 images is in" in stderr
    assert one_plain_line(stderr)
    monkeypatch.delenv("IMAGENET")
    with pytest.raises(UsageError, match=r"\$IMAGENET is not set in the environment"):
        read_plan(PLANS / "paper.toml")


def test_the_small_imagenet_plan_is_valid():
    plan = read_plan(PLANS / "imagenet_mini.toml")
    shared = PLANS.parent.parent / "shared"
    assert [(d.kind, d.paths, d.limit) for d in plan.datasets] == [("imagenet", (shared / "images/imagenet_val",), 100)]
    assert {classifier.weights.parent for classifier in plan.classifiers} == {shared / "classifiers"}
    assert plan.lpips.weights == shared / "classifiers/squeezenet1_1.safetensors"
    assert {method.name for method in plan.methods} == set(METHODS)


def test_plans_of_the_repository_are_these():
    assert {path.name for path in PLANS.glob("*.toml")} == {"demo.toml", "paper.toml", "imagenet_mini.toml"}


def test_datasets_are_listed_without_torch():
    code = """
import sys
from edgefool.cli import main
try:
    main(["list", "datasets"])
except SystemExit as end:
    print("CODE", end.code, *({"torch", "numpy", "pandas", "PIL"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "CODE 0"
    kinds = [line.partition(":")[0] for line in lines if line[:1].strip() and ":" in line]
    assert kinds == ["imagenet", "private-places365", "folder", "demo"]
    assert "image-net.org" in done.stdout
    assert done.stderr == ""


# Other tools' images


@pytest.fixture
def made(tmp_path, settings, carry_out):
    """Return the folders of a run's originals and of its adversarial images, which mislead all; and its plan."""
    (tmp_path / "labels.csv").write_text("file,label\n0.png,1\n1.png,2\n3.png,0\n")
    settings["datasets"][0] |= {"labels": "labels.csv", "num_classes": 5}
    settings["methods"] = [{"name": "enhance"}, STRONG]
    del settings["squeezers"], settings["false_positive_rate"]  # the paper's
    assert carry_out(settings)[0] == 0
    adversarial = tmp_path / "run/images/pics/nfgsm/first"
    assert len(list(adversarial.iterdir())) == 6, "the test needs images that all mislead"
    return tmp_path / "run/originals/pics", adversarial


@pytest.fixture
def evaluate(tmp_path, edgefool):
    """Return what evaluates images by the tiny classifiers, and writes tables."""

    def evaluate(clean, adversarial, *options, names=("factory", "other")):
        classifiers = [part for name in names for part in ("--classifier", f"{tmp_path / 'classifier.py'}:{name}")]
        return edgefool("evaluate", clean, adversarial, *classifiers, "--out", tmp_path / "tables", *options)

    return evaluate


def test_evaluate_equals_the_run_that_made_the_images(tmp_path, made, evaluate):
    labels = ["--labels", tmp_path / "labels.csv", "--num-classes", 5]
    code, stdout, stderr = evaluate(*made, *labels)
    assert code == 0
    assert "note" not in stderr
    assert str(tmp_path / "tables") in stdout
    ours, theirs = read_tables(tmp_path / "tables"), read_tables(tmp_path / "run/tables")
    unknown = {
        "misleading": ["misled_float", "converged", "lost_gradient", "iterations", "forward_passes", "backward_passes"],
        "transferability": ["null", "gain", "target"],
    }
    for name in TABLES:
        mine = ours[name][ours[name]["classifier"] == "classifier-factory"]
        made_by = theirs[name][(theirs[name]["classifier"] == "first") & (theirs[name]["method"] == "nfgsm")]
        dropped = ["dataset", "method", "classifier", *unknown.get(name, [])]
        dropped += [f"{column}_{end}" for column in unknown.get(name, []) for end in ("low", "high")]
        pd.testing.assert_frame_equal(
            *(t.drop(columns=dropped, errors="ignore").reset_index(drop=True) for t in (mine, made_by)), rtol=1e-4
        )
        assert len(mine)
        assert set(ours[name]["method"]) == {"first"}, "the folder's name"
    assert (ours["misleading"].set_index("classifier").loc["classifier-factory"]["misled"]) == 1
    assert ours["transferability"]["truth"].notna().all()
    assert ours["transferability"]["null"].isna().all()
    assert ours["misleading"][["iterations", "forward_passes", "backward_passes"]].isna().all(axis=None)


def test_evaluate_resizes_originals(tmp_path, made, evaluate):
    """The run's photos at its size are its originals."""
    assert evaluate(*made)[0] == 0
    shutil.move(tmp_path / "tables", tmp_path / "before")
    assert evaluate(tmp_path / "album", made[1], "--size", 32)[0] == 0
    same_tables(tmp_path / "tables", tmp_path / "before")
    code, _, stderr = evaluate(tmp_path / "album", made[1])
    assert code == 1
    assert stderr.count("the original has 36x32 pixels, the adversarial image 32x32; give --size") == 12


def test_evaluate_with_one_classifier(tmp_path, made, evaluate):
    code, stdout, _ = evaluate(*made, names=["factory"])
    assert code == 0
    tables = read_tables(tmp_path / "tables")
    assert [len(tables[name]) for name in TABLES] == [1, 0, 8, 1]
    assert "100.0%" in stdout


def test_evaluate_without_out_writes_nothing(tmp_path, made, edgefool, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    before = snapshot(tmp_path)
    code, stdout, _ = edgefool("evaluate", *made, "--classifier", f"{tmp_path / 'classifier.py'}:factory")
    assert code == 0
    assert "100.0%" in stdout
    assert snapshot(tmp_path) == before
    assert not list((tmp_path / "temporary").iterdir())


def test_evaluate_tells_what_it_leaves_out(tmp_path, made, evaluate):
    clean, adversarial = made
    shutil.copytree(adversarial, tmp_path / "others")
    (tmp_path / "others/0.png").unlink()
    (tmp_path / "others/1.png").write_text("no image")
    code, _, stderr = evaluate(clean, tmp_path / "others", "--labels", tmp_path / "labels.csv", "--num-classes", 7)
    assert code == 1
    assert "note: 1 originals have no adversarial image\n" in stderr
    for name in ("factory", "other"):
        assert f"note: originals has labels of 7 classes, classifier-{name} has 5: not compared with the" in stderr
    assert stderr.count(f"{tmp_path / 'others/1.png'}: not an image") == 2
    tables = read_tables(tmp_path / "tables")
    assert tables["misleading"]["images"].tolist() == [4, 4]
    assert tables["misleading"]["errors"].tolist() == [1, 1]
    assert tables["transferability"]["truth"].isna().all()


def test_evaluate_goes_on_without_a_classifier_that_fails(tmp_path, evaluate, make_photo, settings):
    for seed in range(3):
        make_photo(tmp_path / "clean" / f"{seed}.png", seed, height=40)
        make_photo(tmp_path / "other" / f"{seed}.png", seed + 10, height=40)
    code, _, stderr = evaluate(tmp_path / "clean", tmp_path / "other", names=["factory", "choosy"])
    assert code == 1
    assert stderr.count("the classifier cannot take 36 x 40 pixels: no 40, please") == 3
    assert read_tables(tmp_path / "tables")["misleading"]["images"].tolist() == [3, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone", "others"], "gone is not a folder"),
        (["album", "gone"], "gone is not a folder"),
        (["album", "strange"], "1 of 1 images in strange have no original of the same name in album: stranger"),
        (["album", "twice"], "have the same name"),
        (["album", "empty"], "no image files in the folder"),
        (["album", "others", "--weights", "a.pth", "--weights", "b.pth"], "1 of --classifier and 2 of --weights"),
        (["album", "others", "--weights", "gone.pth"], "loads its own weights; leave out weights="),
        (["album", "others", "--labels", "gone.csv"], "--labels and --num-classes go together"),
        (["album", "others", "--num-classes", "5"], "--labels and --num-classes go together"),
        (["album", "others", "--labels", "gone.csv", "--num-classes", "5"], "cannot read 'gone.csv'"),
        (["album", "others", "--size", "7"], "--size 7: a number of pixels from 16 to"),
        (["album", "others", "--lpips", "gone.pth"], "gone.pth"),
        (["album", "others", "--classifier", "resnet5"], "unknown classifier 'resnet5'"),
        (["album", "others", "--classifier", "classifier.py:factory"], "are the same"),
        (["album"], "Missing argument"),
    ],
)
def test_wrong_usage_of_evaluate_is_one_line(tmp_path, settings, edgefool, make_photo, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    shutil.copytree("album", "others")
    for name in ("strange/stranger.png", "twice/0.png", "twice/0.bmp"):
        make_photo(Path(name))
    Path("empty").mkdir()
    options = ["--classifier", "classifier.py:factory", "--out", "tables"]
    code, stdout, stderr = edgefool("evaluate", *arguments, *options)
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert one_plain_line(stderr)
    assert not Path("tables").exists()


def test_evaluate_needs_a_classifier(tmp_path, made, edgefool):
    code, stdout, stderr = edgefool("evaluate", *made)
    assert (code, stdout) == (2, "")
    assert "Missing option '--classifier'" in stderr
    assert one_plain_line(stderr)


def test_evaluate_by_weights_of_a_file(tmp_path, made, edgefool):
    """A checkpoint for each classifier, in their order."""
    states = {}
    for seed, network in enumerate(("squeezenet1_0", "squeezenet1_1")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            states[network] = torchvision.models.get_model(network, weights=None, num_classes=5).state_dict()
        save_file(states[network], tmp_path / f"{network}.safetensors")
    networks, files = (
        [part for n in states for part in pair(n)]
        for pair in (
            lambda n: ("--classifier", f"torchvision:{n}"),
            lambda n: ("--weights", tmp_path / f"{n}.safetensors"),
        )
    )
    code, _, _ = edgefool("evaluate", *made, *networks, *files, "--out", tmp_path / "tables")
    assert code == 0
    assert read_tables(tmp_path / "tables")["misleading"]["classifier"].tolist() == list(states)
    code, _, stderr = edgefool("evaluate", *made, *networks, *files[:2])
    assert code == 2
    assert "2 of --classifier and 1 of --weights: give one for each, or none" in stderr
    code, _, stderr = edgefool("evaluate", *made, *networks, *files[2:], *files[:2])
    assert code == 2
    assert "does not fit" in stderr
    assert one_plain_line(stderr)


# Untrusted text

BAD_NAMES = [b"[red]x[bold]", b"line\nbreak\r", b"\x1b[31mred\x07\x9b", b"\xff\xfe no UTF-8", "\u202egpj.exe".encode()]


@pytest.fixture
def bad_names(tmp_path, settings):
    """Return a folder with photos of bad names, half of them broken."""
    folder = tmp_path / "[red]bad"
    folder.mkdir()
    for name in BAD_NAMES:
        try:
            shutil.copy(tmp_path / "album/0.png", os.path.join(os.fsencode(folder), name + b".png"))
            Path(os.fsdecode(os.path.join(os.fsencode(folder), b"bad" + name + b".png"))).touch()
        except OSError:
            pytest.skip("this file system takes only tame names")
    return folder


def all_plain(*texts: str) -> bool:
    return all(line.isprintable() for text in texts for line in text.splitlines())


@pytest.mark.parametrize("count", [1, 2])
def test_names_in_a_run_do_not_reach_the_terminal_as_they_are(tmp_path, settings, carry_out, bad_names, count):
    (tmp_path / "names.txt").write_text("\n".join(f"[bold]:cat:{k}\x1b[31m" for k in range(5)))
    settings["datasets"][0]["path"] = str(bad_names)
    settings["classifiers"] = [{"name": "classifier.py:factory", "label": "[/c]", "classes": "names.txt"}]
    settings["methods"] = [{"name": "nfgsm", "label": "[/m]"}, {"name": "enhance", "label": "[red]e"}][:count]
    code, stdout, stderr = carry_out(settings)
    assert code == 1
    assert all_plain(stdout, stderr)
    assert stderr.count("/[red]bad/bad[red]x[bold].png: the file is empty") == count
    assert len([line for line in stderr.splitlines() if "the file is empty" in line]) == len(BAD_NAMES) * count
    assert "[/m]" in stdout
    assert "[/c]" in stdout
    frame = load_records(tmp_path / "run")
    assert len(frame) == 2 * len(BAD_NAMES) * count
    files = [path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*")]
    assert all(str(path).isprintable() for path in files)
    assert carry_out(settings)[0] == 1
    assert len(load_records(tmp_path / "run")) == len(frame)


def test_names_in_evaluate_do_not_reach_the_terminal_as_they_are(tmp_path, bad_names, evaluate):
    odd = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"[bold]\x1b[31m\xff"))
    shutil.copytree(bad_names, odd)
    code, stdout, stderr = evaluate(bad_names, odd)
    assert code == 1
    assert all_plain(stdout, stderr)
    assert "[bold]?[31m\\xff" in stdout
    assert read_tables(tmp_path / "tables")["misleading"]["images"].tolist() == [len(BAD_NAMES)] * 2
    assert read_tables(tmp_path / "tables")["misleading"]["errors"].tolist() == [len(BAD_NAMES)] * 2
    code, _, stderr = evaluate(bad_names, tmp_path / "gone\x1b[31m\n")
    assert code == 2
    assert one_plain_line(stderr)
