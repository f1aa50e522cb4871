"""`edgefool protect`, with tiny classifiers and tiny photos."""

import errno
import json
import os
import shutil
import signal
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from edgefool.attacks import RobustEdgeFool
from edgefool.protection import Protector, open_photo


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Attack at a size, and with as few steps, that it takes no time."""
    monkeypatch.setattr("edgefool.protection.protector.SIZE", 64)
    monkeypatch.setattr("edgefool.protection.protector.RobustEdgeFool", partial(RobustEdgeFool, max_iterations=3))


@pytest.fixture
def protect(edgefool, tiny, tmp_path):
    def protect(*arguments, out="p"):
        return edgefool("protect", *arguments, "--out", tmp_path / out, "--ensemble", f"{tiny}:factory")

    return protect


@pytest.fixture
def photos(tmp_path, make_photo):
    for seed, name in enumerate(["one.jpg", "sub/two.png"]):
        make_photo(tmp_path / "in" / name, seed, 72, 48)
    return tmp_path / "in"


def records(tmp_path):
    lines = map(json.loads, (tmp_path / "p-report/photos.jsonl").read_text().splitlines())
    return {line["photo"]: line for line in lines}


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_keeps_tree_names_formats_and_sizes(protect, photos, tmp_path, snapshot):
    before = snapshot(photos)
    code, stdout, stderr = protect(photos)
    assert code == 0
    assert snapshot(photos) == before
    assert files(tmp_path / "p") == ["one.jpg", "sub/two.png"]
    assert "photos.jsonl" in files(tmp_path / "p-report")
    for name, kind in (("one.jpg", "JPEG"), ("sub/two.png", "PNG")):
        with Image.open(photos / name) as original, Image.open(tmp_path / "p" / name) as protected:
            assert (protected.format, protected.size) == (kind, original.size)
            assert not np.array_equal(np.asarray(protected), np.asarray(original))
        assert open_photo(tmp_path / "p" / name).mark.endswith(" natural")
        assert (tmp_path / "p" / name).stat().st_mtime == (photos / name).stat().st_mtime
    assert "2 of 2 photos in" in stdout
    assert "95 %" in stdout
    assert "device: cpu" in stderr
    assert "face recognition, which was not tested" in stderr
    assert "protected" not in stdout


def test_the_help_says_what_this_is_not(edgefool):
    code, stdout, _ = edgefool("protect", "--help")
    assert code == 0
    words = " ".join(stdout.replace("\u2502", " ").split())
    assert "does not protect photos against people, against classifiers that are trained on such photos" in words
    assert "face recognition, which was not tested" in words


def test_the_command_resumes(protect, photos, tmp_path, make_photo):
    protect(photos)
    first = {name: (tmp_path / "p" / name).read_bytes() for name in files(tmp_path / "p")}
    (tmp_path / "p/one.jpg").unlink()
    make_photo(photos / "three.png", 3, 72, 48)
    code, stdout, _ = protect(photos)
    assert code == 0
    assert "3 of 3 photos" in stdout
    assert "1 done before" in stdout
    assert {name: (tmp_path / "p" / name).read_bytes() for name in first} == first, "same photo, same result"
    assert "3 done before" in protect(photos)[1]
    assert "done before" not in protect(photos, "--strength", "subtle")[1]
    make_photo(photos / "three.png", 4, 72, 48)
    assert "2 done before" in protect(photos, "--strength", "subtle")[1]


def test_a_torn_line_of_the_report_is_repaired(protect, photos, tmp_path):
    protect(photos)
    log = tmp_path / "p-report/photos.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    assert "1 done before" in protect(photos)[1]
    assert "2 done before" in protect(photos)[1]


def test_a_photo_that_fails_does_not_stop_the_others(protect, photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    Image.new("CMYK", (40, 40)).save(photos / "ink.jpg")
    code, stdout, stderr = protect(photos)
    assert code == 1
    assert "2 of 4 photos" in stdout
    assert "2 errors" in stdout
    assert "broken.jpg: " in stderr
    assert "ink.jpg: has CMYK" in stderr
    assert files(tmp_path / "p") == ["one.jpg", "sub/two.png"]
    assert records(tmp_path)["ink.jpg"]["error"].startswith("has CMYK")


def test_a_protected_photo_is_skipped(protect, photos, tmp_path):
    protect(photos)
    shutil.copy(tmp_path / "p/one.jpg", photos / "again.jpg")
    code, stdout, stderr = protect(photos)
    assert code == 0
    assert "1 skipped" in stdout
    assert "note: again.jpg: protected already" in stderr
    assert not (tmp_path / "p/again.jpg").exists()


def test_notes_are_printed_once_for_all_photos(protect, photos, make_photo):
    for number in range(5):
        make_photo(photos / f"{number}.bmp", number)
    stderr = protect(photos)[2]
    (line,) = [line for line in stderr.splitlines() if "becomes a JPEG" in line]
    assert "0.bmp, 1.bmp, 2.bmp and 2 more: " in line


@pytest.mark.parametrize("out", ["in", "in/p", "."])
def test_originals_and_results_never_lie_together(edgefool, photos, tmp_path, out, snapshot):
    before = snapshot(tmp_path)
    code, _, stderr = edgefool("protect", photos, "--out", tmp_path / out)
    assert code == 2
    assert "choose another folder" in stderr
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(("pattern", "out"), [("in/**/*.*g", "in/p"), ("in/*.jpg", "in"), ("in/*/*.png", "in/p")])
def test_a_pattern_that_would_find_the_results_is_refused_at_once(edgefool, photos, tmp_path, pattern, out, snapshot):
    before = snapshot(tmp_path)
    code, _, stderr = edgefool("protect", tmp_path / pattern, "--out", tmp_path / out)
    assert code == 2
    assert "choose another folder" in stderr
    assert snapshot(tmp_path) == before


def test_a_report_that_is_a_link_is_refused(protect, photos, tmp_path):
    (tmp_path / "p-report").symlink_to(tmp_path)
    code, _, stderr = protect(photos)
    assert (code, "is a link" in stderr) == (2, True)


def test_the_page_lies_beside_the_folder(protect, photos, tmp_path, tiny):
    code, stdout, _ = protect(photos, "--verify-with", f"other={tiny}:other")
    assert code == 0
    assert "factory (attacked)" in stdout
    assert "other (not attacked)" in stdout
    assert "2 photos, " in stdout
    report = files(tmp_path / "p-report")
    assert {"index.html", "verification.csv", "verification.json"} <= set(report)
    assert len([name for name in report if name.startswith("previews/")]) == 4
    assert files(tmp_path / "p") == ["one.jpg", "sub/two.png"]
    (photos / "one.jpg").unlink()
    protect(photos)
    assert len(list((tmp_path / "p-report/previews").iterdir())) == 2, "no originals that the page does not show"


def test_a_judge_that_is_attacked_is_refused(protect, photos, tmp_path, tiny):
    code, _, stderr = protect(photos, "--verify-with", f"again={tiny}:factory")
    assert (code, "are the same" in stderr) == (2, True)


def test_the_report_is_not_written_into_a_source(edgefool, photos, tmp_path):
    photos.rename(tmp_path / "p-report")
    code, _, stderr = edgefool("protect", tmp_path / "p-report", "--out", tmp_path / "p")
    assert code == 2
    assert "choose another folder" in stderr


def test_a_file_that_is_not_ours_is_not_written_over(protect, photos, tmp_path, make_photo):
    mine = make_photo(tmp_path / "p/one.jpg").read_bytes()
    code, _, stderr = protect(photos)
    assert code == 1
    assert "was not made by EdgeFool" in stderr
    assert (tmp_path / "p/one.jpg").read_bytes() == mine
    assert (tmp_path / "p/sub/two.png").exists()


def test_one_name_from_two_folders_is_refused(protect, tmp_path, make_photo):
    both = [make_photo(tmp_path / folder / "one.png").parent for folder in ("a", "b")]
    code, _, stderr = protect(*both)
    assert code == 2
    assert "would get the same name" in stderr


def test_names_that_some_disks_take_for_the_same(protect, photos, tmp_path, make_photo):
    make_photo(photos / "ONE.jpg", 5, 72, 48)
    make_photo(photos / "one.bmp", 6, 72, 48)
    code, _, stderr = protect(photos)
    assert code == 0
    names = files(tmp_path / "p")
    assert len({name.lower() for name in names}) == 4
    assert "one.bmp.jpg" in names
    assert "one.bmp: it becomes a JPEG" in stderr


def test_a_photo_that_vanishes_is_an_error(protect, photos, monkeypatch):
    from edgefool.protection import protected_folder

    def vanish(path, **options):
        if str(path).endswith("one.jpg"):
            (photos / "one.jpg").unlink()
        return open_photo(path, **options)

    monkeypatch.setattr(protected_folder, "open_photo", vanish)
    code, stdout, stderr = protect(photos)
    assert code == 1
    assert "one.jpg: cannot be read: No such file or directory" in stderr
    assert "1 of 2 photos" in stdout


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_more_stops_the_command(protect, photos, monkeypatch, number):
    from edgefool.protection import PhotoFile

    def fill(self, data, target):
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(PhotoFile, "save", fill)
    code, _, stderr = protect(photos)
    assert code == 1
    assert stderr.strip().endswith(os.strerror(number))


def test_ctrl_c_keeps_finished_photos_and_ends_the_others(protect, photos, monkeypatch, tmp_path):
    genuine = Protector.protect_photo

    def interrupted(self, photo, metadata, watch):
        if photo.name == "one.jpg":
            return genuine(self, photo, metadata, watch=watch)
        until((tmp_path / "p/one.jpg").exists)
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: watch(1, 3, None))
        raise AssertionError("not stopped")

    with monkeypatch.context() as patched:
        patched.setattr(Protector, "protect_photo", interrupted)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
        code, _, stderr = protect(photos)
    assert code == 130
    assert "Repeat the command to resume" in stderr
    assert files(tmp_path / "p") == ["one.jpg"]
    assert "1 done before" in protect(photos)[1]
    assert files(tmp_path / "p") == ["one.jpg", "sub/two.png"]


def until(condition):
    """Wait for a condition, for ten seconds at most."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def test_the_order_of_the_photos_does_not_matter(protect, photos, tmp_path):
    assert protect(photos, out="p")[0] == 0
    assert protect(photos / "sub/two.png", photos / "one.jpg", out="q")[0] == 0
    for name, other in (("p/one.jpg", "q/one.jpg"), ("p/sub/two.png", "q/two.png")):
        assert (tmp_path / name).read_bytes() == (tmp_path / other).read_bytes()


