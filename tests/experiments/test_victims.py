"""What a plan attacks: classifiers, ensembles and no judges; and criteria that fit."""

import tomllib

import pytest

from edgefool.attacks import FromLabels, Misclassification, Targeted
from edgefool.classifiers import Ensemble
from edgefool.errors import UsageError
from edgefool.experiments import Experiment, make_plan

NFGSM = {"name": "nfgsm"}


@pytest.fixture
def plan(settings, tiny, tmp_path):
    """Return a plan with two attacked classifiers, a judge and an ensemble, and labels of five classes."""
    lines = ["file,label", *(f"{k}.png,{k % 5}" for k in range(6))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    dataset = settings["datasets"][0] | {"labels": str(tmp_path / "labels.csv"), "num_classes": 5}
    judge = {"name": f"{tiny}:three", "label": "judge", "role": "judge"}
    ensemble = {"label": "both", "members": ["first", "judge"]}
    return settings | {
        "datasets": [dataset],
        "classifiers": [*settings["classifiers"], judge, ensemble],
        "methods": [NFGSM],
    }


def with_method(plan, **method):
    return plan | {"methods": [NFGSM | method]}


def test_judges_are_not_attacked_and_ensembles_are(plan):
    experiment = Experiment(make_plan(plan))
    assert [c.name for c in experiment.classifiers["pics"]] == ["first", "other", "judge"]
    assert [cell.classifier for cell in experiment.cells] == ["first", "other", "both"]
    both = experiment.jobs[2]
    assert isinstance(both.classifier, Ensemble)
    first, _, judge = experiment.classifiers["pics"]
    assert list(both.classifier.members) == [first, judge]
    assert both.cell.num_classes == 0  # of 5 and 3
    assert [(m.classifier, m.fingerprint, m.num_classes) for m in both.cell.members] == [
        ("first", first.fingerprint, 5),
        ("judge", judge.fingerprint, 3),
    ]
    assert experiment.cells[0].members == ()


def test_a_plan_survives_its_file(plan):
    plan = make_plan(with_method(plan, label="x", target="2"))
    assert make_plan(tomllib.loads(plan.to_toml())) == plan


def test_methods_that_name_what_they_attack(plan):
    """So one plan holds ensembles, and methods that attack single classifiers only."""
    methods = [NFGSM, {"name": "deepfool", "classifiers": ["other", "first"]}, {"name": "cw", "classifiers": ["both"]}]
    made = make_plan(plan | {"methods": methods})
    cells = Experiment(made).cells
    assert [(cell.classifier, cell.method) for cell in cells] == [
        ("first", "nfgsm"),
        ("first", "deepfool"),
        ("other", "nfgsm"),
        ("other", "deepfool"),
        ("both", "nfgsm"),
        ("both", "cw"),
    ]
    everything = {cell.id for cell in Experiment(make_plan(plan | {"methods": [NFGSM]})).cells}
    assert everything == {cell.id for cell in cells if cell.method == "nfgsm"}, "the same cells as without"
    assert make_plan(tomllib.loads(made.to_toml())) == made


def test_an_ensemble_is_for_the_datasets_of_all_its_members(plan, album):
    more = {"kind": "folder", "name": "more", "path": str(album)}
    first, other, judge, both = plan["classifiers"]
    plan = plan | {
        "datasets": [*plan["datasets"], more],
        "classifiers": [first, other, judge | {"datasets": ["pics"]}, both],
    }
    cells = Experiment(make_plan(plan)).cells
    assert [(cell.dataset, cell.classifier) for cell in cells if cell.members] == [("pics", "both")]


def test_criteria_become_those_of_the_cells(plan):
    methods = [
        NFGSM,
        NFGSM | {"label": "to 2", "target": 2},
        NFGSM | {"label": "to 2 by name", "target": "2"},
    ]
    plain, targeted, *_ = [
        cell for cell in Experiment(make_plan(plan | {"methods": methods[:2]})).cells if cell.members
    ]
    assert plain.criterion_for(1) == Misclassification()
    assert targeted.criterion_for(1) == Targeted([[2, 2]])
    assert plain.id != targeted.id
    (by_name,) = [cell for cell in Experiment(make_plan(plan | {"methods": methods[2:]})).cells if cell.members]
    assert by_name.id == targeted.id
    labelled = plan | {"classifiers": plan["classifiers"][:2], "methods": [NFGSM | {"criterion": "labels"}]}
    assert Experiment(make_plan(labelled)).cells[0].criterion_for(1) == FromLabels(1)


def change(plan, entry, **changes):
    classifiers = list(plan["classifiers"])
    classifiers[entry] = classifiers[entry] | changes
    return plan | {"classifiers": classifiers}


WRONG = {
    "unknown member": (
        lambda p: change(p, 3, members=["first", "jude"]),
        "unknown member of the ensemble both 'jude'; did",
    ),
    "itself": (lambda p: change(p, 3, members=["first", "both"]), "unknown member of the ensemble both 'both'"),
    "one member": (lambda p: change(p, 3, members=["first"]), "classifiers.3.members: Tuple should have at least 2"),
    "one twice": (lambda p: change(p, 3, members=["first", "first"]), "a member of the ensemble both occurs twice"),
    "no label": (lambda p: p | {"classifiers": [{"members": ["a", "b"]}]}, "classifiers.0.label: Field required"),
    "weights": (lambda p: change(p, 3, weights="a.pt"), "classifiers.3.weights"),
    "the label of another": (lambda p: change(p, 3, label="other"), "two classifiers are called other"),
    "another role": (lambda p: change(p, 2, role="jury"), "classifiers.2.role"),
    "judges alone": (lambda p: p | {"classifiers": [p["classifiers"][2]]}, "nothing is attacked on the dataset pics"),
    "not of the dataset": (
        lambda p: change(change(p, 2, datasets=[]), 3, datasets=["pics"]),
        "the ensemble both is for pics, but its member judge is not",
    ),
    "deepfool": (lambda p: with_method(p, name="deepfool"), "deepfool attacks one classifier, not an ensemble"),
    "sparsefool": (lambda p: with_method(p, name="sparsefool"), "sparsefool attacks one classifier, not an ensemble"),
    "deepfool beside an ensemble": (
        lambda p: with_method(p, name="deepfool"),
        'not an ensemble; name what it attacks in its entry: classifiers = ["first", "other"]',
    ),
    "deepfool on an ensemble by name": (
        lambda p: with_method(p, name="deepfool", classifiers=["both"]),
        "deepfool attacks one classifier, not an ensemble",
    ),
    "an unknown classifier": (
        lambda p: with_method(p, classifiers=["fist"]),
        "unknown classifier of the method nfgsm 'fist'; did you mean first",
    ),
    "a judge": (lambda p: with_method(p, classifiers=["judge"]), "the method nfgsm names judge, a judge, which is not"),
    "a classifier twice": (
        lambda p: with_method(p, classifiers=["first", "first"]),
        "a classifier of the method nfgsm occurs twice",
    ),
    "no classifier": (lambda p: with_method(p, classifiers=[]), "methods.0.classifiers: Tuple should have at least 1"),
    "none of a dataset": (
        lambda p: change(with_method(p, classifiers=["first"]), 0, datasets=[]),
        "nothing is attacked on the dataset pics: no method names a classifier of it",
    ),
    "targeted enhance": (lambda p: with_method(p, name="enhance", target=1), "enhance cannot be targeted"),
    "no such class": (lambda p: with_method(p, target=4), "judge has the classes 0 to 2, not 4"),
    "no such name": (lambda p: with_method(p, target="zebra"), "unknown class of first 'zebra'"),
    "both": (lambda p: with_method(p, target=1, criterion="labels"), "are mutually exclusive"),
    "other labels": (
        lambda p: with_method(p, criterion="labels"),
        "nfgsm is judged by labels: those of pics are of 5 classes, judge has 3",
    ),
    "no labels": (
        lambda p: (
            with_method(p, criterion="labels")
            | {"datasets": [{**p["datasets"][0], "labels": None, "num_classes": None}]}
        ),
        "nfgsm is judged by labels, and pics has none",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(plan, case):
    alter, message = WRONG[case]
    with pytest.raises(UsageError) as error:
        Experiment(make_plan(alter(plan)))
    assert message in str(error.value)


def test_a_class_name_that_occurs_twice_needs_an_index(plan, tmp_path):
    (tmp_path / "names.txt").write_text("crane\nMaillot\ncrane\ncat\ndog\n")
    plan = plan | {"classifiers": [plan["classifiers"][0] | {"classes": str(tmp_path / "names.txt")}]}
    assert Experiment(make_plan(with_method(plan, target="maillot"))).cells[0].targets == (1,)
    with pytest.raises(UsageError, match="several classes named 'crane'; use an index: 0, 2"):
        Experiment(make_plan(with_method(plan, target="crane")))
