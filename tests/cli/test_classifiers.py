"""`LABEL=NAME@CHECKPOINT` in every command that takes classifiers."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from edgefool.classifiers.vision import torchvision
from edgefool.cli.options import parse_classifier
from edgefool.errors import UsageError
from edgefool.runs import load_records


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet50", (None, "resnet50", None)),
        ("at=resnet50", ("at", "resnet50", None)),
        ("resnet50@at.pth", (None, "resnet50", "at.pth")),
        ("AT, ε 4=resnet50@at.pth", ("AT, ε 4", "resnet50", "at.pth")),
        ("ε 4/255=resnet50", (None, "ε 4/255=resnet50", None)),
        ("timm:vit_tiny.a_b@/x/user@host/lr=0.1::ema.pth", (None, "timm:vit_tiny.a_b", "/x/user@host/lr=0.1::ema.pth")),
        ("at=torchvision:resnet18@run.pth::model.ema", ("at", "torchvision:resnet18", "run.pth::model.ema")),
        ("resnet50@lr=0.1.pth", (None, "resnet50", "lr=0.1.pth")),
        ("mine=a/b.py:make", ("mine", "a/b.py:make", None)),
        ("mine=a@b/c=d.py:make", ("mine", "a@b/c=d.py:make", None)),
        ("./lr=0.1/net.py:make", (None, "./lr=0.1/net.py:make", None)),
        ("a@b.py:make@c.pth", (None, "a@b.py:make", "c.pth")),
        ("C:\\nets\\a=b.py:make", (None, "C:\\nets\\a=b.py:make", None)),
        ("there=is.py:make", (None, "there=is.py:make", None)),
    ],
)
def test_label_name_and_checkpoint(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there=is.py").touch()
    assert tuple(parse_classifier(text).values()) == expected


def test_a_home_is_expanded_as_the_shell_does_it_for_words(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_classifier("at=resnet50@~/at.pth")["weights"] == "/home/me/at.pth"
    assert parse_classifier("mine=~/net.py:make")["name"] == "/home/me/net.py:make"


@pytest.mark.parametrize("text", ["at=", "@at.pth", "at=@at.pth", "resnet50@", "="])
def test_a_part_is_missing(text):
    with pytest.raises(UsageError, match=r"must be \[LABEL=\]NAME\[@CHECKPOINT\]"):
        parse_classifier(text)


@pytest.fixture
def checkpoints(tmp_path):
    """Return two checkpoints of one architecture, in files of odd names."""
    files = [tmp_path / "standard.safetensors", tmp_path / "lr=0.1@home" / "robust.safetensors"]
    files[1].parent.mkdir()
    for seed, file in enumerate(files):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = torchvision.models.squeezenet1_1(num_classes=5)
        save_file(net.state_dict(), file)
    return files


@pytest.mark.slow
def test_two_checkpoints_a_name_and_a_file(tmp_path, finished, edgefool, read_tables, checkpoints, tiny):
    standard, robust = checkpoints
    names = [f"torchvision:squeezenet1_1@{standard}", f"robust=torchvision:squeezenet1_1@{robust}"]
    names += ["small=caltech101-resnet", f"{tiny}:factory"]
    folder = finished.run / "images/pics/nfgsm/first"
    classifiers = [part for name in names for part in ("--classifier", name)]
    command = ["evaluate", finished.run / "originals/pics", folder, *classifiers]
    code, _, stderr = edgefool(*command, "--out", tmp_path / "tables")
    assert (code, "error" in stderr) == (0, False)
    found = read_tables(tmp_path / "tables")["misleading"]["classifier"].tolist()
    assert found == ["squeezenet1_1", "robust", "small", "classifier-factory"]


def test_attack_takes_the_same_form(tmp_path, edgefool, make_photo, checkpoints):
    name = f"robust=torchvision:squeezenet1_1@{checkpoints[1]}"
    quick = ["--method", "nfgsm", "--size", 32]
    command = ["attack", make_photo(tmp_path / "cat.png"), "--classifier", name, *quick]
    assert edgefool(*command, "--out", tmp_path / "run")[0] == 0
    assert load_records(tmp_path / "run")["classifier"].tolist() == ["robust"]
    old = ["--classifier", "torchvision:squeezenet1_1", "--weights", checkpoints[1]]
    assert edgefool(*command[:2], *old, *quick, "--out", tmp_path / "run")[0] == 0
    assert len(load_records(tmp_path / "run")) == 1, "the same cell"


@pytest.mark.parametrize(
    ("classifiers", "message"),
    [
        (["resnet50@a.pth", "--weights", "b.pth"], "resnet50@a.pth has a checkpoint; leave out --weights"),
        (["a=resnet18@gone.pth"], "gone.pth"),
        (["a=resnet5"], "unknown classifier 'resnet5'; did you mean resnet50"),
        (["resnet5@a.pth"], "unknown classifier 'resnet5'; did you mean resnet50"),
        (["=resnet50"], "label = '': String should have at least 1 character"),
        (["...=resnet50"], "a label needs a letter or a digit"),
        (["x=net.py:factory@a.pth"], "loads its own weights"),
    ],
)
@pytest.mark.parametrize("command", ["attack", "evaluate"])
def test_wrong_usage_is_one_line(tmp_path, make_photo, monkeypatch, tiny, refuse, command, classifiers, message):
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny, "net.py")
    make_photo(tmp_path / "album/cat.png")
    arguments = {"attack": ["album", "--out", "run"], "evaluate": ["album", "album"]}[command]
    refuse(command, *arguments, "--classifier", *classifiers, because=message)