def test_bad_options(edgefool, photos, tmp_path, refuse):
    code, _, stderr = edgefool("protect", photos, "--out", tmp_path / "p", "--ensemble", "no-such")
    assert (code, "unknown classifier 'no-such'" in stderr) == (2, True)
    assert edgefool("protect", photos, "--out", tmp_path / "p", "--strength", "strong")[0] == 2
    assert edgefool("protect", tmp_path / "nowhere", "--out", tmp_path / "p")[0] == 2


def test_links_keep_their_own_names(protect, photos, tmp_path):
    (tmp_path / "store").mkdir()
    for name, stored in (("three.png", "sha256-1"), ("sub/four.jpeg", "sha256-2")):
        (photos / "sub/two.png" if name.endswith("png") else photos / "one.jpg").rename(tmp_path / "store" / stored)
        (photos / name).symlink_to(tmp_path / "store" / stored)
    assert protect(photos)[0] == 0
    assert files(tmp_path / "p") == ["sub/four.jpeg", "three.png"]


def test_the_result_of_another_photo_is_not_written_over(protect, photos, tmp_path, make_photo, snapshot):
    protect(photos)
    before = snapshot(tmp_path / "p")
    make_photo(tmp_path / "other/one.jpg", 9, 72, 48)
    code, _, stderr = protect(tmp_path / "other")
    assert (code, "is the result of another photo called one.jpg" in stderr) == (2, True)
    assert snapshot(tmp_path / "p") == before
    photos.rename(tmp_path / "moved")
    code, stdout, _ = protect(tmp_path / "moved")
    assert (code, "2 done before" in stdout) == (0, True), "the same photos at another place"
    (tmp_path / "p/one.jpg").unlink()
    assert protect(tmp_path / "other")[0] == 0, "there is nothing to write over"


