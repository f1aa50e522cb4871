"""`edgefool demo`, which runs the plan that comes with the package."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest
import tomli_w

from edgefool.attacks import METHODS
from edgefool.cli.run import DEMO_PLAN
from edgefool.datasets.demo import DEMO_PHOTOS
from edgefool.experiments import read_plan
from edgefool.runs import load_records

QUICK = {
    "enhance": {},
    "edgefool": {"max_iterations": 30, "tau": 1.0},
    "pfgsm": {"max_iterations": 2},
    "deepfool": {"max_iterations": 1, "candidates": 2},
    "semanticadv": {"trials": 2},
    "nfgsm": {"max_iterations": 2},
}
"""Hyper-parameters with which each method takes no time."""


def test_the_plan_compares_all_methods_but_the_slowest():
    plan = read_plan(DEMO_PLAN)
    assert [method.name for method in plan.methods] == [method.label for method in plan.methods]
    assert {method.name for method in plan.methods} == set(METHODS) - {"robust-edgefool", "cw", "sparsefool"}
    assert [(entry.name, entry.role) for entry in plan.classifiers] == [
        ("efficientnet-lite0", None),
        ("efficientnet-lite1", "judge"),
    ]
    assert {photo.name for photo in plan.datasets[0].find()} <= set(DEMO_PHOTOS)


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Make the demo quick and offline, with an empty cache."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be downloaded")

    monkeypatch.setattr("edgefool.classifiers.downloads.urlopen", fail)
    monkeypatch.setenv("EDGEFOOL_CACHE", str(tmp_path / "cache"))
    settings = tomllib.loads(DEMO_PLAN.read_text()) | {"size": 32, "squeezers": ["bits4"]}
    for method in settings["methods"]:
        method["constants"] = QUICK[method["name"]]
    (tmp_path / "quick.toml").write_text(tomli_w.dumps(settings))
    monkeypatch.setattr("edgefool.cli.run.DEMO_PLAN", tmp_path / "quick.toml")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("quick", "no_figures")
def test_demo_compares_the_methods_and_writes_a_page(edgefool):
    code, stdout, _ = edgefool("demo", "--three")
    assert code == 0
    assert f"report: {Path.cwd()}/edgefool-demo/report/index.html" in stdout
    assert all(method in stdout for method in QUICK)
    for name, rows in {"misleading": 6, "transferability": 6, "detectability": 6 * 3, "quality": 6}.items():
        table = pd.read_csv(f"edgefool-demo/tables/{name}.csv")
        assert len(table) == rows
        assert (table["images"] == 3).all()
    assert Path("edgefool-demo/report/figures/figure5.pdf").exists()
    frame = load_records("edgefool-demo")
    mine = frame[frame["success"] & (frame["cell"] == "demo/edgefool/efficientnet-lite0")]
    sheets = [path.stem for path in Path("edgefool-demo/contact_sheets").glob("*")]
    assert sorted(sheets) == sorted(mine["image"])
    assert sheets, "the test needs an attack that succeeds"
