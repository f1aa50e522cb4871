"""Methods of another library in plans, runs and reports, and on the command line."""

import sys

import pytest

from edgefool.adapters import LIBRARIES, PeerAttack
from edgefool.errors import UsageError
from edgefool.experiments import Experiment, make_plan
from edgefool.report import load_results, make_tables, write_report
from edgefool.runs import RunFolder, load_records

pytest.importorskip("foolbox")

CONSTANTS = {"steps": 4, "epsilon": 0.3, "rel_stepsize": 0.3}


@pytest.fixture
def plan(settings):
    """Return a plan in which foolbox's PGD attacks an ensemble."""
    members = [entry | {"role": "judge"} for entry in settings["classifiers"]]
    both = {"label": "both", "members": ["first", "other"]}
    method = {"name": "foolbox:LinfPGD", "constants": CONSTANTS}
    return settings | {"classifiers": [*members, both], "methods": [method]}


@pytest.fixture
def without_foolbox(monkeypatch):
    """Return what makes foolbox disappear."""

    def remove():
        monkeypatch.setitem(sys.modules, "foolbox", None)
        monkeypatch.setattr(type(LIBRARIES["foolbox"]), "version", lambda _: None)

    return remove


def test_a_run_is_recorded_resumed_and_reported_without_the_library(carry_out, plan, without_foolbox, no_figures):
    done = carry_out(plan)
    records = load_records(done.run.path)
    assert set(records["cell"]) == {"pics/foolbox-LinfPGD/both"}
    assert records["error"].isna().all()
    assert records["success"].any()
    assert (records["forward_passes"] == 5 + 3).all()
    assert (records["backward_passes"] == 4).all()
    (cell,) = done.run.cells().values()
    assert cell.constants == CONSTANTS | {"foolbox": LIBRARIES["foolbox"].version()}
    assert not carry_out(plan).steps, "nothing is done twice"

    without_foolbox()
    results = load_results(done.run.path)
    tables = make_tables(results)
    assert set(tables["misleading"]["method"]) == {"foolbox:LinfPGD"}
    write_report(RunFolder(done.run.path), results, tables)
    page = (done.run.path / "report/index.html").read().decode()
    assert "foolbox:LinfPGD" in page
    with pytest.raises(UsageError, match=r"methods foolbox:... need foolbox: pip install foolbox"):
        carry_out(plan)


def test_another_version_is_another_cell(plan, monkeypatch):
    (cell,) = Experiment(make_plan(plan)).cells
    version = LIBRARIES["foolbox"].version()
    monkeypatch.setattr(type(LIBRARIES["foolbox"]), "version", lambda _: "99.0")
    (other,) = Experiment(make_plan(plan)).cells
    assert cell.id != other.id
    assert cell.differences(other) == [f"foolbox: {version} there, 99.0 now"]


def test_names_constants_and_ensembles_are_checked_before_the_run(plan):
    wrong = {"name": "foolbox:LinfPDG", "constants": CONSTANTS}
    with pytest.raises(UsageError, match="unknown attack of foolbox 'LinfPDG'; did you mean LinfPGD"):
        Experiment(make_plan(plan | {"methods": [wrong]}))
    with pytest.raises(UsageError, match="unknown field of foolbox:LinfPGD 'stepz'"):
        Experiment(make_plan(plan | {"methods": [{"name": "foolbox:LinfPGD", "constants": {"stepz": 3}}]}))
    three = {"name": plan["classifiers"][0]["name"].replace("factory", "three"), "label": "three"}
    both = {"label": "both", "members": ["first", "three"]}
    with pytest.raises(UsageError, match="members need the same number of classes, not 5 and 3"):
        Experiment(make_plan(plan | {"classifiers": [*plan["classifiers"][:2], three, both]}))


def test_the_estimate_takes_no_whole_attack(plan, monkeypatch):
    monkeypatch.setattr(PeerAttack, "step", None)
    experiment = Experiment(make_plan(plan))
    (seconds,) = experiment.seconds_per_image(experiment.jobs)
    assert seconds > 0


def test_the_command_line(tmp_path, tiny, make_photo, edgefool):
    photos = tmp_path / "photos"
    for seed in range(3):
        make_photo(photos / f"{seed}.png", seed)
    command = ["attack", photos, "--out", tmp_path / "run", "--classifier", f"{tiny}:factory", "--size", 32]
    method = ["--method", "foolbox:LinfPGD", "--set", "steps=4"]
    code, stdout, stderr = edgefool(*command, *method, "--set", "epsilon=0.1")
    assert (code, "3 photos fool" in stdout) == (0, True), stderr
    assert all(record.backward_passes == 4 for record in RunFolder(tmp_path / "run").records())
    before = (tmp_path / "run/records.jsonl").read_bytes()
    assert edgefool(*command, *method, "--set", "epsilon=0.1")[0] == 0
    assert (tmp_path / "run/records.jsonl").read_bytes() == before
    code, _, stderr = edgefool(*command, *method)
    assert (code, stderr.count("\n")) == (2, 1)
    assert "foolbox:LinfPGD needs the constant epsilon" in stderr


def test_libraries_are_listed_with_their_versions(edgefool, without_foolbox):
    installed = LIBRARIES["foolbox"].version()
    assert f"foolbox:NAME (foolbox {installed})" in edgefool("list", "methods")[1]
    without_foolbox()
    assert "foolbox:NAME (pip install foolbox)" in edgefool("list", "methods")[1]
