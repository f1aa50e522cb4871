"""`edgefool verify`, with tiny classifiers and tiny photos."""

import json
import os
import shutil
import signal
import time
from functools import partial

import pandas as pd
import pytest
from PIL import Image

import edgefool as package
from edgefool.attacks import RobustEdgeFool
from edgefool.errors import UsageError
from edgefool.protection.verifier import Verifier


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Attack at a size, and with as few steps, that it takes no time."""
    monkeypatch.setattr("edgefool.protection.protector.SIZE", 64)
    monkeypatch.setattr("edgefool.protection.protector.RobustEdgeFool", partial(RobustEdgeFool, max_iterations=3))


@pytest.fixture
def verify(edgefool, tiny, tmp_path):
    def verify(*arguments, names=("factory", "other")):
        judges = [part for name in names for part in ("--classifier", f"{name}={tiny}:{name}")]
        return edgefool("verify", *arguments, *judges)

    return verify


@pytest.fixture
def folders(tmp_path, make_photo):
    """Return two folders of photos that have nothing but their names in common."""
    for seed, name in enumerate(["one.jpg", "sub/two.png", "three.bmp"]):
        make_photo(tmp_path / "in" / name, seed, 72, 48)
    for seed, name in enumerate(["one.jpg", "sub/two.png", "three.jpg"], 10):
        make_photo(tmp_path / "out" / name, seed, 72, 48)
    return tmp_path / "in", tmp_path / "out"


def rows(report, **wanted):
    table = pd.read_csv(report / "verification.csv", keep_default_na=False)
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def test_photos_are_paired_judged_and_counted(verify, folders, tmp_path):
    code, stdout, stderr = verify(*folders)
    assert code == 0
    report = tmp_path / "out-report"
    table = rows(report)
    assert len(table) == 3 * 2 * 4
    assert set(zip(table["photo"], table["result"], strict=True)) == {
        ("one.jpg", "one.jpg"),
        ("sub/two.png", "sub/two.png"),
        ("three.bmp", "three.jpg"),
    }
    data = json.loads((report / "verification.json").read_text())
    for rate in data["rates"]:
        chosen = rows(report, classifier=rate["classifier"], version=rate["version"])
        changed = int((chosen["before"] != chosen["after"]).sum())
        assert (rate["changed"]["photos"], rate["changed"]["of"]) == (changed, 3)
        assert rate["alone"] is None
    assert f"{changed} of 3 photos, " in stdout
    assert "95 %" in stdout
    assert f"page: {report / 'index.html'}, which shows the originals" in stdout
    assert "no protection against people, against classifiers trained on such photos" in stderr
    assert "protected" not in stdout


def test_the_help_says_what_this_is_not(edgefool):
    code, stdout, _ = edgefool("verify", "--help")
    assert code == 0
    words = " ".join(stdout.replace("\u2502", " ").split())
    assert "no protection against people, against classifiers trained on such photos" in words
    assert "face recognition, which was not tested" in words


def test_what_is_missing_extra_or_unreadable_is_a_note(verify, folders, tmp_path, make_photo):
    make_photo(folders[0] / "lost.png")
    make_photo(folders[1] / "strange.png")
    (folders[1] / "one.jpg").write_bytes(b"\xff\xd8 nothing")
    code, stdout, stderr = verify(*folders)
    assert code == 1
    assert "note: lost.png: it has no result" in stderr
    assert "note: strange.png: it has no original" in stderr
    assert "note: one.jpg: " in stderr
    assert " of 2 photos, " in stdout
    (error,) = [error for error in rows(tmp_path / "out-report")["error"] if error]
    assert error in stderr


def test_a_link_out_of_the_folder_is_not_followed(verify, folders, tmp_path):
    (folders[1] / "one.jpg").unlink()
    (folders[1] / "one.jpg").symlink_to(folders[0] / "one.jpg")
    code, _, stderr = verify(*folders)
    assert code == 1
    assert "one.jpg: the link leads out of the folder" in stderr
    assert "one.jpg" not in set(rows(tmp_path / "out-report")["photo"])


def test_the_same_command_builds_the_same_report_and_judges_nothing_twice(
    verify, folders, tmp_path, snapshot, monkeypatch
):
    report = tmp_path / "out-report"
    verify(*folders)
    first = snapshot(report)

    genuine, judged = Verifier.judge, []

    def judge(self, original, *arguments, **options):
        judged.append(original.name)
        return genuine(self, original, *arguments, **options)

    monkeypatch.setattr(Verifier, "judge", judge)
    verify(*folders)
    assert (snapshot(report), judged) == (first, [])
    (report / "index.html").unlink()
    next((report / "previews").iterdir()).unlink()
    verify(*folders)
    again = snapshot(report)
    assert {name: data for name, data in again.items() if "jsonl" not in name} == {
        name: data for name, data in first.items() if "jsonl" not in name
    }
    assert len(judged) == 1
    verify(*folders, names=["factory"])
    assert len(judged) == 4


def test_ctrl_c_keeps_what_was_judged_and_ends_the_others(verify, folders, monkeypatch, tmp_path):
    genuine, judged = Verifier.judge, []
    log = tmp_path / "out-report/verified.jsonl"

    def interrupted(self, original, *arguments, watch, **options):
        if original.name == "one.jpg":
            return genuine(self, original, *arguments, watch=watch, **options)
        until(lambda: log.exists() and log.read_bytes().endswith(b"\n"))
        os.kill(os.getpid(), signal.SIGINT)
        until(watch)
        raise AssertionError("not stopped")

    def counted(self, original, *arguments, **options):
        judged.append(original.name)
        return genuine(self, original, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Verifier, "judge", interrupted)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
        code, _, stderr = verify(*folders)
    assert code == 130
    assert "Repeat the command to resume" in stderr
    monkeypatch.setattr(Verifier, "judge", counted)
    assert verify(*folders)[0] == 0
    assert sorted(judged) == ["three.bmp", "two.png"]


def until(condition):
    """Wait for a condition, for ten seconds at most."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("report", ["in", "in/new", "out", "out/new", "."])
