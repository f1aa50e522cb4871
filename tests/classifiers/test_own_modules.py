"""Kind 1: files that import modules of the same name, each from its own folder."""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from edgefool.classifiers import load_classifier
from edgefool.classifiers.preprocessing import Preprocessing

IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)) + {value}.0

def make():
    return Net()
"""

IMPORTS = {
    "at the top": "from model import make\ndef factory(): return make()",
    "as a name": "import model as m\ndef factory(): return m.make()",
    "everything": "from model import *\ndef factory(): return make()",
    "lazily": "def factory():\n    import model\n    return model.make()",
    "relatively": "from .model import make\ndef factory(): return make()",
    "through another module": "import utils\ndef factory(): return utils.make()",
    "by importlib": "import importlib\ndef factory(): return importlib.import_module('model').make()",
    "from a package": "import nets.small\ndef factory(): return nets.small.make()",
    "relatively in a package": "from nets import make\ndef factory(): return make()",
    "lazily from a package": "def factory():\n    from nets.small import make\n    return make()",
    "by importlib from a package": "from importlib import import_module as load\n"
    "def factory(): return load('nets.small').make()",
    "from a folder without __init__": "from space.small import make\ndef factory(): return make()",
    "by a path of its own": "import sys, os\n"
    "sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + '/lib')\n"
    "from inner import make\ndef factory(): return make()",
    "in the forward pass": "from torch import nn\nclass Late(nn.Module):\n    def forward(self, x):\n"
    "        import utils\n"
    "        from nets.small import Net\n        return Net()(x)\ndef factory(): return Late()",
    "from a pickle": "import os, torch, model\ndef factory():\n    file = os.path.dirname(__file__) + '/net.pt'\n"
    "    torch.save(model.make(), file)\n    return torch.load(file, weights_only=False)",
}


def write(folder: Path, code: str, value: int) -> Path:
    """Write a classifier file with modules beside it, whose logits contain the value."""
    module = MODULE.format(value=value)
    files = {
        "clf.py": code,
        "model.py": module,
        "utils.py": "from model import make",
        "nets/__init__.py": "from .small import make",
        "nets/small.py": module,
        "space/small.py": module,
        "lib/inner.py": module,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "clf.py"


@pytest.mark.parametrize("how", IMPORTS)
def test_each_file_has_its_own_modules(tmp_path, how):
    before, path = set(sys.modules), list(sys.path)
    files = [write(tmp_path / str(value), IMPORTS[how], value) for value in (1, 2)]
    first, second = (load_classifier(f"{file}:factory") for file in files)
    for _ in range(2):  # also after both are loaded
        torch.testing.assert_close(first(IMAGES), IMAGES.mean((2, 3)) + 1)
        torch.testing.assert_close(second(IMAGES), IMAGES.mean((2, 3)) + 2)
    assert first.fingerprint != second.fingerprint
    assert sys.path == path
    assert not {"model", "utils", "nets", "space", "inner"} & (set(sys.modules) - before)


@pytest.mark.parametrize("how", [how for how in IMPORTS if "pickle" not in how])
def test_the_fingerprint_covers_the_modules(tmp_path, how):
    """After an edit within the same second and of the same length, which Python's cache does not notice."""
    file = write(tmp_path / "a", IMPORTS[how], 1)
    first = load_classifier(f"{file}:factory")
    assert load_classifier(f"{file}:factory").fingerprint == first.fingerprint
    moved = write(tmp_path / "b", IMPORTS[how], 1)
    assert load_classifier(f"{moved}:factory").fingerprint == first.fingerprint
    times = {path: path.stat() for path in file.parent.rglob("*.py")}
    write(tmp_path / "a", IMPORTS[how], 3)
    for path, stat in times.items():
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    edited = load_classifier(f"{file}:factory")
    torch.testing.assert_close(edited(IMAGES), IMAGES.mean((2, 3)) + 3)
    assert edited.fingerprint != first.fingerprint


def test_files_are_loaded_in_several_threads(tmp_path):
    how = IMPORTS["by importlib from a package"]
    files = [write(tmp_path / str(value), how + "\nimport time\ntime.sleep(0.02)", value) for value in range(8)]
    before, path = set(sys.modules), list(sys.path)
    with ThreadPoolExecutor(8) as pool:
        classifiers = list(pool.map(load_classifier, [f"{file}:factory" for file in files]))
    for value, classifier in enumerate(classifiers):
        torch.testing.assert_close(classifier(IMAGES), IMAGES.mean((2, 3)) + value)
    assert sys.path == path
    assert "nets" not in set(sys.modules) - before


def test_a_file_without_such_imports_keeps_its_fingerprint(tmp_path):
    """The architecture that 0.1.0 gave it, whatever lies beside it."""
    file = write(tmp_path, MODULE.format(value=1), 2)
    architecture = f"clf.py:make {hashlib.sha256(file.read_bytes()).hexdigest()}"
    classifier = load_classifier(f"{file}:make")
    assert (classifier.architecture, classifier.preprocessing) == (architecture, Preprocessing())


def test_modules_that_others_have_imported_are_left_alone(tmp_path, monkeypatch):
    """A notebook has its own `model` and `nets`; the file gets those beside it."""
    (tmp_path / "notebook" / "nets").mkdir(parents=True)
    (tmp_path / "notebook" / "model.py").write_text("make = None")
    (tmp_path / "notebook" / "nets" / "__init__.py").write_text("make = None")
    monkeypatch.syspath_prepend(tmp_path / "notebook")
    import model
    import nets

    for how in IMPORTS:
        file = write(tmp_path / how, IMPORTS[how], 2)
        torch.testing.assert_close(load_classifier(f"{file}:factory")(IMAGES), IMAGES.mean((2, 3)) + 2)
    assert (sys.modules.pop("model"), sys.modules.pop("nets")) == (model, nets)
    assert model.make is nets.make is None


@pytest.mark.parametrize("name", ["random", "statistics", "torch", "timm"])
def test_a_file_with_the_name_of_a_library(tmp_path, name):
    """It imports the library and not itself."""
    file = tmp_path / f"{name}.py"
    file.write_text(f"import {name}\nassert {name}.__file__ != __file__\n" + MODULE.format(value=1))
    torch.testing.assert_close(load_classifier(f"{file}:make")(IMAGES), IMAGES.mean((2, 3)) + 1)


def test_a_folder_of_data_with_the_name_of_a_library(tmp_path):
    (tmp_path / "timm").mkdir()
    (tmp_path / "clf.py").write_text("import timm\ntimm.create_model\n" + MODULE.format(value=1))
    load_classifier(f"{tmp_path / 'clf.py'}:make")


def test_an_error_names_a_module_as_the_file_does_and_leaves_nothing(tmp_path):
    file = write(tmp_path, "import nets.missing", 1)
    before = set(sys.modules), list(sys.meta_path)
    with pytest.raises(ValueError, match=r"No module named 'nets\.missing'$"):
        load_classifier(f"{file}:factory")
    assert (set(sys.modules), sys.meta_path) == before
