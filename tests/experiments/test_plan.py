"""What is allowed in a plan, that it survives the file, and what is said of one that is wrong."""

import math
import os
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool.attacks import EdgeFool, make_attack
from edgefool.errors import RunError, UsageError
from edgefool.experiments import Plan, make_plan, read_plan
from edgefool.experiments.plan import reread_plan
from edgefool.metrics import PAPER_SQUEEZERS
from edgefool.storage import parse_path

SMALLEST = """
[[datasets]]
kind = "folder"
path = "photos"

[[classifiers]]
name = "resnet50"

[[methods]]
name = "edgefool"
"""


@pytest.fixture
def read(tmp_path):
    """Return what writes a plan to a file and reads it."""

    def write(text: str) -> Plan:
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return read_plan(path)

    return write


# Reading


def test_defaults(read):
    plan = read(SMALLEST)
    assert (plan.size, plan.seed, plan.squeezers, plan.false_positive_rate) == (224, 0, PAPER_SQUEEZERS, 0.05)
    assert plan.lpips is None
    assert plan.datasets[0].name == "folder"
    assert plan.methods[0].label == "edgefool"
    assert plan.methods[0].constants == {}


def test_paths_count_from_the_plan(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("WEIGHTS", "/weights")
    monkeypatch.chdir("/")
    plan = read(
        SMALLEST.replace(
            '"photos"', '["photos", "~/more", "../*.png"]\nlabels = "labels.csv"\nnum_classes = 5'
        ).replace('"resnet50"', '"resnet50"\nweights = "$WEIGHTS/a.pth"\nclasses = "${WEIGHTS}/a.txt"')
        + '[[classifiers]]\nname = "nets/mine.py:factory"\n[lpips]\nweights = "lpips.pth"\n'
    )
    dataset, (first, second) = plan.datasets[0], plan.classifiers
    expected = (tmp_path / "photos", "/home/me/more", tmp_path.parent / "*.png")
    assert dataset.paths == tuple(map(parse_path, expected))
    assert dataset.labels == parse_path(tmp_path / "labels.csv")
    assert (first.weights, first.classes) == (Path("/weights/a.pth"), Path("/weights/a.txt"))
    assert second.name == f"{tmp_path}/nets/mine.py:factory"
    assert plan.lpips.weights == tmp_path / "lpips.pth"


@pytest.mark.parametrize("key", ["path", "labels", "weights", "classes"])
def test_an_empty_path_is_not_the_folder_of_the_plan(tmp_path, monkeypatch, key):
    entry = {"path": "photos", "labels": "labels.csv", "weights": "a.pth", "classes": "a.txt"} | {key: "$EMPTY"}
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "plan.toml").write_text(
        f"""
        datasets = [{{kind = "folder", path = "{entry["path"]}", labels = "{entry["labels"]}", num_classes = 2}}]
        classifiers = [{{name = "resnet18", weights = "{entry["weights"]}", classes = "{entry["classes"]}"}}]
        methods = [{{name = "enhance"}}]
        """
    )
    with pytest.raises(UsageError, match=r"plan.toml: a path is empty: '\$EMPTY'$"):
        read_plan(tmp_path / "plan.toml")
    settings = {"kind": "folder", "path": [""]} if key == "path" else {"kind": "folder", "path": ["x"], "labels": ""}
    with pytest.raises(UsageError, match="a path is empty: ''"):
        make_plan({"datasets": [settings], "classifiers": [{"name": "resnet18"}], "methods": [{"name": "enhance"}]})


@pytest.mark.parametrize("name", ["$NOWHERE/photos", "${NOWHERE}", "a\\n$NOWHERE"])
def test_variable_that_is_not_set(read, tmp_path, monkeypatch, name):
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(UsageError, match=r"\$.?NOWHERE.? is not set in the environment") as caught:
        read(SMALLEST.replace("photos", name))
    assert str(caught.value).startswith(f"{tmp_path}/plan.toml: '{name}': ")
    assert str(caught.value).isprintable()


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LABELS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=60)
CONSTANTS = st.fixed_dictionaries(
    {},
    optional={
        "alpha": st.floats(1e-3, 1e3),
        "kappa": st.sampled_from([0.0, 5.0, math.inf]),
        "max_iterations": st.integers(1, 10**6),
        "guide": st.booleans(),
        "start": st.sampled_from(["identity", "smoother"]),
    },
)