def test_no_report_lies_among_protected_photos(protect, photos, tmp_path, make_photo, snapshot):
    protect(photos)
    make_photo(tmp_path / "other/five.png", 5, 72, 48)
    before = snapshot(tmp_path / "p")
    code, _, stderr = protect(tmp_path / "other", out="p/other")
    assert (code, "would show originals inside" in stderr) == (2, True)
    assert snapshot(tmp_path / "p") == before
    assert protect(tmp_path / "other", out="q/other")[0] == 0
    code, _, stderr = protect(photos, out="q")
    assert (code, f"contains {tmp_path / 'q/other-report'}, which shows originals" in stderr) == (2, True)


def test_a_root_has_no_place_for_a_report(edgefool, photos, tmp_path):
    for arguments in (("protect", photos, "--out", "/"), ("verify", photos, "/")):
        code, _, stderr = edgefool(*arguments)
        assert (code, "Traceback" in stderr) == (2, False)


def test_unfinished_files_of_other_programs_stay(protect, photos, tmp_path):
    (tmp_path / "p").mkdir()
    for name in ("film.mkv.partial", "0123456789abcdef.partial"):
        (tmp_path / "p" / name).write_bytes(b"half")
    protect(photos)
    assert files(tmp_path / "p") == ["film.mkv.partial", "one.jpg", "sub/two.png"]


