"""The disk is full, or may not be written any more, at every write of a run: what was done stays, the rest is made."""

import errno
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import tomli_w

from edgefool.storage import local_path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

# What fails when the k-th write does.
WAYS = {
    "once": {"fails": lambda k: lambda number: number == k},
    "for a while, half a write landing": {"fails": lambda k: lambda number: k <= number < k + 3, "halves": True},
    "from then on, half a write landing": {"fails": lambda k: lambda number: number >= k, "halves": True},
    "from then on": {"fails": lambda k: lambda number: number >= k},
}
FAULTS = [
    *(("disk full", errno.ENOSPC, way, {}) for way in list(WAYS)[:3]),
    *(
        (name, code, "from then on", {"removals": True})
        for name, code in {
            "permission lost": errno.EACCES,
            "operation forbidden": errno.EPERM,
            "disk read-only": errno.EROFS,
        }.items()
    ),
]


@pytest.mark.parametrize(
    ("name", "code", "way", "options"), FAULTS, ids=[f"{name} {way}" for name, _, way, _ in FAULTS]
)
def test_every_write_of_a_run(tmp_path, disturbed, faulty_disk, tally, name, code, way, options):
    tally.fault = f"{name} at each write of a run, {way}"
    options = options | WAYS[way]
    stopped = recorded = halves = 0
    for number in itertools.count():
        out = tmp_path / f"run{number}"
        how = options | {"fails": options["fails"](number)}
        attempt, disk = faulty_disk(lambda out=out: disturbed.attempt(out), out, code, **how)
        if not disk.struck:
            break
        tally.tries += 1
        stopped += attempt.error is not None
        recorded += bool(attempt.done)
        halves += disk.halved
        again = judge(tally, disturbed, out, attempt)
        assert again.done or attempt.done
        shutil.rmtree(out)
    assert attempt.error is None
    assert number > 80, "the run writes more often than that"
    assert stopped > number * 0.95, "hardly any write may fail without notice"
    assert number * 0.3 < recorded < number, "the faults came too early or too late to mean anything"
    assert halves >= (12 if options.get("halves") else 0)
    assert (tally.lost, tally.wrong) == (0, 0)


def judge(tally, disturbed, out, attempt):
    """Count what a fault did to a run, before and after its command is repeated."""
    lost = disturbed.lost(out, attempt.done)
    wrong = not attempt.documented or (attempt.error is None and disturbed.differs(out)) or disturbed.wrong(out)
    again = disturbed.attempt(out)
    if again.error is not None:
        lost += 6 - len(again.done)
    keys = {record.key for record in attempt.done}
    lost += sum(record.key in keys for record in again.done)
    tally.lost += lost
    tally.wrong += int(bool(wrong or disturbed.differs(out) or disturbed.wrong(out)))
    return again


def test_writes_of_tables_and_page(tmp_path, disturbed, faulty_disk, tally, edgefool, two_cells):
    """Of the command line, which has nothing else to do: what stands there stays whole."""
    tally.fault = "disk full at writes of the tables and the page, from then on"
    plan, out = tmp_path / "plan.toml", tmp_path / "run"
    plan.write_text(tomli_w.dumps(two_cells))

    def command():
        return edgefool("run", plan, "--out", out)

    assert command()[0] == 0
    assert command()[0] == 0  # notes which PNGs it has verified; from then on each run writes the same
    tables, page = written(out / "tables"), out / "report/index.html"
    assert len(tables) > 3
    _, disk = faulty_disk(command, out, fails=lambda _: False)
    for number in sorted({*range(0, disk.asked, 4), *range(disk.asked - 3, disk.asked)}):
        (code, _, stderr), disk = faulty_disk(command, out, fails=lambda asked, k=number: asked >= k)
        tally.tries += disk.struck > 0
        told = [line for line in stderr.splitlines() if "error" in line]
        known = code == 1 and len(told) == 1 and told[0].startswith("error: ") and "Traceback" not in stderr
        whole = written(out / "tables") == tables and (not page.exists() or page.read_text().endswith("</html>"))
        tally.wrong += not (known and whole) or list(out.rglob("*.partial")) != [] or disturbed.differs(out)
    tally.lost += command()[0] != 0 or not page.exists() or (out / ".report").exists() or (out / ".report-old").exists()
    assert tally.tries > 20
    assert (tally.lost, tally.wrong) == (0, 0)


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# The real thing


