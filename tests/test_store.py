"""The command line on S3: the same results as on a disk, whatever happens, and one line for whatever is wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import tomli_w

from edgefool.runs import RunFolder, load_records
from edgefool.storage import Stat, StorePath, object_store, parse_path, run_lock

NET = ("--size", 32, "--set", "start=identity", "--set", "max_iterations=3", "--set", "tau=0.01", "--batch-size", 1)


@pytest.fixture
def photos(tmp_path, make_photo, bucket):
    """Return the address of four photos that are in the folder ``album`` too."""
    for seed in range(4):
        path = make_photo(tmp_path / "album" / f"{seed}.png", seed)
        (bucket / "album" / path.name).write(path.read_bytes())
    return bucket / "album"


@pytest.fixture
def plan(tmp_path, tiny, photos):
    """Return the file of a plan for three labelled photos on S3."""
    rows = ["file,label", *(f"{k}.png,{k}" for k in range(4))]
    (photos.parent / "labels.csv").write("\n".join(rows).encode())
    settings = {
        "datasets": [
            {
                "kind": "folder",
                "name": "pics",
                "path": str(photos),
                "labels": str(photos.parent / "labels.csv"),
                "num_classes": 5,
                "limit": 3,
            }
        ],
        "classifiers": [{"name": f"{tiny}:factory", "label": "first"}, {"name": f"{tiny}:other", "label": "other"}],
        "methods": [{"name": "enhance"}, {"name": "deepfool", "constants": {"max_iterations": 3}}],
        "size": 32,
        "squeezers": ["bits4", "median2"],
        "false_positive_rate": 0.2,
    }
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings))
    return tmp_path / "plan.toml"


def same_records(run: StorePath, other: Path) -> None:
    ours, theirs = (
        load_records(path).drop(columns="seconds").sort_values(["cell", "image"], ignore_index=True)
        for path in (run, other)
    )
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4, atol=1e-5)


def same_files(run: StorePath, other: Path) -> None:
    """Compare all but logs, and what names places and times."""
    ours, theirs = (
        {
            name: (path / name).read()
            for name in path.find()
            if ".jsonl" not in name and name not in ("plan.toml", ".lock") and not name.startswith("damaged/")
        }
        for path in (run, parse_path(other))
    )
    assert ours == theirs


def versions(run: StorePath) -> dict[str, Stat]:
    """Return the PNGs with what changes when they are written again."""
    return {name: stat for name, stat in run.find().items() if name.endswith(".png")}


def one_line(stderr: str, message: str) -> None:
    told = " ".join(stderr.split())
    assert told.count("error: ") == 1
    assert message in told.partition("error: ")[2]
    assert "Traceback" not in told


@pytest.mark.slow
def test_attack_is_the_same(tmp_path, photos, attack):
    run = photos.parent / "run"
    code, stdout, _ = attack(photos, "--out", run)
    assert code == 0
    assert f"in {run}/images/photos/edgefool/classifier-factory" in stdout.replace("\n", "")
    assert attack(tmp_path / "album", "--out", tmp_path / "run")[0] == 0
    same_records(run, tmp_path / "run")
    same_files(run, tmp_path / "run")
    assert sorted(load_records(str(run))["source"]) == [f"{k}.png" for k in range(4)]
    before = versions(run)
    assert attack(photos, "--out", run)[0] == 0
    assert versions(run) == before
    assert attack(photos / "[0-1].png", photos / "3.png", "--out", photos.parent / "some")[0] == 0
    assert sorted(load_records(photos.parent / "some")["image"]) == ["0", "1", "3"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_a_run_its_page_and_its_figures_are_the_same(tmp_path, plan, photos, edgefool):
    run = photos.parent / "run"
    for folder in (run, tmp_path / "run"):
        code, stdout, _ = edgefool("run", plan, "--out", folder)
        assert code == 0
        assert f"{folder}/report/index.html" in stdout.replace("\n", "")
    same_records(run, tmp_path / "run")
    assert f'"{photos}"' in (run / "plan.toml").read().decode()
    assert load_records(run).groupby("label").size().to_dict() == {0: 4, 1: 4, 2: 4}
    ours, theirs = ((place / "report").find().keys() for place in (run, parse_path(tmp_path / "run")))
    assert ours == theirs
    (run / "report" / "old.png").write(b"of an older page")
    assert edgefool("report", run)[0] == 0
    assert not (run / "report" / "old.png").exists()
    assert edgefool("figure", 6, run, "--out", run / "mine.png")[0] == 0
    for folder in (run, tmp_path / "run"):
        assert edgefool("figure", 5, folder)[0] == 0
    assert (run / "figures/figure5.pdf").read() == (tmp_path / "run/figures/figure5.pdf").read_bytes()
    assert (run / "mine.png").exists()
    code, _, stderr = edgefool("run", plan, "--out", run, "--dry-run")
    assert code == 0
    assert "0 of them to attack" in stderr


def test_evaluate_reads_addresses(tmp_path, photos, tiny, edgefool):
    tables = photos.parent / "tables"
    assert edgefool("evaluate", photos, photos, "--classifier", f"{tiny}:factory", "--out", tables)[0] == 0
    assert (tables / "summary.csv").exists()


def child(*arguments: object, before: str = "") -> subprocess.Popen[str]:
    """Start the command line in another process, in which an owner is dead after 2 seconds."""
    code = f"""
