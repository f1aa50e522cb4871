"""Robustness and semantic groups on the command line: asked for, kept in the run, and refused in one line."""

import pandas as pd
import pytest

from edgefool.runs import RunFolder


@pytest.fixture
def groups(tmp_path):
    """Return a file of groups for the five classes of the tiny classifiers."""
    file = tmp_path / "groups.csv"
    file.write_text("class,group,hypernyms\n0,low,all > low\n1,low,all > low\n2,high,all > high\n3,high,all > high\n")
    return file


@pytest.mark.usefixtures("no_figures")
def test_attack_prints_and_keeps_both(tmp_path, make_photo, attack, edgefool, groups):
    photos = [make_photo(tmp_path / "photos" / f"{seed}.png", seed) for seed in range(4)]
    options = ("--out", tmp_path / "run", "--groups", groups, "--robustness", "jpeg75, half")
    code, stdout, _ = attack(*photos, *options)
    assert code == 0
    run = RunFolder(tmp_path / "run")
    assert [len(line.groups.names) for line in run.groups()] == [2]
    assert {name for line in run.transformed() for name in line.classes} == {"jpeg75", "half"}
    words = [line.split() for line in stdout.splitlines()]
    assert [found[:2] for found in words if found[0] in ("jpeg75", "half", "mean")] == [
        ["jpeg75", "4"],
        ["half", "4"],
        ["mean", "4"],
    ]
    groups.unlink()
    assert edgefool("report", tmp_path / "run")[0] == 0
    semantics = pd.read_csv(tmp_path / "run/report/semantics.csv")
    records = [record for record in run.records() if record.original_class != 4]
    left = [
        (record.original_class < 2) != (record.adversarial_class < 2) or record.adversarial_class == 4
        for record in records
    ]
    assert semantics["images"].tolist() == [len(records)]
    assert semantics["left_group"].tolist() == [pytest.approx(sum(left) / len(left))]
    assert f"{sum(left)} of {len(left)} photos left their semantic group" in stdout
    page = (tmp_path / "run/report/index.html").read_text()
    assert 'href="semantics.csv"' in page
    assert "Robustness to transformations" in page


def test_other_groups_replace_those_in_the_run_without_an_attack(tmp_path, make_photo, attack, groups):
    photo = make_photo(tmp_path / "cat.png")
    attack(photo, "--out", tmp_path / "run", "--groups", groups)
    groups.write_text("class,group\n0,only\n")
    assert attack(photo, "--out", tmp_path / "run", "--groups", groups)[0] == 0
    (line,) = RunFolder(tmp_path / "run").groups()
    assert line.groups.names == ("only",)
    assert len(RunFolder(tmp_path / "run").records()) == 1


def test_evaluate_measures_images_of_other_tools(tmp_path, make_photo, edgefool, tiny, groups):
    for seed in range(3):
        make_photo(tmp_path / "clean" / f"{seed}.png", seed)
        make_photo(tmp_path / "other" / f"{seed}.png", seed + 10)
    classifiers = [part for name in ("factory", "other") for part in ("--classifier", f"{tiny}:{name}")]
    options = ("--out", tmp_path / "tables", "--groups", groups, "--robustness", "all")
    code, stdout, _ = edgefool("evaluate", tmp_path / "clean", tmp_path / "other", *classifiers, *options)
    assert code == 0
    table = pd.read_csv(tmp_path / "tables/robustness.csv")
    assert len(table) == 2 * 2 * 10  # attacked classifiers, judges, transformations and their mean
    assert (table["images"] == 3).all()
    assert table["left_group"].notna().any()
    semantics = pd.read_csv(tmp_path / "tables/semantics.csv")
    assert semantics["target"].tolist() == [f"classifier-{name}" for name in ("factory", "other", "other", "factory")]
    summary = pd.read_csv(tmp_path / "tables/summary.csv")
    means = table[(table["transformation"] == "mean") & (table["target"] == table["classifier"])]
    assert summary["robust"].tolist() == pytest.approx(means["changed"].tolist())
    assert "leaves group" in stdout
    assert "robust" in stdout


@pytest.mark.slow
def test_a_plan_asks_for_both(tmp_path, settings, run_plan, groups):
    first, other = settings["classifiers"]
    plan = settings | {
        "robustness": ["jpeg75"],
        "classifiers": [first | {"groups": "groups.csv"}, other | {"role": "judge"}],
    }
    assert run_plan(plan)[0] == 0
    table = pd.read_csv(tmp_path / "run/tables/robustness.csv")
    assert table.groupby("method")["target"].unique().map(list).to_dict() == {
        "enhance": ["first", "other"],
        "deepfool": ["first", "other"],
    }
    deepfool = table[table["method"] == "deepfool"]
    assert deepfool["null"].notna().all()
    assert pd.read_csv(tmp_path / "run/tables/semantics.csv")["target"].tolist() == ["first", "first"]


@pytest.mark.parametrize(
    ("options", "because"),
    [
        (("--robustness", "jpg75"), "unknown transformation 'jpg75'; did you mean jpeg75"),
        (("--robustness", "half,"), "unknown transformation ''"),
        (("--groups", "gone.csv"), "cannot read"),
        (("--groups", "{bad}"), "line 2: the classifier has the classes 0 to 4, not 7"),
    ],
)
def test_what_is_refused(tmp_path, make_photo, tiny, refuse, options, because):
    bad = tmp_path / "bad.csv"
    bad.write_text("class,group\n7,x\n")
    options = [option.format(bad=bad) for option in options]
    photo = make_photo(tmp_path / "cat.png")
    command = ("attack", photo, "--out", tmp_path / "run", "--classifier", f"{tiny}:factory", "--size", 32)
    refuse(*command, *options, because=because)


def test_a_plan_with_an_unknown_transformation(settings, run_plan):
    code, _, stderr = run_plan(settings | {"robustness": ["jpg75"]})
    assert code == 2
    assert "unknown transformation 'jpg75'; did you mean jpeg75" in stderr
    code, _, stderr = run_plan(settings | {"robustness": ["half", "half"]})
    assert "transformation 'half' occurs twice" in stderr