@pytest.mark.parametrize(("what", "unit"), [("size", 4096), ("nr_inodes", 1)])
def test_small_tmpfs(disturbed, small_disk, tally, what, unit):
    tally.fault = f"a real tmpfs too small for the run, by {'pages' if what == 'size' else 'files'}"
    plenty = {"size": "16m", "nr_inodes": "10000"}
    done = []
    for amount in itertools.count(1):
        folder = small_disk(*(f"{key}={amount * unit if key == what else value}" for key, value in plenty.items()))
        attempt = disturbed.attempt(folder / "run")
        if attempt.error is None:
            break
        tally.tries += 1
        done.append(len(attempt.done))
        assert os.strerror(errno.ENOSPC) in str(attempt.error)
        small_disk("remount", *(f"{key}={value}" for key, value in plenty.items()))
        judge(tally, disturbed, folder / "run", attempt)
        small_disk.unmount()
    assert disturbed.differs(folder / "run") == 0
    assert tally.tries > 15
    assert len(set(done)) >= 4, "it filled up at the same place again and again"
    assert (tally.lost, tally.wrong) == (0, 0)


def test_disk_mounted_read_only(disturbed, small_disk, tally):
    tally.fault = "a real disk mounted read-only between two commands"
    folder = small_disk("size=16m")
    for steps in range(1, 10):  # three images and a batch of measures, twice, and the originals
        out = folder / f"run{steps}"
        begun = disturbed.attempt(out, steps=steps)
        assert begun.error is None
        small_disk("remount", "ro")
        attempt = disturbed.attempt(out)
        tally.tries += 1
        assert os.strerror(errno.EROFS) in str(attempt.error)
        small_disk("remount", "rw")
        attempt.done += begun.done
        judge(tally, disturbed, out, attempt)
    assert (tally.lost, tally.wrong) == (0, 0)


@pytest.fixture
def as_nobody(two_cells, album, disturb):
    """Work without root's privileges, in a folder that such a process can reach."""
    folder, user = Path(tempfile.mkdtemp(prefix="edgefool-faults-")), os.geteuid()
    shutil.copytree(album, folder / "album")
    datasets = [dataset | {"path": str(folder / "album")} for dataset in two_cells["datasets"]]
    disturbed = disturb(folder / "good", two_cells | {"datasets": datasets})
    if user == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
    yield disturbed
    os.seteuid(user)
    shutil.rmtree(folder)


# From what permission is taken, and what is left of it.
CHMODS = {
    "the run folder": (".", 0o555),
    "its records": ("records.jsonl", 0o444),
    "it and the folders in it": ("**", 0o555),
    "its originals, which cannot even be read": ("originals", 0o000),
    "everything in it": ("**/*", 0o555),
}


@pytest.mark.parametrize("target", CHMODS)
def test_permission_taken_midway(as_nobody, tally, target):
    tally.fault = f"permission taken midway (chmod) from {target}"
    disturbed, (pattern, mode) = as_nobody, CHMODS[target]
    refused = 0
    for after in itertools.count(1):
        out = local_path(disturbed.good.path.with_name(f"run{after}"))
        steps, changed = itertools.count(1), {}

        def take(out=out, steps=steps, changed=changed, after=after):
            if next(steps) == after:
                for path in [out] if pattern == "." else sorted(out.glob(pattern), reverse=True):
                    before = path.stat().st_mode & 0o777
                    path.chmod(mode if path.is_dir() else mode & 0o666)
                    changed[path] = before

        attempt = disturbed.attempt(out, meanwhile=take)
        for path, before in reversed(changed.items()):
            if path.exists():  # .owner has gone
                path.chmod(before)
        if next(steps) <= after:
            break
        tally.tries += bool(changed)
        refused += attempt.error is not None
        judge(tally, disturbed, out, attempt)
    assert tally.tries >= 6
    assert refused >= 3, "the loss of permission was not felt"
    assert (tally.lost, tally.wrong) == (0, 0)
