"""`edgefool report`, `edgefool figure` and `edgefool check`."""

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from edgefool.images import read_image
from edgefool.runs import RunFolder, load_records


@pytest.fixture(scope="session")
def attacked(tmp_path_factory, make_photo, classifier_source):
    """Return a run of EdgeFool on three photos, without measurements; some attacks succeed."""
    import contextlib
    import io

    from edgefool.cli import main

    home = tmp_path_factory.mktemp("attacked")
    (home / "classifier.py").write_text(classifier_source)
    photos = [str(make_photo(home / f"{seed}.png", seed)) for seed in range(3)]
    options = ["--classifier", f"{home}/classifier.py:factory", "--size", "32", "--set", "start=identity"]
    options += ["--set", "max_iterations=3", "--set", "tau=0.01", "--out", str(home / "run")]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        pytest.raises(SystemExit),
    ):
        main(["attack", *photos, *options])
    assert load_records(home / "run")["success"].any(), "the test needs an attack that succeeds"
    return home / "run"


@pytest.fixture
def run(attacked, tmp_path):
    return shutil.copytree(attacked, tmp_path / "run")


@pytest.mark.usefixtures("no_figures")
def test_report_of_an_attack(run, edgefool):
    code, stdout, _ = edgefool("report", run)
    assert code == 0
    assert stdout == f"report: {run}/report/index.html\n"
    page = (run / "report" / "index.html").read_text()
    assert "Transferability was not measured" in page
    misleading = pd.read_csv(run / "report" / "misleading.csv")
    assert misleading["misled"].item() == load_records(run)["success"].mean()


@pytest.mark.parametrize("number", [3, 5])
def test_figures_by_number(run, edgefool, number):
    code, stdout, _ = edgefool("figure", number, run)
    assert code == 0
    files = [run / "figures" / f"figure{number}.{kind}" for kind in ("pdf", "png")]
    assert stdout.splitlines() == [str(file) for file in files]
    assert files[0].read_bytes().startswith(b"%PDF")
    assert min(read_image(files[1]).shape[1:]) > 100


def test_figure_of_one_image(run, edgefool, tmp_path):
    successes = [record.image for record in RunFolder(run).records() if record.success]
    assert edgefool("figure", 3, run, "--image", successes[-1], "--out", tmp_path / "paper" / "one.svg")[0] == 0
    assert "<svg" in (tmp_path / "paper" / "one.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["figure", 7, "run"], "figure 7: the figures are 3, 4, 5, 6"),
        (["figure", 3, "run", "--image", "dog"], "'dog'"),
        (["figure", 5, "run", "--method", "edgefol"], "edgefool"),
        (["figure", 5, "run", "--image", "0"], "Fig. 5"),
        (["figure", 5, "run", "--out", "a.bmp"], "a.bmp"),
        (["figure", 5, "nowhere"], "nowhere is not a run folder"),
        (["report", "nowhere"], "nowhere is not a run folder"),
        (["check", "nowhere"], "nowhere is not a run folder"),
    ],
)
def test_wrong_usage_is_one_line(run, refuse, monkeypatch, arguments, message):
    monkeypatch.chdir(run.parent)
    refuse(*arguments, because=message)
    assert not (run.parent / "nowhere").exists()


@pytest.mark.usefixtures("no_figures")
def test_no_attack_succeeds(tmp_path, make_photo, edgefool, tiny, refuse):
    photo = make_photo(tmp_path / "cat.png")
    edgefool("attack", photo, "--classifier", f"{tiny}:stubborn", "--method", "nfgsm", "--out", tmp_path / "run")
    refuse("figure", 3, tmp_path / "run", because="EdgeFool")
    assert edgefool("report", tmp_path / "run")[0] == 0


# Checking


def test_a_sound_run(run, edgefool, snapshot):
    before = snapshot(run)
    assert edgefool("check", run) == (0, f"{run}: sound\n", "")
    assert snapshot(run) == before


def test_what_is_damaged_is_printed_and_left_alone(run, edgefool, snapshot):
    image, other = sorted((run / "originals/photos").glob("*.png"))[:2]
    image.unlink()
    other.write_bytes(other.read_bytes()[:-1] + b"?")
    with (run / "quality.jsonl").open("ab") as file:
        file.write(b"no line\n")
    before = snapshot(run)
    code, stdout, stderr = edgefool("check", run)
    assert (code, stderr) == (1, "")
    line, *images, verdict = stdout.splitlines()
    assert line == "line 4 of quality.jsonl is damaged"
    assert [text.rpartition(": ")[2] for text in sorted(images)] == [
        f"originals/photos/{image.name} is missing",
        f"originals/photos/{other.name} was changed",
    ]
    assert verdict == f"{run}: damaged"
    assert snapshot(run) == before


def test_names_in_a_damaged_run_do_not_reach_the_terminal_as_they_are(run, edgefool, tmp_path):
    (run / "records.jsonl").write_text("no line\n")
    code, stdout, _ = edgefool("check", run.rename(tmp_path / "r\x1b[31m"))
    assert code == 1
    assert all(text.isprintable() for text in stdout.splitlines())


def test_a_run_of_a_newer_format_is_refused(run, refuse, snapshot):
    (run / "format.json").write_text('{"format": 99, "edgefool": "9.0"}')
    before = snapshot(run)
    for command in (["check", run], ["report", run], ["figure", 5, run]):
        refuse(*command, because="format 99, last written by edgefool 9.0", code=1)
    assert snapshot(run) == before


@pytest.mark.slow
def test_a_figure_under_a_users_matplotlibrc(tmp_path, finished, edgefool):
    """By the command line of an environment that Jupyter started; all figures are tested in one process."""
    command = ["figure", 5, finished.run, "--out"]
    assert edgefool(*command, tmp_path / "here.svg")[0] == 0
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nsavefig.bbox: tight\nfigure.dpi: 20\n")
    jupyter = {
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    command = [sys.executable, "-m", "edgefool", *map(str, command), str(tmp_path / "there.svg")]
    done = subprocess.run(command, env={**os.environ, **jupyter}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "there.svg").read_bytes() == (tmp_path / "here.svg").read_bytes()
