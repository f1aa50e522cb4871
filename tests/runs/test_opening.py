"""Opening a run: one plan, one process, and what is damaged counts as not done."""

import errno
import io
import math
import os
from pathlib import Path

import pytest
from torch import nn

from edgefool.classifiers import Classifier, Preprocessing
from edgefool.errors import FormatError, RunError, UsageError
from edgefool.runs import Prediction, Quality, RunFolder, Session, check_run, load_records, open_run
from edgefool.runs.records import CellLine

PLAN = "seed = 0\n"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_new_run_holds_its_plan_and_versions(tmp_path, cell):
    with open_run(tmp_path / "a" / "run", PLAN, [cell], command="edgefool attack x") as run:
        assert str(run.path) == str(tmp_path / "a" / "run")
    assert run.plan.read().decode() == PLAN
    (session,) = run.sessions()
    assert session.command == "edgefool attack x"
    assert {"edgefool", "torch", "torchvision"} <= session.versions.keys()


def test_its_sessions_keep_tags_and_licences_of_weights(tmp_path, cell):
    """Where there are any; lines of older versions have none."""

    def made(name, **facts):
        preprocessing = Preprocessing(8)
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        return Classifier(net, name=name, classes="ab", architecture=name, preprocessing=preprocessing, **facts)

    both, licensed, own = made("both", tag="V1", licence="MIT"), made("licensed", licence="MIT"), made("own")
    with open_run(tmp_path / "run", PLAN, [cell], classifiers=[both, licensed, own]) as run:
        pass
    (session,) = run.sessions()
    assert session.weights == {
        both.fingerprint: {"classifier": "both", "tag": "V1", "licence": "MIT"},
        licensed.fingerprint: {"classifier": "licensed", "licence": "MIT"},
    }
    before = session.model_dump(exclude={"weights"})
    assert Session(**before).weights == {}


def test_arguments_that_are_not_utf8_do_not_stop_the_run(tmp_path, cell):
    with open_run(tmp_path / "run", PLAN, [cell], command=os.fsdecode(b"edgefool caf\xff.png")) as run:
        pass
    assert [session.command for session in run.sessions()] == ["edgefool caf\\udcff.png"]


def test_each_process_that_worked_on_it_has_a_session(tmp_path, cell):
    for number in range(3):
        with open_run(tmp_path / "run", PLAN, [cell], command=f"number {number}") as run:
            pass
    assert [session.command for session in run.sessions()] == ["number 0", "number 1", "number 2"]


def test_a_run_takes_more_cells_and_another_plan(tmp_path, cell, changed):
    more = changed(constants={"alpha": 5.0})
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        first = run.enter([cell])
    with open_run(tmp_path / "run", "seed = 0 # more", [cell, more]) as run:
        assert run.enter([more, cell]) == [f"photos/edgefool-{more.id[:8]}/tiny", *first]
    assert run.cells() == {first[0]: cell, f"photos/edgefool-{more.id[:8]}/tiny": more}
    assert run.plan.read() == b"seed = 0 # more"


@pytest.mark.parametrize("alone", [True, False])
def test_run_of_another_size_or_seed_is_refused(tmp_path, cell, changed, alone):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
    other = changed(size=64, constants={"alpha": 5.0})
    message = r"other settings \(size: 32 there, 64 now; alpha: 10.0 there, 5.0 now\); name a new folder"
    with pytest.raises(UsageError, match=message), open_run(tmp_path / "run", "other", [other], alone=alone):
        pass
    assert run.plan.read().decode() == PLAN
    refused = pytest.raises(UsageError, match=r"\(seed: 0 there, 1 now\)")
    with refused, open_run(tmp_path / "run", PLAN, [changed(seed=1)], alone=alone):
        pass
    with open_run(tmp_path / "run", PLAN, [cell], alone=alone):  # refusing gave the lock back
        pass


def test_a_run_that_is_to_stay_alone_refuses_other_constants(tmp_path, cell, changed):
    with open_run(tmp_path / "run", PLAN, [cell], alone=True) as run:
        run.enter([cell])
    refused = pytest.raises(UsageError, match=r"\(alpha: 10.0 there, 5.0 now\)")
    with refused, open_run(tmp_path / "run", PLAN, [changed(constants={"alpha": 5.0})], alone=True):
        pass


