"""A plan with all that it names: found, fitting, or refused with a reason."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from edgefool.attacks import DeepFool
from edgefool.classifiers.vision import torchvision
from edgefool.datasets import paper_subset
from edgefool.errors import UsageError
from edgefool.experiments import Experiment, make_plan
from edgefool.metrics import Lpips


def test_every_method_attacks_every_classifier_of_every_dataset(tmp_path, tiny, album, settings):
    shutil.copytree(album, tmp_path / "more")
    settings["datasets"].append({"kind": "folder", "name": "more", "path": str(tmp_path / "more"), "limit": 2})
    settings["classifiers"] += [
        {"name": f"{tiny}:three", "datasets": ["more"]},
        {"name": f"{tiny}:stubborn", "datasets": ["pics"], "label": "last"},
    ]
    settings["methods"][1]["limit"] = 5
    experiment = Experiment(make_plan(settings))
    assert {name: [p.name for p in photos] for name, photos in experiment.photos.items()} == {
        "pics": list("012345"),
        "more": list("01"),
    }
    assert [(cell.dataset, cell.classifier, cell.label) for cell in experiment.cells] == [
        (dataset, classifier, method)
        for dataset, classifiers in (
            ("pics", ("first", "other", "last")),
            ("more", ("first", "other", "classifier-three")),
        )
        for classifier in classifiers
        for method in ("enhance", "deepfool")
    ]
    assert [job.limit for job in experiment.jobs] == [None, 5] * 6
    for job in experiment.jobs:
        assert job.cell.fingerprint == job.classifier.fingerprint
        assert job.cell.num_classes == job.classifier.num_classes
        assert (job.cell.size, job.cell.seed, job.cell.method) == (32, 0, job.attack.name)
    assert experiment.jobs[1].attack == DeepFool(max_iterations=3)
    assert experiment.cells[1].constants["max_iterations"] == 3
    assert set(experiment.cells[1].constants) > {"max_iterations"}, (
        "constants left at their defaults belong to the cell"
    )
    assert len({cell.id for cell in experiment.cells}) == 12
    assert experiment.lpips is None


def entry(settings, what, **changes):
    return settings | {what: [settings[what][0] | changes, *settings[what][1:]]}


WRONG = {
    "no folder": (lambda s, _: entry(s, "datasets", path="gone"), "/gone'"),
    "no images": (lambda s, tmp: entry(s, "datasets", path=str(tmp / "empty")), "no image files in the folder"),
    "no labels": (lambda s, _: entry(s, "datasets", labels="gone.csv", num_classes=5), "/gone.csv'"),
    "no factory": (lambda s, _: entry(s, "classifiers", name="gone.py:net"), "/gone.py"),
    "no classifier": (lambda s, _: entry(s, "classifiers", name="resnet5"), "unknown classifier 'resnet5'; did you"),
    "no weights": (lambda s, _: entry(s, "classifiers", name="resnet18", weights="gone.pth"), "gone.pth"),
    "no class names": (lambda s, _: entry(s, "classifiers", classes="gone.txt"), "/gone.txt"),
    "one classifier twice": (
        lambda s, _: entry(s, "classifiers", name=s["classifiers"][1]["name"]),
        "the classifiers first and other are the same",
    ),
    "one label twice": (lambda s, _: entry(s, "classifiers", label="OTHER"), "two classifiers are called other; give"),
    "a dataset without classifier": (
        lambda s, _: s | {"classifiers": [c | {"datasets": []} for c in s["classifiers"]]},
        "no classifier of the plan is for the dataset pics",
    ),
    "one method twice": (
        lambda s, _: s | {"methods": [*s["methods"], {"name": "enhance", "label": "again"}]},
        "the methods enhance and again are the same",
    ),
    "no weights for LPIPS": (
        lambda s, _: s | {"lpips": {"backbone": "vgg"}},
        "lpips: the backbone vgg needs a file with its weights",
    ),
    "no file with weights for LPIPS": (lambda s, _: s | {"lpips": {"weights": "gone.pth"}}, "gone.pth"),
    "images of a list": (
        lambda s, tmp: s | {"datasets": [{"kind": "imagenet", "path": str(tmp / "album")}]},
        "imagenet: none of the 3,000 images is in",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_missing_or_does_not_fit_is_refused(tmp_path, settings, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    change, message = WRONG[case]
    with pytest.raises(UsageError) as error:
        Experiment(make_plan(change(settings, tmp_path)))
    assert message in str(error.value)


def test_missing_images_of_a_list_are_passed_over_if_asked(tmp_path, settings, make_photo):
    for stem in paper_subset()[:3]:
        make_photo(tmp_path / "val" / f"{stem}.png")
    plan = make_plan(settings | {"datasets": [{"kind": "imagenet", "path": str(tmp_path)}]})
    with pytest.raises(UsageError, match="2,997 of 3,000 images are missing"):
        Experiment(plan)
    experiment = Experiment(plan, allow_missing=True)
    assert [photo.name for photo in experiment.photos["imagenet"]] == paper_subset()[:3]
    assert all(photo.label is not None for photo in experiment.photos["imagenet"])


# Warnings


def test_labels_that_do_not_fit_are_reported(tiny, album, settings):
    (album / "labels.csv").write_text("file,label\n0.png,2\n")
    labelled = entry(settings, "datasets", labels=str(album / "labels.csv"), num_classes=3)
    labelled["classifiers"] = [*settings["classifiers"], {"name": f"{tiny}:three"}]
    assert Experiment(make_plan(labelled)).warnings() == [
        f"pics has labels of 3 classes, {name} has 5: not compared with the ground truth" for name in ("first", "other")
    ]


@pytest.mark.parametrize(("rate", "few"), [(0.17, False), (0.16, True), (0.05, True), (0, True)])
def test_too_few_photos_for_a_threshold_are_reported(settings, rate, few):
    """Of six photos one may lie above the threshold if the rate is a sixth or more."""
    warnings = Experiment(make_plan(settings | {"false_positive_rate": rate})).warnings()
    assert len(warnings) == few
    assert not few or warnings[0].startswith(f"pics has 6 photos, too few for {rate:.0%} false positives")


# Estimates


@pytest.mark.parametrize("size", [32, "native"])
def test_each_attack_is_timed_once_for_each_classifier(tmp_path, album, settings, size, monkeypatch):
    shutil.copytree(album, tmp_path / "more")
    settings["datasets"].append({"kind": "folder", "name": "more", "path": str(tmp_path / "more")})
    experiment = Experiment(make_plan(settings | {"size": size}))
    shapes, begin = [], DeepFool.begin

    def count(self, classifier, images, seeds):
        shapes.append(tuple(images.shape))
        return begin(self, classifier, images, seeds)

    monkeypatch.setattr(DeepFool, "begin", count)
    state = torch.get_rng_state()
    costs = experiment.seconds_per_image(experiment.jobs)
    assert (
        shapes == [(1, 3, 224, 224) if size == "native" else (1, 3, 32, 32)] * 4
    )  # the first of two is for warming up
    assert len(costs) == 8
    assert costs[:4] == costs[4:]
    assert min(costs) > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert experiment.seconds_per_image([]) == []


@pytest.mark.parametrize("size", [40, 48])
def test_no_estimate_for_a_classifier_that_fails(tiny, settings, size):
    choosy = entry(settings, "classifiers", name=f"{tiny}:choosy")
    costs = [
        cost > 0
        for experiment in [Experiment(make_plan(choosy | {"size": size}))]
        for cost in experiment.seconds_per_image(experiment.jobs)
    ]
    assert costs == [False, False, True, True]


# LPIPS


def test_lpips_by_weights_of_a_file(tmp_path, settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    save_file(state, tmp_path / "squeezenet.safetensors")
    entries = {"backbone": "squeeze", "weights": str(tmp_path / "squeezenet.safetensors")}
    experiment = Experiment(make_plan(settings | {"lpips": entries}))
    images = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(experiment.lpips(*images), Lpips("squeeze", state)(*images))
    with pytest.raises(UsageError, match="weights do not fit alexnet"):
        Experiment(make_plan(settings | {"lpips": entries | {"backbone": "alex"}}))


def test_the_groups_that_an_attack_aims_at_belong_to_its_cell(tmp_path, settings):
    names = ["enhance", "robust-edgefool", "cw"]
    settings["methods"] = [{"name": name} for name in names] + [
        {"name": "robust-edgefool", "label": "by class", "constants": {"aim": "class"}},
        {"name": "cw", "label": "by group", "constants": {"aim": "group"}},
    ]

    def ids(text):
        (tmp_path / "groups.csv").write_text(text)
        plan = make_plan(entry(settings, "classifiers", groups=str(tmp_path / "groups.csv")))
        return {cell.label: cell.id for cell in Experiment(plan).cells if cell.classifier == "first"}

    some, others = ids("class,group\n0,a\n1,b\n"), ids("class,group\n0,a\n1,a\n")
    renamed = ids("class,group\n0,x\n1,y\n")
    assert {label for label in some if some[label] != others[label]} == {"robust-edgefool", "by group"}
    assert some == renamed, "names of groups change no result"
