"""`edgefool protect` on real disks that are full or read-only: no half photo, and a repeated command makes the rest."""

import errno
import os
from functools import partial

import pytest
from PIL import Image

from edgefool.attacks import RobustEdgeFool
from edgefool.storage.partial_names import is_partial

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

NAMES = ["one.jpg", "sub/three.webp", "sub/two.png"]


@pytest.fixture
def protect(edgefool, tiny, tmp_path, make_photo, monkeypatch):
    """Return what protects three photos into a folder."""
    monkeypatch.setattr("edgefool.protection.protector.SIZE", 64)
    monkeypatch.setattr("edgefool.protection.protector.RobustEdgeFool", partial(RobustEdgeFool, max_iterations=2))
    for seed, name in enumerate(NAMES):
        make_photo(tmp_path / "in" / name, seed, 72, 48)

    def protect(out):
        return edgefool("protect", tmp_path / "in", "--out", out, "--ensemble", f"{tiny}:factory")

    return protect


def whole_photos(folder):
    """Return the names of the photos in a folder, which can all be read; unfinished files have names of their own."""
    names = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_partial(path.name):
            with Image.open(path) as image:
                image.load()
            names.append(path.relative_to(folder).as_posix())
    return names


def test_small_disk(protect, small_disk):
    """With one more page on each try, until all fits."""
    counts = []
    for pages in range(1, 200):
        folder = small_disk(f"size={4096 * pages}", "nr_inodes=100")
        code, _, stderr = protect(folder / "p")
        if code == 0:
            break
        assert (code, "Traceback" in stderr) == (1, False)
        assert os.strerror(errno.ENOSPC) in stderr
        counts.append(len(whole_photos(folder / "p")))
        small_disk("remount", "size=16m")
        assert protect(folder / "p")[0] == 0
        assert whole_photos(folder / "p") == NAMES
        assert not list(folder.rglob("*.partial"))
        small_disk.unmount()
    assert whole_photos(folder / "p") == NAMES
    assert set(counts) >= {0, 1, 2, 3}, "it filled up before, between and after the photos"


def test_disk_mounted_read_only(protect, small_disk):
    folder = small_disk("size=16m")
    small_disk("remount", "ro")
    code, _, stderr = protect(folder / "p")
    assert (code, "Traceback" in stderr) == (1, False)
    assert os.strerror(errno.EROFS) in stderr
    assert not list(folder.iterdir())
    small_disk("remount", "rw")
    assert protect(folder / "p")[0] == 0
    small_disk("remount", "ro")
    code, _, stderr = protect(folder / "p")
    assert (code, "Traceback" in stderr) == (1, False)
    assert os.strerror(errno.EROFS) in stderr
    assert whole_photos(folder / "p") == NAMES
