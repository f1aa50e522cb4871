"""`edgefool protect` is killed at any moment and repeated: no half file, and in the end the undisturbed result."""

import json

import pytest

from edgefool.protection import open_photo

# Everything that changes the disk, and what lies between.
KILLED = """
import functools, os, sys
from edgefool.cli import main
from edgefool.protection import protector
protector.SIZE = 48
protector.RobustEdgeFool = functools.partial(protector.RobustEdgeFool, max_iterations=3)
{dying}
for name in ("fsync", "replace", "utime"):
    setattr(os, name, die_after(getattr(os, name)))
sys.stdout = sys.stderr = open(os.devnull, "w")
main({command})
"""


@pytest.fixture
def album(tmp_path, make_photo):
    for seed, name in enumerate(["a.jpg", "sub/b.png", "c.bmp"]):
        make_photo(tmp_path / "in" / name, seed, 64, 48)
    return tmp_path / "in"


@pytest.fixture
def protect(album, tiny, dying, child):
    def protect(out, left=10**6):
        """Protect the photos in another process that kills itself at call number ``left``; return its exit code."""
        options = ["--ensemble", f"{tiny}:factory", "--verify-with", f"{tiny}:other"]
        command = ["protect", str(album), "--out", str(out), *options]
        return child(exec, KILLED.format(dying=dying.format(left=left), command=command), {}).exitcode

    return protect


def results(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def report(folder):
    """Return what the report says, but for times."""
    lines = [json.loads(line) for line in (folder / "photos.jsonl").read_text().splitlines()]
    said = [{key: value for key, value in line.items() if key not in ("seconds", "check")} for line in lines]
    return said, {name: data for name, data in results(folder).items() if not name.endswith((".jsonl", ".lock"))}


@pytest.mark.kills
def test_killed_at_any_moment(tmp_path, protect):
    assert protect(tmp_path / "good") == 0
    good, page = results(tmp_path / "good"), report(tmp_path / "good-report")
    assert set(good) == {"a.jpg", "sub/b.png", "c.jpg"}
    killed = 0
    for left in (1, 8, 25):
        out = tmp_path / f"out{left}"
        if protect(out, left) == 0:
            break
        killed += 1
        for name, data in results(out).items():
            if not name.endswith(".partial"):
                assert data == good[name], "no half file has the name of a photo"
                assert open_photo(out / name).is_protected
        assert protect(out) == 0
        assert results(out) == good
        said, files = report(tmp_path / f"out{left}-report")
        assert {json.dumps(line) for line in said} == {json.dumps(line) for line in page[0]}
        assert {name: data.replace(out.name.encode(), b"good") for name, data in files.items()} == page[1]
    assert killed == 3