def test_infinite_constants_come_back(tmp_path, changed):
    cell = changed(constants={"kappa": math.inf})
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        (folder,) = run.enter([cell])
    with open_run(tmp_path / "run", PLAN, [cell], alone=True) as run:
        assert run.repaired == []
        assert run.cells() == {folder: cell}


def test_run_is_for_one_process(tmp_path, cell):
    busy = pytest.raises(RunError, match=rf"another process is working in .* \(process {os.getpid()} on ")
    with open_run(tmp_path / "run", PLAN, [cell]), busy, open_run(tmp_path / "run", PLAN, [cell]):
        pass
    with open_run(tmp_path / "run", PLAN, [cell]):
        pass
    assert not (tmp_path / "run/.owner").exists()


def test_a_disk_that_became_read_only_is_reported_and_the_lock_given_back(tmp_path, monkeypatch, cell):
    genuine = io.open

    def fail(path, mode="w", *rest):
        if mode in ("r", "rb"):
            return genuine(path, mode, *rest)
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patch:
        refused = pytest.raises(RunError, match=r"cannot write .*cells.jsonl: Read-only file system; finished work")
        with refused, open_run(tmp_path / "run", PLAN, [cell]) as run:
            patch.setattr(io, "open", fail)
            patch.setattr(os, "unlink", fail)
            run.enter([cell])
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        assert len(run.enter([cell])) == 1


@pytest.mark.parametrize("name", ["photo.png", "cells.jsonl", "records.jsonl"])
def test_folder_that_is_not_a_run_is_left_alone(tmp_path, cell, name):
    (tmp_path / name).write_text("mine\n")
    refused = pytest.raises(UsageError, match="is not a run and not empty; name a new folder")
    with refused, open_run(tmp_path, PLAN, [cell]):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_file_is_not_a_run(tmp_path, cell):
    (tmp_path / "run").touch()
    with pytest.raises(UsageError, match="is a file; a run needs a folder"), open_run(tmp_path / "run", PLAN, [cell]):
        pass
    with pytest.raises(RunError, match="cannot write"), open_run(tmp_path / "run" / "deeper", PLAN, [cell]):
        pass


def test_leftovers_of_a_kill_are_removed_and_half_a_line_is_kept_aside(tmp_path, cell, saved):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        saved(run, "cat")
    (tmp_path / "run/originals/photos/0123456789abcdef.partial").write_bytes(b"half")
    with (tmp_path / "run/records.jsonl").open("ab") as file:
        file.write(b'{"image":"dog","sou')
    assert len(load_records(tmp_path / "run")) == 1
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        copy = tmp_path / "run/damaged/records.jsonl-1"
        assert run.repaired == [f"line 2 of records.jsonl is incomplete; its bytes are in {copy}"]
        assert copy.read_bytes() == b'{"image":"dog","sou\n'
        saved(run, "dog")
    assert not list((tmp_path / "run").rglob("*.partial"))
    assert [record.image for record in run.records()] == ["cat", "dog"]


def test_labels_may_end_like_leftovers(tmp_path, changed, saved):
    cell = changed(label="x.partial")
    for _ in range(2):
        with open_run(tmp_path, PLAN, [cell]) as run:
            assert run.repaired == []
            saved(run, cell=run.enter([cell])[0])
    assert (tmp_path / "images/photos/x.partial/tiny/cat.png").exists()


@pytest.mark.parametrize("leftovers", [[], [".lock"], [".lock", ".owner", "0123456789abcdef.partial"]])
def test_run_killed_before_its_plan_was_written_is_resumed(tmp_path, cell, leftovers):
    for name in leftovers:
        (tmp_path / name).touch()
    with open_run(tmp_path, PLAN, [cell]):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "format.json", "plan.toml", "sessions.jsonl"]


# Damage


