"""What is allowed in a plan, and that it survives the file."""

import math
from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgefool.attacks import EdgeFool
from edgefool.errors import RunError, UsageError
from edgefool.experiments import Plan, make_attack

PLAN = Plan(
    method="edgefool", constants=asdict(EdgeFool()), classifier="resnet18", fingerprint="ab" * 32, size=224, seed=0
)


def changed(**settings: object) -> Plan:
    return Plan.model_validate(PLAN.model_dump() | settings)


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from([16, 10_000, "native"]),
    st.integers(-(2**70), 2**70),
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from(["a", "1", "true"])),
    ),
)
def test_file_gives_the_plan_back(tmp_path_factory, classifier, size, seed, constants):
    plan = changed(classifier=classifier, size=size, seed=seed, constants=constants)
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_bytes(plan.to_toml().encode())
    again = Plan.read(path)
    assert again == plan
    assert [type(value) for value in again.constants.values()] == [type(value) for value in constants.values()]


def test_differences_name_both_values():
    other = changed(size="native", seed=3, constants=asdict(EdgeFool(kappa=math.inf)))
    assert PLAN.differences(other) == [
        "size: 224 there, native now",
        "seed: 0 there, 3 now",
        "kappa: 0.0 there, inf now",
    ]
    assert PLAN.differences(changed()) == []


@pytest.mark.parametrize("size", [15, 10_001, 0, -1, "large", None, 30.5])
def test_size_out_of_range(size):
    with pytest.raises(ValidationError):
        changed(size=size)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "cannot read the plan|is damaged"),
        (lambda text: "", "is damaged: method: Field required"),
        (lambda text: text.replace("size = 224", "size = 5"), "is damaged: size"),
        (lambda text: "colour = 1\n" + text, "is damaged: colour"),
        (lambda text: text.replace("size = 224", "size = = 5"), "cannot read the plan"),
        (lambda text: "\0" * len(text), "cannot read the plan"),
    ],
)
def test_damaged_file(tmp_path, damage, message):
    path = tmp_path / "plan.toml"
    path.write_text(damage(PLAN.to_toml()))
    with pytest.raises(RunError, match=message) as caught:
        Plan.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_is_not_text_or_not_there(tmp_path):
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "plan.toml", tmp_path / "none.toml", tmp_path):
        with pytest.raises(RunError, match="cannot read the plan"):
            Plan.read(path)


def test_attack_from_strings():
    attack = make_attack("edgefool", {"alpha": "5", "max_iterations": "7", "guide": "true", "kappa": "inf"})
    assert attack == EdgeFool(alpha=5.0, max_iterations=7, guide=True, kappa=math.inf)
    assert make_attack("edgefool", {}) == EdgeFool()


@pytest.mark.parametrize(
    ("method", "constants", "message"),
    [
        ("edgefol", {}, "unknown method 'edgefol'; did you mean edgefool"),
        ("x", {}, "unknown method 'x'; known: cw, deepfool"),
        ("edgefool", {"alfa": "1"}, "unknown field of edgefool 'alfa'; did you mean alpha"),
        ("edgefool", {"alpha": "0"}, "alpha=0: input should be greater than 0"),
        ("edgefool", {"alpha": "nan"}, "alpha=nan: input should be"),
        ("edgefool", {"tau": "inf"}, "tau=inf: input should be a finite number"),
        ("edgefool", {"kappa": "-1"}, "kappa=-1: input should be greater than or equal to 0"),
        ("edgefool", {"v1": "101"}, "v1=101: input should be less than or equal to 100"),
        ("edgefool", {"max_iterations": "0"}, "max_iterations=0: input should be greater than or equal to 1"),
        ("edgefool", {"max_iterations": "1.5"}, "max_iterations=1.5: input should be a valid integer"),
        ("edgefool", {"guide": "maybe"}, "guide=maybe: input should be a valid boolean"),
        ("edgefool", {"alpha": ""}, "alpha=: input should be a valid number"),
    ],
)
def test_attack_that_cannot_be(method, constants, message):
    with pytest.raises(UsageError) as caught:
        make_attack(method, constants)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", [field.name for field in fields(EdgeFool)])
def test_every_constant_is_checked(name):
    with pytest.raises(UsageError, match=f"^edgefool: {name}=-7: input should be"):
        make_attack("edgefool", {name: "-7"})
