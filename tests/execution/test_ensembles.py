"""Runs with ensembles, judges and criteria: what is recorded is what the classifiers say of the files."""

import pytest
import torch

from edgefool.images import read_image
from edgefool.report import detectability_latex, load_results, make_tables, write_report
from edgefool.runs import load_records, read_run

STRONG = {"epsilon": 0.2, "alpha": 0.02, "max_iterations": 20}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("ensembles")


@pytest.fixture(scope="module")
def plan(home, make_settings):
    """Return a plan that attacks one classifier and an ensemble; a judge belongs to no ensemble."""
    settings = make_settings(home)
    lines = ["file,label", *(f"{k}.png,{k % 5}" for k in range(6))]
    (home / "labels.csv").write_text("\n".join(lines))
    first, other = settings["classifiers"]
    return settings | {
        "datasets": [settings["datasets"][0] | {"labels": str(home / "labels.csv"), "num_classes": 5}],
        "classifiers": [
            first,
            other | {"role": "judge"},
            {"name": f"{home / 'classifier.py'}:three", "label": "three", "role": "judge"},
            {"label": "both", "members": ["first", "other"]},
        ],
        "methods": [
            {"name": "enhance"},
            {"name": "nfgsm", "constants": STRONG},
            {"name": "nfgsm", "label": "labelled", "constants": STRONG, "criterion": "labels"},
            {"name": "nfgsm", "label": "targeted", "constants": STRONG, "target": 2},
        ],
    }


@pytest.fixture(scope="module")
def done(home, plan, carry_out_in):
    return carry_out_in(home / "run", plan)


def test_records_say_what_each_classifier_says_of_the_files(done):
    experiment = done.state.experiment
    by_name = {classifier.name: classifier for classifier in experiment.classifiers["pics"]}
    cells = {cell.folder: cell for cell in done.state.cells}
    records = done.run.records()
    assert len(records) == 2 * 4 * 6
    seen = set()
    for record in records:
        members = ["first", "other"] if record.classifier == "both" else ["first"]
        before, after = (
            [int(by_name[m](read_image(done.run.image_path(kind, record))[None]).argmax()) for m in members]
            for kind in ("originals", record.kind)
        )
        if record.classifier == "both":
            assert record.original_class is None
            assert record.adversarial_name is None
            assert [member.classifier for member in record.members] == members
            assert [member.original_class for member in record.members] == before
            assert [member.adversarial_class for member in record.members] == after
        else:
            assert record.members is None
            assert [record.original_class] == before
            assert [record.adversarial_class] == after
        if record.method == "labelled":
            assert record.criterion == "labels"
            met = [all(k != record.label for k in classes) for classes in (before, after)]
        elif record.method == "targeted":
            assert record.criterion == "targeted"
            met = [all(k == 2 for k in classes) for classes in (before, after)]
        else:
            assert record.criterion is None
            met = [False, all(a != b for a, b in zip(after, before, strict=True))]
        assert [record.success_before, record.success] == met
        seen.add((record.classifier, record.method, record.success))
    assert {("both", "nfgsm", True), ("first", "labelled", True), ("first", "targeted", True)} <= seen
    assert cells["pics/nfgsm/both"].job.cell.members[1].classifier == "other"


def test_a_second_time_nothing_is_left_to_do(plan, done, carry_out_in):
    before = {name: (done.run.path / name).read() for name in ("records.jsonl", "predictions.jsonl")}
    again = carry_out_in(done.run.path, plan)
    assert again.steps == []
    assert {name: (done.run.path / name).read() for name in before} == before
    assert len(load_records(done.run.path)) == 48


def test_an_ensemble_is_a_source_and_its_members_and_judges_are_targets(done):
    tables = make_tables(load_results(done.run.path))
    transfer = tables["transferability"].set_index(["method", "classifier", "target"]).sort_index()
    pairs = {(source, target) for _, source, target in transfer.index}
    judges = ("first", "other", "three")
    assert pairs == {("both", judge) for judge in judges} | {("first", "other"), ("first", "three")}
    assert transfer.loc["nfgsm", "both"]["member"].to_dict() == {"first": True, "other": True, "three": False}
    assert transfer.loc["nfgsm", "both"]["source"].isna().all()
    decided = {
        (line.cell, line.image, line.classifier): line.predicted for line in read_run(done.run.path).predictions()
    }
    for (method, source, target), row in transfer.iterrows():
        changed = [
            decided[f"pics/{method}/{source}", str(k), target] != decided[None, str(k), target] for k in range(6)
        ]
        assert row["changed"] == pytest.approx(sum(changed) / 6)
    summary = tables["summary"].set_index(["method", "classifier"]).sort_index()
    # Members are not among those to which the attack of an ensemble transfers.
    assert summary.loc[("nfgsm", "both"), "transferred"] == transfer.loc[("nfgsm", "both", "three"), "changed"]


