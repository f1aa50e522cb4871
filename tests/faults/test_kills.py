"""A run keeps its promises, whatever fails or kills it: nothing lost, nothing twice, nothing half-written."""

import errno
import io
import json
import os
import random
import time
from pathlib import Path

import pandas as pd
import pytest

from edgefool import cli
from edgefool.classifiers import load_classifier
from edgefool.images import read_image
from edgefool.runs import RunFolder, check_run, load_records

# Faults: whatever write fails, the run stops with one line and is resumed later

FAULTS = [
    (os, "fsync", errno.ENOSPC, lambda *_: True),
    (os, "replace", errno.ENOSPC, lambda *_: True),
    (os, "mkdir", errno.EACCES, lambda path, *_: not os.path.exists(path)),
    (io, "open", errno.EACCES, lambda _, mode, *__: mode in ("wb", "ab")),
]


@pytest.mark.parametrize(("module", "function", "code", "counts"), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_run_survives_failing_writes(tmp_path, monkeypatch, make_photo, attack, module, function, code, counts):
    photo = make_photo(tmp_path / "cat.png")
    assert attack(photo, "--out", tmp_path / "good")[0] == 0
    genuine = getattr(module, function)
    for number in range(0, 100, 5):  # `test_disk` tries each
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


@pytest.mark.faults
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
    assert records.endswith(b"\n"), "half a line is removed"
    assert len(load_records(tmp_path / "run")) == 7
    assert child(cli.main, command).exitcode == 0
    assert_same_run(tmp_path / "run", tmp_path / "good")


def test_damage_at_random_places_is_repaired(tmp_path, make_photo, attack):
    for seed in range(4):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    command = [tmp_path / "photos", "--out"]
    assert attack(*command, tmp_path / "good")[0] == 0
    attack(*command, tmp_path / "run")
    places, repaired = random.Random(0), 0
    for _ in range(5):  # `test_damage` goes on
        damage(tmp_path / "run", places)
        code, _, stderr = attack(*command, tmp_path / "run")
        assert code == 0
        repaired += "repaired" in stderr
        assert_same_run(tmp_path / "run", tmp_path / "good", is_damaged=True)
    assert repaired >= 3, "the damage was too small to mean anything"


@pytest.mark.faults
def test_damage_to_many_cells_is_repaired(tmp_path, settings, carry_out, agree):
    good = carry_out(settings, "good", batch_size=1).run
    carry_out(settings, "run", batch_size=1)
    places, repaired = random.Random(0), 0
    for _ in range(5):
        for _ in range(places.randint(1, 5)):
            damage(tmp_path / "run", places)
        run = carry_out(settings, "run", batch_size=1).run
        repaired += bool(run.repaired)
        assert_same_run(tmp_path / "run", tmp_path / "good", is_damaged=True)
        assert run.cells() == good.cells()
        agree(run, good)
        assert carry_out(settings, "run").steps == []
    assert repaired >= 4, "the damage was too small to mean anything"


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


def arguments(photos: Path, out: Path, tiny: Path) -> list[str]:
    return [
        *("attack", str(photos), "--out", str(out), "--classifier", f"{tiny}:factory", "--size", "32"),
        *("--set", "start=identity", "--set", "max_iterations=3", "--set", "tau=0.01", "--batch-size", "1"),
    ]


@pytest.mark.faults
def test_killed_between_images(tmp_path, tiny, make_photo, child, tally):
    tally.fault = "killed (SIGKILL) after every other image"
    for seed in range(8):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    good, run = (arguments(tmp_path / "photos", tmp_path / name, tiny) for name in ("good", "run"))
    assert child(cli.main, good).exitcode == 0
    for count in (1, 3, 5, 7):
        tally.tries += 1
        code = child(cli.main, run, until=lambda c=count: len(finished(tmp_path / "run")) >= c).exitcode
        assert code == -9
        assert count <= len(finished(tmp_path / "run")) <= 8
    assert child(cli.main, run).exitcode == 0
    assert_same_run(tmp_path / "run", tmp_path / "good")
    assert_true(tmp_path / "run", tiny)


@pytest.mark.faults
def test_killed_at_random_moments(tmp_path, tiny, make_photo, child, tally):
    most = 20
    tally.fault = "killed (SIGKILL) at random moments, until the run is done"
    for seed in range(8):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    good = tmp_path / "good"
    child(cli.main, arguments(tmp_path / "photos", good, tiny))  # the server starts here
    start = time.perf_counter()
    child(cli.main, arguments(tmp_path / "photos", tmp_path / "timed", tiny))
    whole = time.perf_counter() - start

    moments, kills, runs, in_the_middle = random.Random(0), 0, 0, 0
    while kills < most:
        runs += 1
        command = arguments(tmp_path / "photos", tmp_path / f"run{runs}", tiny)
        while kills < most:
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
    assert in_the_middle >= most // 6, "the kills came too early or too late to mean anything"


@pytest.mark.kills
def test_killed_at_every_write(tmp_path, tiny, make_photo, child, dying, tally):
    tally.fault = "killed (SIGKILL) at each write of a run"
    make_photo(tmp_path / "photos" / "0.png")
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


def finished(run: Path) -> list[tuple[str, str]]:
    """Return the cells and images of the records that still hold, whole lines only."""
    path = run / "records.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []
    found: list[tuple[str, str]] = []
    for line in lines:
        if "invalidates" not in line:
            found.append((line["cell"], line["image"]))
        elif (key := tuple(line["invalidates"])) in found:  # its line may have been damaged since
            found.remove(key)
    return found


def assert_same_run(run: Path, good: Path, *, is_damaged: bool = False) -> None:
    """Nothing twice, nothing lost, nothing half-written, and the same results as without any disturbance."""
    done = finished(run)
    assert (run / "records.jsonl").read_bytes().endswith(b"\n")
    assert is_damaged or len(done) == len(set(done))  # damage may take the line that invalidated another
    ours, theirs = (
        load_records(path).drop(columns="seconds").sort_values(["cell", "image"], ignore_index=True)
        for path in (run, good)
    )
    pd.testing.assert_frame_equal(ours, theirs)
    assert tree(run) == tree(good)
    assert check_run(run) == []


def tree(run: Path) -> dict[str, bytes]:
    """Return all files but the logs, the lock and what was kept aside before a repair."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.suffix != ".jsonl" and path.name != ".lock" and path.parent.name != "damaged"
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