@given(
    st.lists(st.tuples(LABELS, CONSTANTS, st.none() | st.integers(1, 9)), min_size=1, unique_by=lambda entry: entry[0]),
    st.sampled_from([16, 10_000, "native"]),
    st.integers(-(2**70), 2**70),
    st.lists(st.sampled_from(["bits1", "bits7", "median2", "median3"]), unique=True),
    TEXT,
)
def test_file_gives_the_plan_back(tmp_path_factory, methods, size, seed, squeezers, text):
    plan = make_plan(
        {
            "datasets": [{"kind": "folder", "path": ["/photos", "/$x/~", f"/{text}"]}, {"kind": "demo", "limit": 3}],
            "classifiers": [{"name": "resnet50", "datasets": ["demo"]}, {"name": text, "weights": "/a.pth"}],
            "methods": [
                {"name": "edgefool", "label": label, "constants": constants} | ({"limit": limit} if limit else {})
                for label, constants, limit in methods
            ],
            "size": size,
            "seed": seed,
            "squeezers": squeezers,
            "lpips": {"backbone": "squeeze", "weights": "/s.pth"},
        }
    )
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_bytes(plan.to_toml().encode())
    again = reread_plan(parse_path(path))
    assert again == plan
    for mine, theirs in zip(plan.methods, again.methods, strict=True):
        assert [type(value) for value in mine.constants.values()] == [
            type(value) for value in theirs.constants.values()
        ]


def test_a_path_that_is_not_utf8_does_not_stop_the_plan(tmp_path):
    settings = {"classifiers": [{"name": "resnet50"}], "methods": [{"name": "edgefool"}]}
    plan = make_plan(settings | {"datasets": [{"kind": "folder", "path": os.fsdecode(b"/caf\xff.png")}]})
    (tmp_path / "plan.toml").write_bytes(plan.to_toml().encode())
    assert reread_plan(parse_path(tmp_path / "plan.toml")).datasets[0].paths == (parse_path("/caf?.png"),)


def test_a_changed_plan_of_a_run_is_refused(tmp_path):
    """Every byte counts: another rate or squeezer less would give other tables without notice."""
    plan = make_plan({"datasets": [{"kind": "demo"}], "classifiers": [{"name": "a"}], "methods": [{"name": "enhance"}]})
    path, data = tmp_path / "plan.toml", plan.to_toml().encode()
    refused = []
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            assert reread_plan(parse_path(path)) == plan
        except (UsageError, RunError) as error:
            refused.append(str(error))
    assert all(line.isprintable() for line in refused)
    assert len(refused) > len(data) - 12, "only what marks the check may change without notice"
    path.write_bytes(data.replace(b"0.05", b"0.06"))
    with pytest.raises(RunError, match=r"plan.toml is damaged; to repair it, repeat the command that made the run"):
        reread_plan(parse_path(path))


def test_a_plan_without_a_check_is_read(tmp_path):
    plan = make_plan({"datasets": [{"kind": "demo"}], "classifiers": [{"name": "a"}], "methods": [{"name": "enhance"}]})
    (tmp_path / "plan.toml").write_text(plan.to_toml().partition("\n")[2])
    assert reread_plan(parse_path(tmp_path / "plan.toml")) == plan


# Plans that are wrong