import sys
from edgefool.storage import run_lock
run_lock.LEASE_PERIOD, run_lock.LEASE_TIMEOUT = 1.0, 2.0
{before}
from edgefool.cli import main
main({[str(argument) for argument in arguments]})
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.faults
@pytest.mark.usefixtures("one_thread")
def test_killed_midway_nothing_is_lost_and_nothing_twice(tmp_path, photos, tiny, attack, dying):
    deadly = f"from edgefool.runs import RunFolder\n{dying}RunFolder.{{name}} = die_after(RunFolder.{{name}})"
    command = ("attack", photos, "--out", photos.parent / "run", "--classifier", f"{tiny}:factory", *NET)
    for name in ("save_records", "save_images"):  # the second time between images and their record
        process = child(*command, before=deadly.format(left=1, name=name))
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, stderr
        time.sleep(3.1)  # the store tells whole seconds
    assert 0 < len(RunFolder(photos.parent / "run").records()) < 4
    last = child(*command)
    _, stderr = last.communicate(timeout=120)
    assert last.returncode == 0, stderr
    assert attack(tmp_path / "album", "--out", tmp_path / "good", "--batch-size", 1)[0] == 0
    run = photos.parent / "run"
    same_records(run, tmp_path / "good")
    same_files(run, tmp_path / "good")
    assert not (run / ".owner").exists()
    segments = run / "records.jsonl.d"
    lines = [json.loads(line) for name in segments.find() for line in (segments / name).read().splitlines()]
    assert len(lines) == len({line["image"] for line in lines}) == 4


def test_the_second_driver_is_refused_and_the_first_ends_undisturbed(photos, tiny, attack):
    run = photos.parent / "run"
    with run.lock():
        code, _, stderr = attack(photos, "--out", run)
        assert code == 1
        one_line(stderr, f"another process is working in {run} (process ")
        assert list(run.find()) == [".owner"]
    assert attack(photos, "--out", run)[0] == 0


@pytest.mark.slow
def test_a_driver_that_was_taken_over_stops_at_its_next_save(photos, attack, monkeypatch):
    run = photos.parent / "run"
    monkeypatch.setattr(run_lock, "LEASE_PERIOD", 0.05)
    genuine = RunFolder.save_images

    def save(self, *arguments):
        genuine(self, *arguments)
        leases = [thread for thread in threading.enumerate() if thread.name == "edgefool-lease"]
        while any(lease.is_alive() for lease in leases):  # a renewal that had begun may write over it once
            (run / ".owner").write(b'{"who": "another", "token": ""}')
            leases[0].join(0.2)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_images", save)
        code, _, stderr = attack(photos, "--out", run)
    assert code == 1
    one_line(stderr, "another process has taken over")
    assert RunFolder(run).records() == []


@pytest.mark.slow
def test_damaged_objects_are_repaired(tmp_path, photos, attack):
    run = photos.parent / "run"
    assert attack(photos, "--out", run)[0] == 0
    first, second, *_ = (run / "records.jsonl.d" / name for name in (run / "records.jsonl.d").find())
    first.write(first.read().replace(b'"cell"', b'"call"'))
    second.write(second.read()[:50])
    (run / "originals/photos/3.png").write(b"damaged")
    code, _, stderr = attack(photos, "--out", run)
    assert code == 0
    told = " ".join(stderr.split())
    assert "line 1 of records.jsonl is damaged" in told
    assert "line 2 of records.jsonl is incomplete" in told
    assert "originals/photos/3.png was changed" in told
    assert attack(tmp_path / "album", "--out", tmp_path / "run")[0] == 0
    same_records(run, tmp_path / "run")
    same_files(run, tmp_path / "run")