def test_a_run_whose_plan_is_missing_is_resumed(tmp_path, cell, saved):
    with open_run(tmp_path, PLAN, [cell]) as run:
        run.enter([cell])
        one = saved(run)
    (tmp_path / "plan.toml").unlink()
    with (tmp_path / "cells.jsonl").open("ab") as file:
        file.write(b"damaged, too\n")
    with open_run(tmp_path, PLAN, [cell]) as run:
        (repaired,) = run.repaired
        assert repaired.startswith("line 2 of cells.jsonl is damaged")
        assert run.records() == [one]
    assert (tmp_path / "plan.toml").read_text() == PLAN


DAMAGE = {
    "missing image": ("images/photos/edgefool/tiny/cat.png", None, "is missing"),
    "changed image": ("images/photos/edgefool/tiny/cat.png", b"x", "was changed"),
    "missing original": ("originals/photos/cat.png", None, "is missing"),
    "changed original": ("originals/photos/cat.png", b"x", "was changed"),
    "missing structure": ("structure/photos/edgefool/tiny/cat.png", None, "is missing"),
    "changed structure": ("structure/photos/edgefool/tiny/cat.png", b"", "was changed"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_images_count_as_not_done_and_their_lines_stay(tmp_path, cell, record, saved, case):
    name, data, fault = DAMAGE[case]
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        for image in ("cat", "dog"):
            saved(run, image)
        run.save(record("bad", error="no image"), {})
    path, lines = tmp_path / "run" / name, (tmp_path / "run/records.jsonl").read_bytes()
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    message = f"cat of photos/edgefool/tiny: {name} {fault}"
    before = everything(tmp_path / "run")
    assert check_run(tmp_path / "run") == [message]
    assert everything(tmp_path / "run") == before
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        assert run.repaired == [message]
        assert [one.image for one in run.records()] == ["dog", "bad"]
    assert (tmp_path / "run/records.jsonl").read_bytes().startswith(lines)
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        assert run.repaired == []


def test_images_that_are_as_they_were_are_not_read_again(tmp_path, cell, saved, monkeypatch):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        saved(run)
    with open_run(tmp_path / "run", PLAN, [cell]):  # compares the hashes
        pass
    monkeypatch.setattr("edgefool.runs.opening.sha256", lambda data: pytest.fail("a PNG was read"))
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        assert run.repaired == []
    monkeypatch.undo()
    image = tmp_path / "run/images/photos/edgefool/tiny/cat.png"
    data = image.read_bytes()
    image.write_bytes(data[::-1])  # of the same size, at another time
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        assert run.repaired == ["cat of photos/edgefool/tiny: images/photos/edgefool/tiny/cat.png was changed"]


def test_check_finds_changed_bytes_whose_size_and_time_are_as_before(tmp_path, cell, saved):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        saved(run)
    with open_run(tmp_path / "run", PLAN, [cell]):
        pass
    image = tmp_path / "run/originals/photos/cat.png"
    times = image.stat()
    image.write_bytes(image.read_bytes()[::-1])
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert check_run(tmp_path / "run") == ["cat of photos/edgefool/tiny: originals/photos/cat.png was changed"]


HOSTILE = ["../x", "..", "a/../../x", "/etc/passwd", "", "a//b", "..\\x", "nul\0"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("field", ["cell", "image", "dataset"])
def test_a_run_whose_records_lead_outside_is_refused(tmp_path, cell, saved, field, name):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        one = saved(run)
    run.record_lines.append([one.model_copy(update={field: name})])
    before = everything(tmp_path)
    refused = pytest.raises(FormatError, match=rf"line 2 of .*records.jsonl is intact, .*{field}: .*not a plain name")
    with refused, open_run(tmp_path / "run", PLAN, [cell]):
        pass
    assert everything(tmp_path) == before


@pytest.mark.parametrize("folder", HOSTILE)
def test_a_run_whose_cells_lead_outside_is_refused(tmp_path, cell, saved, folder):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        saved(run)
        run.cell_lines.append([CellLine.model_construct(folder=folder, cell=cell)])
    before = everything(tmp_path)
    refused = pytest.raises(FormatError, match=r"line 2 of .*cells.jsonl is intact, .*not a plain name")
    with refused, open_run(tmp_path / "run", PLAN, [cell]):
        pass
    assert everything(tmp_path) == before


def test_names_that_no_disk_can_hold_do_not_stop_the_run(tmp_path, cell, saved):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        one = saved(run)
        run.record_lines.append([one.model_copy(update={"image": "x" * 1000})])
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        (repaired,) = run.repaired
        assert repaired.endswith("xxx.png is missing")
        assert run.records() == [one]


def test_record_of_an_unknown_cell_is_invalidated(tmp_path, cell, record, saved):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        one = saved(run)
        run.save(record("dog", cell="photos/other/tiny", error="x"), {})
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        assert run.repaired == ["dog of photos/other/tiny: its cell is unknown"]
        assert run.records() == [one]


def test_damaged_lines_of_every_file_are_removed_and_kept_aside(tmp_path, cell, saved):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        run.select({"photos": ["cat"]})
        one = saved(run)
        prediction = Prediction(
            cell=None, dataset="photos", image="cat", png="", classifier="", fingerprint="", predicted=1, probability=1,
            scores={},
        )  # fmt: skip
        quality = Quality(cell=one.cell, image="cat", png="", ciede2000=1, linf=1, changed_pixels=1)
        run.save_measures([prediction], [quality])
    with open_run(tmp_path / "run", PLAN, [cell]):
        pass
    names = ["cells", "records", "predictions", "quality", "sessions", "selection", "verified"]
    for name in names:
        path = tmp_path / f"run/{name}.jsonl"
        path.write_bytes(b'{"half": \n' + path.read_bytes())
    assert check_run(tmp_path / "run") == [f"line 1 of {name}.jsonl is damaged" for name in names]
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        copies = {name: tmp_path / f"run/damaged/{name}.jsonl-1" for name in names}
        assert run.repaired == [
            f"line 1 of {name}.jsonl is damaged; its bytes are in {copy}" for name, copy in copies.items()
        ]
        assert [copy.read_bytes() for copy in copies.values()] == [b'{"half": \n'] * len(names)
        assert run.records() == [one]
        assert run.predictions() == [prediction]
        assert run.qualities() == [quality]
    assert check_run(tmp_path / "run") == []


# Formats


def test_a_run_of_a_newer_format_is_refused_byte_for_byte(tmp_path, cell, saved):
    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        saved(run)
    (tmp_path / "run/format.json").write_text('{"format": 3, "edgefool": "0.9.1", "more": true}')
    (tmp_path / "run/.lock").unlink()
    before = everything(tmp_path)
    message = "format 3, last written by edgefool 0.9.1; this is edgefool .* up to 2: use edgefool 0.9.1 or newer"
    with pytest.raises(FormatError, match=message), open_run(tmp_path / "run", PLAN, [cell]):
        pass
    for reader in (check_run, load_records):
        with pytest.raises(FormatError, match=message):
            reader(tmp_path / "run")
    assert everything(tmp_path) == before


def test_a_sound_line_that_this_version_does_not_know_ends_in_an_error_and_no_byte_changes(tmp_path, cell, saved):
    class Newer(type(saved(RunFolder(tmp_path / "other")))):
        warmth: float = 0.5

    with open_run(tmp_path / "run", PLAN, [cell]) as run:
        run.enter([cell])
        one = saved(run)
    run.record_lines.append([Newer(**one.model_dump())])
    with (tmp_path / "run/cells.jsonl").open("ab") as file:
        file.write(b"damaged\n")  # stays, too
    (tmp_path / "run/.lock").unlink()
    before = everything(tmp_path / "run")
    message = r"line 2 of .*records.jsonl is intact, but .*warmth.*; .* is a run of format 2, last written by edgefool"
    with pytest.raises(FormatError, match=message), open_run(tmp_path / "run", PLAN, [cell]):
        pass
    for reader in (check_run, load_records):
        with pytest.raises(FormatError, match=message):
            reader(tmp_path / "run")
    assert everything(tmp_path / "run") == before


def test_a_damaged_format_file_is_written_again(tmp_path, cell):
    with open_run(tmp_path / "run", PLAN, [cell]):
        pass
    sound = (tmp_path / "run/format.json").read_bytes()
    (tmp_path / "run/format.json").write_bytes(sound[:-3])
    with open_run(tmp_path / "run", PLAN, [cell]):
        pass
    assert (tmp_path / "run/format.json").read_bytes() == sound