WRONG = {
    "unknown key": ("colour = 1\n" + SMALLEST, "colour = 1: Extra inputs are not permitted"),
    "unknown key of an entry": (SMALLEST + "alpha = 5\n", "methods.0.alpha = 5: Extra inputs are not permitted"),
    "unknown kind": (SMALLEST.replace('"folder"', '"floder"'), "datasets.0: Input tag 'floder'"),
    "no kind": (SMALLEST.replace('kind = "folder"', ""), "datasets.0: Unable to extract tag"),
    "no datasets": (SMALLEST[SMALLEST.index("[[classifiers") :], "datasets: Field required"),
    "no methods": ("methods = []\n" + SMALLEST[: SMALLEST.index("[[methods")], "methods: "),
    "size": ("size = 5\n" + SMALLEST, "size"),
    "seed": ('seed = "x"\n' + SMALLEST, "seed = 'x': Input should be a valid integer"),
    "rate": ("false_positive_rate = 1.0\n" + SMALLEST, "false_positive_rate = 1.0: Input should be less than 1"),
    "squeezer": ('squeezers = ["bits9"]\n' + SMALLEST, "squeezers.0 = 'bits9': unknown squeezer 'bits9'; did you mean"),
    "squeezer twice": ('squeezers = ["bits4", "bits4"]\n' + SMALLEST, "squeezer 'bits4' occurs twice"),
    "method": (SMALLEST.replace("edgefool", "edgefol"), "unknown method 'edgefol'; did you mean edgefool"),
    "field": (SMALLEST + "constants = { alfa = 1 }\n", "unknown field of edgefool 'alfa'; did you mean alpha"),
    "constant": (SMALLEST + "constants = { alpha = -1.0 }\n", "edgefool: alpha=-1.0: input should be greater than 0"),
    "kind of constant": (SMALLEST + "constants = { alpha = [1] }\n", "methods.0.constants.alpha"),
    "limit": (SMALLEST + "limit = 0\n", "methods.0.limit = 0: Input should be greater than or equal to 1"),
    "method twice": (SMALLEST + '[[methods]]\nname = "edgefool"\n', "method 'edgefool' occurs twice"),
    "dataset twice": (SMALLEST + '[[datasets]]\nkind = "demo"\nname = "Folder"\n', "dataset 'folder' occurs twice"),
    "dataset of a classifier": (
        SMALLEST.replace('"resnet50"', '"resnet50"\ndatasets = ["foldr"]'),
        "unknown dataset of classifier resnet50 'foldr'; did you mean folder",
    ),
    "name of a dataset": (SMALLEST.replace('"folder"', '"folder"\nname = "../x"'), "datasets.0.folder.name = '../x'"),
    "label": (SMALLEST + 'label = "a\\u001bb"\n', "methods.0.label = 'a\\x1bb': a label needs"),
    "empty label": (SMALLEST + 'label = " .. "\n', "methods.0.label = ' .. ': a label needs"),
    "labels without their number": (
        SMALLEST.replace('"photos"', '"photos"\nlabels = "x.csv"'),
        "labels need num_classes",
    ),
    "key that is not printable": ('"a\\nb" = 1\n' + SMALLEST, "a\\nb = 1: Extra inputs are not permitted"),
    "kind that is not printable": (SMALLEST.replace('"folder"', '"fol\\u001bder"'), "Input tag 'fol\\x1bder'"),
    "classifier that is not printable": (
        SMALLEST.replace('"resnet50"', '"a\\nb"\ndatasets = ["x"]'),
        "unknown dataset of classifier a\\nb 'x'",
    ),
    "field that is not printable": (SMALLEST + 'constants = { "a\\rb" = 1 }\n', "unknown field of edgefool 'a\\rb'"),
    "constant that is not printable": (SMALLEST + 'constants = { alpha = "a\\nb" }\n', "edgefool: alpha=a\\nb: input"),
    "backbone": (SMALLEST + '[lpips]\nbackbone = "resnet"\n', "lpips.backbone = 'resnet'"),
    "no TOML": (SMALLEST + "= =", "cannot read the plan"),
    "nothing": ("", "datasets: Field required"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_plan_is_one_line(read, tmp_path, case):
    text, message = WRONG[case]
    with pytest.raises(UsageError) as caught:
        read(text)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert str(tmp_path / "plan.toml") in str(caught.value)


def test_file_that_is_not_text_or_not_there(tmp_path):
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "plan.toml", tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot read the plan"):
            read_plan(path)


# Attacks


def test_attack_from_strings():
    attack = make_attack("edgefool", {"alpha": "5", "max_iterations": "7", "guide": "true", "kappa": "inf"})
    assert attack == EdgeFool(alpha=5.0, max_iterations=7, guide=True, kappa=math.inf)
    assert make_attack("edgefool", {}) == EdgeFool()


@pytest.mark.parametrize(
    ("method", "constants", "message"),
    [
        ("edgefol", {}, "unknown method 'edgefol'; did you mean edgefool"),
        ("x", {}, "unknown method 'x'; known: adv-lib:NAME, art:NAME, cw, deepfool"),
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


def test_addresses_stay_as_they_are(read, tmp_path, monkeypatch):
    monkeypatch.setenv("BUCKET", "photos")
    plan = read("""
        datasets = [
            {kind = "folder", path = ["memory://$BUCKET/a", "b"], labels = "memory://c.csv", num_classes = 5},
            {kind = "imagenet", path = "memory://imagenet"},
        ]
        classifiers = [{name = "resnet18"}]
        methods = [{name = "enhance"}]
    """)
    folder, imagenet = plan.datasets
    assert folder.path == (parse_path("memory://photos/a"), parse_path(tmp_path / "b"))
    assert (folder.labels, imagenet.path) == (parse_path("memory://c.csv"), parse_path("memory://imagenet"))
    (tmp_path / "again.toml").write_text(plan.to_toml())
    assert reread_plan(parse_path(tmp_path / "again.toml")) == read_plan(tmp_path / "again.toml") == plan


@pytest.mark.parametrize("field", ["weights", "classes"])
def test_what_each_machine_needs_is_no_address(field):
    settings = {
        "datasets": [{"kind": "demo"}],
        "classifiers": [{"name": "resnet18", field: "s3://bucket/file"}],
        "methods": [{"name": "enhance"}],
    }
    with pytest.raises(
        UsageError, match=rf"classifiers\.0\.{field} = 's3://bucket/file': .* must be a file on the disk"
    ):
        make_plan(settings)