@pytest.mark.usefixtures("no_figures")
def test_each_member_detects_the_images_of_an_ensemble(done):
    """By its own scores and threshold."""
    results = load_results(done.run.path)
    tables = make_tables(results)
    table = tables["detectability"]
    scores = {(p.cell, p.classifier, p.image): p.scores for p in done.run.predictions()}
    for method, folder in (("nfgsm", "pics/nfgsm/both"), ("enhance", "pics/enhance/both")):
        mine = table[(table["classifier"] == "both") & (table["method"] == method)]
        shares = []
        for member in ("first", "other"):
            for squeezer in results.squeezers:
                before, after = ([scores[cell, member, str(k)][squeezer] for k in range(6)] for cell in (None, folder))
                (row,) = mine[(mine["member"] == member) & (mine["squeezer"] == squeezer)].to_dict("records")
                few = 6 * results.false_positive_rate
                threshold = min(score for score in before if sum(other > score for other in before) <= few)
                assert row["threshold"] == threshold
                assert row["detected"] == pytest.approx(sum(score > threshold for score in after) / 6)
                shares.append(row["detected"])
        whole = mine[mine["member"].isna()].set_index("squeezer")["detected"]
        assert list(whole.index) == ["joint", "mean"]
        assert whole["mean"] == pytest.approx(sum(shares) / len(shares))
        summary = tables["summary"].set_index(["method", "classifier"])["detected"]
        assert summary[method, "both"] == whole["mean"]
    assert table[table["classifier"] == "first"]["member"].isna().all()
    page = write_report(done.run, results, tables).read().decode()
    assert page.count("both (other)") == 1
    assert "both (other)" in detectability_latex(table)


def test_rates_are_over_all_images_and_over_those_that_were_right(done):
    table = make_tables(load_results(done.run.path))["misleading"].set_index(["method", "classifier"]).sort_index()
    records = load_records(done.run.path)
    for (method, classifier), row in table.iterrows():
        mine = records[(records["method"] == method) & (records["classifier"] == classifier)]
        assert row["misled"] == pytest.approx(mine["success"].mean())
        assert row["success_before"] == mine["success_before"].sum()
        rest = mine[~mine["success_before"]]["success"]
        assert row["misled_rest"] == pytest.approx(rest.mean(), nan_ok=True)
    assert table.loc[("labelled", "first"), "success_before"] > 0
    assert table.loc[("targeted", "first"), ["criterion", "target"]].tolist() == ["targeted", "2"]
    assert table.loc[("nfgsm", "both"), ["criterion", "target"]].tolist() == ["misclassification", ""]


def test_a_photo_without_label_is_an_error(tmp_path, plan, carry_out_in):
    (tmp_path / "labels.csv").write_text("file,label\n0.png,1\n")
    dataset = plan["datasets"][0] | {"labels": str(tmp_path / "labels.csv")}
    labelled = plan | {
        "datasets": [dataset],
        "classifiers": plan["classifiers"][:1],
        "methods": plan["methods"][2:3],
    }
    done = carry_out_in(tmp_path / "run", labelled)
    errors = {record.image: record.error for record in done.run.records()}
    assert errors.pop("0") is None
    assert len(errors) == 5
    assert all("has no label" in error for error in errors.values())


def test_the_classes_of_members_are_judged_once_by_argmax(done):
    """The judge's probabilities are those of each member's own logits."""
    record = next(r for r in done.run.records() if r.members)
    by_name = {c.name: c for c in done.state.experiment.classifiers["pics"]}
    image = read_image(done.run.image_path(record.kind, record))[None]
    for member in record.members:
        probabilities = by_name[member.classifier](image).softmax(1)[0]
        torch.testing.assert_close(torch.tensor(member.adversarial_probability), probabilities.max(), rtol=1e-5, atol=0)
        assert member.adversarial_name == by_name[member.classifier].classes[int(probabilities.argmax())]
