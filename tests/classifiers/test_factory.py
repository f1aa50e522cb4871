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
