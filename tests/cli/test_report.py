"""`edgefool report` and `edgefool figure`."""

import pandas as pd
import pytest

from edgefool.images import read_image
from edgefool.runs import RunFolder, load_records


@pytest.fixture
def run(tmp_path, make_photo, attack):
    """Return a run of EdgeFool on three photos, without measures; some mislead."""
    photos = [make_photo(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    assert attack(*photos, "--out", tmp_path / "run")[0] == 0
    assert load_records(tmp_path / "run")["success"].any()
    return tmp_path / "run"


def test_report_of_an_attack(run, edgefool):
    code, stdout, _ = edgefool("report", run)
    assert code == 0
    assert stdout == f"report: {run}/report/index.html\n"
    page = (run / "report" / "index.html").read_text()
    assert "Transferability was not measured" in page
    assert "edgefool attack" in page or "pytest" in page, "the command"
    misleading = pd.read_csv(run / "report" / "misleading.csv")
    assert misleading["misled"].item() == load_records(run)["success"].mean()


@pytest.mark.parametrize("number", [3, 4, 5, 6])
def test_figures_by_number(run, edgefool, tmp_path, number):
    code, stdout, _ = edgefool("figure", number, run)
    assert code == 0
    files = [run / "figures" / f"figure{number}.{kind}" for kind in ("pdf", "png")]
    assert stdout.splitlines() == [str(file) for file in files]
    assert files[0].read_bytes().startswith(b"%PDF")
    assert min(read_image(files[1]).shape[1:]) > 100
    again = files[0].read_bytes()
    assert edgefool("figure", number, run)[0] == 0
    assert files[0].read_bytes() == again, "the same run gives the same file"
    assert edgefool("figure", number, run, "--out", tmp_path / "paper" / "one.svg")[0] == 0
    assert "<svg" in (tmp_path / "paper" / "one.svg").read_text()


def test_figure_of_one_image(run, edgefool, tmp_path):
    misled = [record.image for record in RunFolder(run).records() if record.success]
    assert edgefool("figure", 3, run, "--image", misled[-1], "--out", tmp_path / "a.png")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["figure", 7, "run"], "figure 7: the figures are 3, 4, 5, 6"),
        (["figure", 3, "run", "--image", "dog"], "'dog'"),
        (["figure", 5, "run", "--method", "edgefol"], "edgefool"),
        (["figure", 5, "run", "--image", "0"], "leave --image out"),
        (["figure", 5, "run", "--out", "a.bmp"], "a.bmp: a figure is a file .pdf, .png, .svg"),
        (["figure", 5, "nowhere"], "nowhere is not a run folder"),
        (["report", "nowhere"], "nowhere is not a run folder"),
        (["report", "run", "--images", "-1"], "--images"),
    ],
)
def test_wrong_usage_in_one_line(run, edgefool, monkeypatch, arguments, complaint):
    monkeypatch.chdir(run.parent)
    code, stdout, stderr = edgefool(*arguments)
    assert code == 2
    assert stdout == ""
    assert len(stderr.splitlines()) == 1
    assert complaint in stderr
    assert not (run.parent / "nowhere").exists()


def test_no_image_misleads(tmp_path, make_photo, edgefool, tiny):
    photo = make_photo(tmp_path / "cat.png")
    edgefool("attack", photo, "--classifier", f"{tiny}:stubborn", "--method", "nfgsm", "--out", tmp_path / "run")
    code, _, stderr = edgefool("figure", 3, tmp_path / "run")
    assert code == 2
    assert "no such image of EdgeFool misleads" in stderr
    assert edgefool("report", tmp_path / "run")[0] == 0