def test_the_report_is_not_written_among_photos(verify, folders, tmp_path, snapshot, report):
    before = snapshot(tmp_path)
    code, _, stderr = verify(*folders, "--out", tmp_path / report)
    assert code == 2
    assert "choose another folder" in stderr
    assert snapshot(tmp_path) == before


def test_a_report_that_is_a_link_is_refused(verify, folders, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out-report").symlink_to(tmp_path / "elsewhere")
    code, _, stderr = verify(*folders)
    assert (code, "is a link" in stderr) == (2, True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_two_files(verify, folders, tmp_path):
    code, stdout, _ = verify(folders[0] / "one.jpg", folders[1] / "three.jpg", "--out", tmp_path / "r")
    assert code == 0
    assert "of 1 photo, " in stdout
    assert set(rows(tmp_path / "r")["photo"]) == {"one.jpg"}


def test_a_file_or_a_part_of_the_results_needs_a_name_for_the_report(
    edgefool, verify, tiny, tmp_path, make_photo, snapshot
):
    for seed, name in enumerate(["one.jpg", "sub/two.jpg"]):
        make_photo(tmp_path / "in" / name, seed, 72, 48)
    edgefool("protect", tmp_path / "in", "--out", tmp_path / "out", "--ensemble", f"{tiny}:factory")
    before = snapshot(tmp_path)
    for part in ("one.jpg", "sub"):
        code, _, stderr = verify(tmp_path / "in" / part, tmp_path / "out" / part)
        assert (code, "name a folder for the report" in stderr) == (2, True)
        code, _, stderr = verify(tmp_path / "in" / part, tmp_path / "out" / part, "--out", tmp_path / "out/r")
        assert (code, "choose another folder" in stderr) == (2, True)
    assert snapshot(tmp_path) == before
    log = tmp_path / "out-report/photos.jsonl"
    factors = {line["photo"]: line["factor"] for line in map(json.loads, log.read_text().splitlines())}
    for part, photo in (("one.jpg", "one.jpg"), ("sub", "sub/two.jpg")):
        report = tmp_path / f"r-{part}"
        assert verify(tmp_path / "in" / part, tmp_path / "out" / part, "--out", report)[0] == 0
        (judged,) = json.loads((report / "verification.json").read_text())["photos"]
        assert (judged["strength"], judged["factor"]) == ("natural", factors[photo])
        assert set(rows(report)["attacked"]) == {True, False}, "known from what protect wrote"


def test_wrong_use(verify, folders, tmp_path):
    for arguments, message in (
        ((folders[0], folders[0]), "are the same"),
        ((folders[0], tmp_path / "nowhere"), "no such file or folder"),
    ):
        code, _, stderr = verify(*arguments)
        assert (code, message in stderr) == (2, True)
    shutil.rmtree(folders[1] / "sub")
    (folders[1] / "three.jpg").unlink()
    (folders[1] / "one.jpg").rename(folders[1] / "other.jpg")
    code, _, stderr = verify(*folders)
    assert (code, "has the name of one in" in stderr) == (2, True)


def test_what_protect_did_is_known(edgefool, verify, tiny, tmp_path, make_photo):
    """The strength from the report, attacked classifiers too; the page is the one that protect wrote."""
    for seed in range(3):
        make_photo(tmp_path / f"in/{seed}.jpg", seed, 72, 48)
    code, stdout, _ = edgefool(
        *("protect", tmp_path / "in", "--out", tmp_path / "out", "--strength", "vivid"),
        *("--ensemble", f"factory={tiny}:factory", "--verify-with", f"other={tiny}:other"),
    )
    assert code == 0
    report = tmp_path / "out-report"
    assert "factory (attacked)" in stdout
    assert "other (not attacked)" in stdout
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"0.jpg", "1.jpg", "2.jpg"}
    written = {name: (report / name).read_bytes() for name in ("index.html", "verification.csv", "verification.json")}
    assert all(said for said in rows(report)["alone"])
    assert verify(tmp_path / "in", tmp_path / "out")[0] == 0
    assert {name: (report / name).read_bytes() for name in written} == written
    (report / "photos.jsonl").unlink()
    verify(tmp_path / "in", tmp_path / "out", "--out", tmp_path / "r")
    assert set(rows(tmp_path / "r")["attacked"]) == {""}, "not known"
    assert all(said for said in rows(tmp_path / "r")["alone"]), "the mark says the strength"


def test_from_python(folders, tiny, tmp_path):
    classifier = package.load_classifier(f"{tiny}:factory")
    found = package.verify(*folders, [classifier], report=tmp_path / "r")
    assert found.page == tmp_path / "r/index.html"
    assert found.is_complete
    assert [rates.changed.count for rates in found.rates] == [3] * 4
    with pytest.raises(UsageError, match="the same"):
        package.verify(folders[0], folders[0], [classifier])


def test_orientation_counts(verify, folders, tmp_path):
    """A result that is stored upright has the class of its original, which a tag turns."""
    with Image.open(folders[0] / "one.jpg") as image:
        pixels = image.copy()
    exif = Image.Exif()
    exif[0x0112] = 3
    pixels.save(folders[0] / "one.jpg", exif=exif, quality=95)
    with Image.open(folders[0] / "one.jpg") as image:
        image.rotate(180).save(folders[1] / "one.jpg", quality=95)
    verify(*folders)
    table = rows(tmp_path / "out-report", photo="one.jpg", version="file")
    assert table["before"].tolist() == table["after"].tolist()
