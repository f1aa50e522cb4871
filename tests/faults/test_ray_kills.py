"""Ray workers and their driver are killed at random moments, by SIGKILL."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from edgefool.runs import RunFolder
from edgefool.runs.records import sha256

pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(2400)]  # Ray takes 20 to 60 s to start again

IMAGES, KILLS = 200, 30


def test_workers_and_driver_killed_at_random_moments(tmp_path, make_photo, tally):
    """Runs of 200 images of the cheapest method, gone on with until each is done, until 30 kills have struck."""
    tally.fault = "Ray workers and driver killed (SIGKILL) at random moments of runs of 200 images"
    album, moments = tmp_path / "album", random.Random(0)
    for seed in range(IMAGES):
        make_photo(album / f"{seed}.png", seed, 64, 64)
    rounds = drivers = midway = 0
    while tally.tries < KILLS:
        out, done, code = tmp_path / f"run{rounds}", {}, None
        rounds += 1
        while code != 0:
            driver, family = start(album, out), []
            while tally.tries < KILLS and driver.poll() is None:
                at_driver, until = moments.random() < 0.3, time.monotonic() + moments.uniform(0, 6)
                while driver.poll() is None and (time.monotonic() < until or not (at_driver or workers_of(driver))):
                    time.sleep(0.02)
                family = psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
                victims = [driver] if at_driver else workers_of(driver)
                if driver.poll() is None and victims:
                    moments.choice(victims).kill()
                    tally.tries += 1
                    drivers += at_driver
                    midway += 0 < len(recorded(out)) < IMAGES
            _, told = driver.communicate(timeout=120)
            code = driver.returncode
            assert code in (0, -9), told
            done |= {record.key: record for record in recorded(out)}
            stop_agents(family)
        run = RunFolder(out)
        found = {record.key: record for record in run.records()}
        lines = Counter(json.loads(line)["image"] for line in run.record_lines.path.read().splitlines())
        faults = {
            "errors": sum(record.error is not None for record in found.values()),
            "not whole": sum(record.error is None and not whole(run, record) for record in found.values()),
            "missing": IMAGES - len(found),
            "twice": sum(count > 1 for count in lines.values()),
            "unfinished files": len(list(out.rglob("*.partial"))),
        }
        print(faults)
        tally.lost += sum(found.get(key) != record for key, record in done.items())
        tally.wrong += sum(faults.values())
    assert midway >= 10, "most kills came too early or too late to mean anything"
    assert 5 <= drivers <= KILLS - 10, "the test needs both"
    assert (tally.lost, tally.wrong) == (0, 0)


def start(album: Path, out: Path) -> subprocess.Popen:
    options = ["--method", "enhance", "--classifier", "caltech101-alexnet", "--workers", "2"]
    command = [sys.executable, "-m", "edgefool", "attack", str(album), "--out", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def workers_of(driver):
    try:
        found = psutil.Process(driver.pid).children(recursive=True)
        return [process for process in found if process.name().startswith("ray::_Actor")]
    except psutil.Error:
        return []


def recorded(out):
    return RunFolder(out).records()


def whole(run, record):
    """Tell whether the images of a record are as it says."""
    hashes = {"originals": record.original_png, record.kind: record.png}
    return all(sha256(run.image_path(kind, record).read()) == expected for kind, expected in hashes.items())


def stop_agents(family):
    """Stop what Ray leaves behind for a while; workers go on as they would, until Ray ends them."""
    for process in family:
        if process.is_running() and "Agent" in process.name():
            process.kill()