@pytest.mark.parametrize("error", [RuntimeError("no room\non the device"), MemoryError(), KeyError("gone")])
def test_whatever_a_photo_raises_the_others_go_on(protect, photos, monkeypatch, error):
    genuine = Protector.protect_photo

    def fails(self, photo, metadata, watch):
        if photo.name == "one.jpg":
            raise error
        return genuine(self, photo, metadata, watch=watch)

    monkeypatch.setattr(Protector, "protect_photo", fails)
    code, stdout, stderr = protect(photos)
    assert (code, "1 of 2 photos" in stdout) == (1, True)
    (line,) = [line for line in stderr.splitlines() if line.startswith("one.jpg: ")]
    assert line in ("one.jpg: no room", "one.jpg: there is not enough memory", "one.jpg: 'gone'")


def test_a_large_photo_is_protected_again(protect, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("edgefool.images.decode.MAX_MEGAPIXELS", 0.003)
    assert protect(photos)[0] == 1
    assert protect(photos, "--max-megapixels", 1)[0] == 0
    code, stdout, _ = protect(photos, "--max-megapixels", 1, "--strength", "vivid")
    assert (code, "2 of 2 photos" in stdout) == (0, True)


@pytest.mark.parametrize(
    ("policy", "kept", "gone"),
    [
        ("private", {0x010F, 0x0132}, {0x8825}),
        ("keep", {0x010F, 0x0132, 0x8825}, set()),
        ("none", set(), {0x010F, 0x0132, 0x8825}),
    ],
)
def test_metadata_are_what_the_option_says(protect, photos, tmp_path, policy, kept, gone):
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "Maker", "2020:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    with Image.open(photos / "one.jpg") as image:
        image.save(photos / "one.jpg", exif=exif, quality=95)
    options = [] if policy == "private" else ["--metadata", policy]  # the default
    assert protect(photos, *options)[0] == 0
    with Image.open(tmp_path / "p/one.jpg") as image:
        found = set(image.getexif())
    assert kept <= found
    assert not gone & found


def test_what_was_weakened_is_said(capsys):
    from edgefool.cli.protect import _print_notes
    from edgefool.protection.photo_record import PhotoRecord

    facts = {"status": "protected", "options": {}, "result": "x"}
    _print_notes([PhotoRecord(photo="a", factor=0.8, **facts), PhotoRecord(photo="b", within_bounds=False, **facts)])
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("note: a: weakened")
    assert second.startswith("note: b: differs more")