@pytest.mark.slow
def test_many_segments_become_one_file(photos, attack, monkeypatch):
    run = photos.parent / "run"
    assert attack(photos, "--out", run)[0] == 0
    monkeypatch.setattr("edgefool.storage.append_log.MAX_SEGMENTS", 2)
    records = RunFolder(run).records()
    assert len((run / "records.jsonl.d").find()) > 2
    assert attack(photos, "--out", run)[0] == 0
    assert (run / "records.jsonl.d").find() == {}
    assert len((run / "records.jsonl").read().splitlines()) == 4
    assert RunFolder(run).records() == records


# One line


@pytest.mark.slow
def test_what_lies_apart(photos, attack, tmp_path):
    code, _, stderr = attack(photos, "--out", photos / "run")
    assert code == 2
    one_line(stderr, "is inside a folder of photos, or contains photos")
    assert attack(photos, "--out", tmp_path / "run")[0] == 0
    assert attack(tmp_path / "album", "--out", photos.parent / "other")[0] == 0


WRONG = {
    "no photos": (["s3://{bucket}/none", "--out", "run"], 2, "no such file or folder: 's3://{bucket}/none'"),
    "no match": (["s3://{bucket}/*.png", "--out", "run"], 2, "no image file matches 's3://{bucket}/*.png'"),
    "no images": (["s3://{bucket}/texts", "--out", "run"], 2, "no image files in the folder 's3://{bucket}/texts'"),
    "no bucket of photos": (["s3://nowhere/x", "--out", "run"], 2, "no such file or folder: 's3://nowhere/x'"),
    "no bucket of the run": (["album", "--out", "s3://nowhere/x"], 1, "The specified bucket does not exist"),
    "no run": (["album", "--out", "s3://{bucket}/texts"], 2, "is not a run and not empty; name a new folder"),
    "a file": (["album", "--out", "s3://{bucket}/texts/a.txt"], 2, "is a file; a run needs a folder"),
    "unknown": (["nix://x", "--out", "run"], 2, "nix://... is not a known kind of store"),
    "weights": (["album", "--out", "run", "--classifier", "resnet18", "--weights", "s3://a/b"], 2, "must be a file on"),
    "classes": (["album", "--out", "run", "--classes", "s3://a/b"], 2, "must be a file on the disk"),
    "factory": (["album", "--out", "run", "--classifier", "s3://a/net.py:f"], 2, "must be a file on the disk"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_line(tmp_path, photos, attack, monkeypatch, case):
    arguments, expected, message = WRONG[case]
    (photos.parent / "texts" / "a.txt").write(b"text")
    monkeypatch.chdir(tmp_path)
    code, _, stderr = attack(*(text.format(bucket=photos.parent.key) for text in arguments))
    assert code == expected
    one_line(stderr, message.format(bucket=photos.parent.key))


@pytest.mark.parametrize("arguments", [["attack", "album", "--out"], ["report"], ["figure", 5]])
def test_a_store_that_does_not_answer_is_one_line(tmp_path, photos, edgefool, tiny, monkeypatch, arguments):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.chdir(tmp_path)
    object_store.connect.cache_clear()
    options = ["--classifier", f"{tiny}:factory"] if arguments[0] == "attack" else []
    code, _, stderr = edgefool(*arguments, "s3://bucket/run", *options)
    object_store.connect.cache_clear()
    assert code == 1
    one_line(stderr, "Could not connect to the endpoint URL")


def test_without_the_extra_is_one_line(tmp_path, make_photo, attack, monkeypatch):
    import fsspec

    photo = make_photo(tmp_path / "cat.png")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    object_store._check_reachable.cache_clear()
    assert fsspec.get_filesystem_class("memory")
    code, _, stderr = attack(photo, "--out", "s3://bucket/run")
    object_store._check_reachable.cache_clear()
    assert code == 2
    one_line(stderr, "s3://... needs edgefool[s3]: pip install 'edgefool[s3]'")
