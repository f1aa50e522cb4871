import sys

import pytest
import torch

from edgefool.classifiers import Preprocessing, load_classifier
from edgefool.errors import UsageError

IMAGES = torch.rand(2, 3, 50, 70, generator=torch.Generator().manual_seed(0))

FACTORY = """
import dataclasses
from pathlib import Path
import torch
from torch import nn

@dataclasses.dataclass
class Plan:  # looks its module up in sys.modules
    width: "int" = 5

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3, Plan().width)
    def forward(self, x):
        return self.head(x.mean((2, 3)).view(len(x), 3))

def net():
    assert (Path(__file__).parent / "helper.py").exists()
    return Net()

def relative():
    from .helper import make
    return make()

def absolute():
    import edgefool_test_helper
    return edgefool_test_helper.make()

def broken(): raise OSError("no weights here\\nat all")
def number(): return 3
def wants(argument): return Net()
def crops(): return nn.Linear(3, 3)
def maps(): return nn.Conv2d(3, 3, 1)
def pair(): return type("Pair", (nn.Module,), {"forward": lambda self, x: (x, x)})()
not_a_function = 3
"""


@pytest.fixture
def file(tmp_path):
    helper = "from torch import nn\ndef make(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    (tmp_path / "helper.py").write_text(helper)
    (tmp_path / "edgefool_test_helper.py").write_text(helper)
    (tmp_path / "own.py").write_text(FACTORY)
    return tmp_path / "own.py"


def test_factory_in_a_file(file):
    classifier = load_classifier(f"{file}:net")
    assert (classifier.name, classifier.num_classes, classifier.preprocessing) == ("own-net", 5, Preprocessing())
    assert not classifier.net.head.weight.requires_grad
    assert classifier(IMAGES).shape == (2, 5)
    torch.testing.assert_close(classifier(IMAGES), classifier.net(IMAGES))
    fingerprint = classifier.fingerprint
    assert load_classifier(f"{file}:net").fingerprint == fingerprint
    file.write_text(FACTORY.replace("self.head(x", "-self.head(x"))
    assert load_classifier(f"{file}:net").fingerprint != fingerprint


@pytest.mark.parametrize("factory", ["relative", "absolute"])
def test_factory_that_imports_its_neighbours(file, factory):
    assert load_classifier(f"{file}:{factory}").num_classes == 3


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nett", r"unknown function in .*own\.py 'nett'; did you mean net"),
        ("not_a_function", "unknown function"),
        ("broken", r"own\.py:broken failed: OSError: no weights here$"),
        ("number", "returned a int, not an nn.Module"),
        ("wants", "failed: TypeError: wants.. missing 1"),
        ("crops", "cannot classify an image of 224 x 224: RuntimeError"),
        ("maps", r"should give one row of logits per image, not a tensor of shape \(1, 3, 224, 224\)"),
        ("pair", "should give one row of logits per image, not a tuple"),
    ],
)
def test_factories_that_fail(file, factory, message):
    with pytest.raises(UsageError, match=message):
        load_classifier(f"{file}:{factory}")


@pytest.mark.parametrize("body", ["import nothing_of_this_name", "def (", "1 / 0"])
def test_files_that_cannot_be_imported(tmp_path, body):
    (tmp_path / "own.py").write_text(body)
    with pytest.raises(UsageError, match=r"own\.py cannot be imported: (ModuleNotFound|Syntax|ZeroDivision)Error"):
        load_classifier(f"{tmp_path / 'own.py'}:net")


def test_factory_keeps_its_own_weights(file):
    with pytest.raises(UsageError, match="leave out weights="):
        load_classifier(f"{file}:net", weights="w.pth")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys\nsys.exit()", r"own\.py cannot be imported: it calls sys\.exit\(\)$"),
        ("exit(0)", r"own\.py cannot be imported: it calls sys\.exit\(0\)$"),
        ("raise SystemExit('done\\nhere')", r"own\.py cannot be imported: it calls sys\.exit\('done\\nhere'\)$"),
        ("import argparse\nargparse.ArgumentParser().parse_args()", r"own\.py cannot be imported: .* reads sys\.argv"),
        (
            "import argparse\nargparse.ArgumentParser().parse_known_args()",
            r"own\.py cannot be imported: .* reads sys\.argv",
        ),
        ("import sys\nsize = int(sys.argv[1])", r"own\.py cannot be imported: .* reads sys\.argv"),
        ("import typer\ntyper.run(lambda: None)", r"own\.py cannot be imported: .* reads sys\.argv"),
        ("def net():\n    import sys\n    sys.exit(0)", r"own\.py:net failed: it calls sys\.exit\(0\)$"),
        (
            "def net():\n    import argparse\n    argparse.ArgumentParser().parse_args()",
            r"own\.py:net failed: .* reads sys\.argv",
        ),
        (
            "import sys, torch\nclass net(torch.nn.Module):\n    def forward(self, x): sys.exit(0)",
            r"own\.py:net cannot classify an image of 224 x 224: it calls sys\.exit\(0\)$",
        ),
    ],
)
def test_files_that_end_the_program_or_read_its_arguments(tmp_path, capsys, code, message):
    (tmp_path / "own.py").write_text(code)
    before = sys.argv
    with pytest.raises(UsageError, match=message) as error:
        load_classifier(f"{tmp_path / 'own.py'}:net")
    assert "\n" not in str(error.value)
    assert capsys.readouterr() == ("", "")
    assert sys.argv is before


def test_ctrl_c_in_a_file_stays_what_it_is(tmp_path):
    (tmp_path / "own.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_classifier(f"{tmp_path / 'own.py'}:net")


def test_files_may_look_at_their_name(tmp_path):
    """Libraries read `sys.argv[0]`, and ask whether there are arguments."""
    code = "import sys\nimport argparse\nargparse.ArgumentParser()\nassert sys.argv[0] and len(sys.argv) == 1\n"
    (tmp_path / "own.py").write_text(code + FACTORY.replace("assert", "0 and"))
    assert load_classifier(f"{tmp_path / 'own.py'}:net").num_classes == 5
