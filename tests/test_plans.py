"""The plans of the repository are valid."""

from pathlib import Path

import pytest
from torch import nn

from edgefool.adapters import PeerAttack
from edgefool.attacks import METHODS, make_attack
from edgefool.errors import UsageError
from edgefool.experiments import Experiment, read_plan

PLANS = Path(__file__).parent.parent / "plans"


def test_there_are_five():
    names = {"demo.toml", "paper.toml", "imagenet_mini.toml", "transfer.toml", "peers.toml"}
    assert {path.name for path in PLANS.glob("*.toml")} == names


def test_the_demo_is_the_one_in_the_package():
    assert (PLANS / "demo.toml").read_bytes() == (PLANS.parent / "src/edgefool/cli/demo.toml").read_bytes()


def test_the_papers_plan(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGENET", str(tmp_path / "imagenet"))
    monkeypatch.setenv("PLACES365", str(tmp_path / "places"))
    plan = read_plan(PLANS / "paper.toml")
    paths = [[str(path) for path in dataset.paths] for dataset in plan.datasets]
    assert paths == [[str(tmp_path / "imagenet")], [str(tmp_path / "places")]]
    assert {method.name for method in plan.methods} == set(METHODS) - {"robust-edgefool"}
    constants = {method.name: method.constants for method in plan.methods if method.constants}
    earlier = {"sparsefool": {"growth": 0.0}, "cw": {"cut_late_searches": False}}
    assert constants == earlier, "runs of this plan by 0.1.0 must go on"
    assert not any(method.limit for method in plan.methods)
    datasets = [classifier.datasets for classifier in plan.classifiers]
    assert datasets == [("imagenet",)] * 3 + [("private-places365",)] * 3
    assert (plan.size, plan.false_positive_rate, len(plan.squeezers)) == (224, 0.05, 6)
    # Photos are looked for before anything is downloaded.
    (tmp_path / "imagenet").mkdir()
    with pytest.raises(UsageError, match="none of the 3,000 images is in"):
        Experiment(plan)
    monkeypatch.delenv("IMAGENET")
    with pytest.raises(UsageError, match=r"\$IMAGENET is not set in the environment"):
        read_plan(PLANS / "paper.toml")


def test_the_small_imagenet_plan():
    plan = read_plan(PLANS / "imagenet_mini.toml")
    shared = PLANS.parent.parent / "shared"
    (dataset,) = plan.datasets
    (path,) = dataset.paths
    assert (dataset.kind, str(path), dataset.limit) == ("imagenet", str(shared / "images/imagenet_val"), 100)
    assert {classifier.weights.parent for classifier in plan.classifiers} == {shared / "classifiers"}
    assert plan.lpips.weights == shared / "classifiers/squeezenet1_1.safetensors"
    assert {method.name for method in plan.methods} == set(METHODS) - {"robust-edgefool"}


def test_the_plan_of_transfer():
    plan = read_plan(PLANS / "transfer.toml")
    attacked = [entry.title for entry in (*plan.networks, *plan.ensembles) if getattr(entry, "role", None) is None]
    assert attacked == ["resnet50", "three", "offline"]
    used = {member.title for ensemble in plan.ensembles for member in plan.members(ensemble)} | {"resnet50"}
    judges = {entry.title for entry in plan.networks} - used
    assert judges == {"resnet18", "mobilenet_v1", "mobilenet_v2", "efficientnet-lite2"}
    strengths = {method.constants.get("strength", 7.0) for method in plan.methods if method.name == "robust-edgefool"}
    nulls = {method.constants["v3"] for method in plan.methods if method.name == "enhance"}
    assert strengths == nulls, "each strength has its null method"
    assert (plan.seed, [dataset.limit for dataset in plan.datasets]) == (0, [100])
    assert set(plan.robustness) >= {"jpeg50", "half", "social"}
    assert set(plan.squeezers) >= {"bits4", "median2", "median3"}
    steps = {method.constants.get("max_iterations", 30) for method in plan.methods if method.name == "robust-edgefool"}
    passes = {
        method.name: method.constants["steps"]
        * method.constants.get("num_scale", method.constants.get("num_spectrum", 1))
        for method in plan.methods
        if method.name.startswith("torchattack:")
    }
    assert passes == dict.fromkeys(("torchattack:DIFGSM", "torchattack:BSR", "torchattack:SSA"), *steps), "equal passes"


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("transfer", "torchattack"),
        *(("peers", prefix) for prefix in ("foolbox", "torchattacks", "torchattack", "adv-lib")),
    ],
)
def test_the_plans_name_attacks_of_others_that_exist(name, prefix):
    plan = read_plan(PLANS / f"{name}.toml")
    attacks = [make_attack(method.name, method.constants) for method in plan.methods]
    peers = [attack for attack in attacks if isinstance(attack, PeerAttack) and attack.library.prefix == prefix]
    assert peers
    for peer in peers:
        pytest.importorskip(peer.library.module)
        peer.check(nn.Identity())
