"""A run that release 0.1.0 made is read and continued by this version: nothing again, nothing lost, nothing else."""

import shutil
import zlib
from pathlib import Path

import pytest

from edgefool.runs import check_run, load_records

pytestmark = pytest.mark.usefixtures("no_figures")

DATA = Path(__file__).parent / "data" / "run-0.1.0"


@pytest.fixture
def home(tmp_path):
    """Return a copy of all that the run was made of; so its photos have moved."""
    shutil.copytree(DATA, tmp_path / "moved")
    return tmp_path / "moved"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def images(run: Path) -> dict[str, bytes]:
    return {name: data for name, data in everything(run).items() if name.endswith(".png") and "report/" not in name}


def test_the_same_plan_computes_nothing_and_gives_the_same_tables(home, edgefool):
    before = everything(home / "run")
    code, _, stderr = edgefool("run", home / "plan.toml", "--out", home / "run")
    assert code == 0
    assert "4 cells, 8 images, 0 of them to attack" in stderr
    after = everything(home / "run")
    kept = ("records.jsonl", "predictions.jsonl", "quality.jsonl", "cells.jsonl")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["sessions.jsonl"].startswith(before["sessions.jsonl"])
    assert images(home / "run") == {name: data for name, data in before.items() if name.endswith(".png")}
    tables = {name: data.decode() for name, data in before.items() if name.startswith("tables/")}
    assert len(tables) == 5
    assert {name: after[name].decode() for name in tables} == tables


def test_adding_a_method_computes_only_that(home, edgefool):
    before = everything(home / "run")
    with (home / "plan.toml").open("a") as file:
        file.write('\n[[methods]]\nname = "enhance"\n')
    code, _, stderr = edgefool("run", home / "plan.toml", "--out", home / "run")
    assert code == 0
    assert "6 cells, 12 images, 4 of them to attack" in stderr
    after = everything(home / "run")
    for name in ("records.jsonl", "predictions.jsonl", "quality.jsonl", "cells.jsonl"):
        assert after[name].startswith(before[name])
    records = load_records(home / "run")
    assert records["method"].value_counts().to_dict() == {"edgefool": 4, "nfgsm": 4, "enhance": 4}
    assert set(records.loc[records["method"] == "enhance", "source"]) == {"animals/cat.png", "coffee.png"}
    assert records["psnr"].notna().all()


def test_it_is_sound_and_a_check_changes_nothing(home, edgefool):
    before = everything(home)
    assert check_run(home / "run") == []
    assert edgefool("check", home / "run")[0] == 0
    assert everything(home) == before


def test_other_bytes_are_another_photo_unless_the_path_is_the_very_same(home, edgefool, make_photo):
    command = ("run", home / "plan.toml", "--out", home / "run")
    make_photo(home / "photos/coffee.png", 3)  # the photo of the run was at /data/photos/coffee.png
    code, _, stderr = edgefool(*command)
    assert code == 0
    assert "4 of them to attack" in stderr
    make_photo(home / "photos/coffee.png", 4)
    code, _, stderr = edgefool(*command)
    assert code == 2
    assert "coffee.png has changed since this run attacked it; name a new folder" in stderr


def test_tables_count_what_the_plan_holds_now(home, edgefool):
    text = (home / "plan.toml").read_text().replace('path = "photos"', 'path = "photos"\nlimit = 1')
    (home / "plan.toml").write_text(text)
    code, _, stderr = edgefool("run", home / "plan.toml", "--out", home / "run")
    assert code == 0
    assert "4 records" in stderr
    assert len(load_records(home / "run")) == 8  # they stay
    summary = (home / "run/tables/summary.csv").read_text().splitlines()
    assert [row.split(",")[3] for row in summary] == ["images", "1", "1", "1", "1"]


FUTURE = b'{"cell":"photos/edgefool/classifier-first","image":"cat","warmth":[1,2]'


@pytest.mark.parametrize(
    "command",
    [
        ("run", "{home}/plan.toml", "--out", "{home}/run"),
        ("attack", "{home}/photos", "--out", "{home}/run", "--classifier", "caltech101-resnet"),
        ("report", "{home}/run"),
        ("figure", "5", "{home}/run"),
        ("check", "{home}/run"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("kind", ["format", "line"])
def test_a_run_of_a_future_version_is_refused_and_no_byte_changes(home, edgefool, command, kind):
    if kind == "format":
        (home / "run/format.json").write_text('{"format": 7, "edgefool": "3.1.4"}')
        words = ["format 7", "3.1.4", "use edgefool 3.1.4 or newer"]
    else:
        (home / "run/format.json").write_text('{"format": 2, "edgefool": "3.1.4"}')
        with (home / "run/records.jsonl").open("ab") as file:
            file.write(FUTURE + b',"check":"%08x"}\n' % zlib.crc32(FUTURE + b"}"))
        words = ["line 9 of", "is intact", "format 2", "3.1.4", "use that version or a newer one"]
    before = everything(home)
    code, stdout, stderr = edgefool(*(part.format(home=home) for part in command))
    assert (code, stdout) == (1, "")
    assert all(word in stderr for word in words)
    assert stderr.count("error: ") == 1
    assert everything(home) == before


def test_a_plan_of_the_other_kind_of_folder_still_finds_its_photos(home, edgefool):
    """By a pattern, the keys are the same as by the folder."""
    text = (home / "plan.toml").read_text().replace('path = "photos"', 'path = "photos/**/*.png"')
    (home / "plan.toml").write_text(text)
    code, _, stderr = edgefool("run", home / "plan.toml", "--out", home / "run")
    assert code == 0
    assert "0 of them to attack" in stderr
