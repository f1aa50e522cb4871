"""What README, CONTRIBUTING and docs show in code blocks, run in a folder with a few photos.

A block with a file name (```` ```python my.py ````) is that file. Other Python blocks run, with those files importable.
In shell blocks each `edgefool` command runs in this process; of those in `PARSED` only the options are checked. Photos
are attacked at 64 pixels, not 224, which would take minutes.
"""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgefool import load_classifier, read_image, resize_image
from edgefool.classifiers.vision import torchvision
from edgefool.datasets.demo import write_demo_photos

BLOCK = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = {
    path.relative_to(REPOSITORY).as_posix(): BLOCK.findall(path.read_text(encoding="utf-8"))
    for path in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
}

PARSED = {
    "minutes of computing": r"^edgefool (attack (?!.*(\.py:|--classifier))|protect |verify |web)",
    "a download of weights": r"attack (?!.*@).*(resnet|alexnet|torchvision:|timm:|hf-hub:|clip:)",
    "other weights": r"(evaluate|classify) .*resnet",
    "downloads and days": r"(imagenet_mini|paper)\.toml",
    "a Ray cluster": r"--workers|--executor",
    "an object store": r"s3://",
}
"""What commands would need that do not run here, and which these are."""

CLASSIFIER = """
import torch
from torch import nn

class Detail(nn.Module):
    def forward(self, images):
        detail = images.diff(dim=3).abs().mean((1, 2, 3))
        return torch.stack([torch.zeros_like(detail), 100 * (detail - {limit})], 1)

def factory():
    return Detail()
"""
"""Tells smooth photos from detailed ones, which any enhancement of details fools."""

DEMO = """
size = 64
datasets = [{ kind = "demo", names = ["cat"] }]
classifiers = [{ name = "caltech101-resnet" }, { name = "caltech101-alexnet" }]
methods = [{ name = "enhance" }, { name = "edgefool" }]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the working directory: two photos, and nothing that another test imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_demo_photos(tmp_path / "photos", ["cat", "coffee"])
    before = set(sys.modules)
    yield tmp_path
    for name in sys.modules.keys() - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def reader(folder, edgefool):
    """Add what the README takes for granted: photos, weights, a classifier, a plan and a run."""
    (folder / "cat.jpg").symlink_to("photos/cat.png")
    for name in ("resnet18.safetensors", "mine.safetensors"):
        write_undecided_resnet(folder / name, folder / "cat.jpg")
    limit = 1.02 * resize_image(read_image(folder / "cat.jpg"), 64).diff(dim=2).abs().mean().item()
    for name, text in {"path/to/file.py": CLASSIFIER.format(limit=limit), "plans/demo.toml": DEMO}.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    (folder / "RUN").symlink_to("runs/demo")
    options = ("--classifier", "caltech101-resnet", "--size", "64", "--method", "nfgsm")
    assert edgefool("attack", "photos", "--out", "run", *options)[0] == 0


def write_undecided_resnet(file, photo):
    """Write weights of a ResNet-18 whose logits for a photo are all about zero, so that any change fools it."""
    torch.manual_seed(0)
    weights = torchvision.models.resnet18().state_dict()
    save_file(weights, file)
    logits = load_classifier("resnet18", weights=file)(resize_image(read_image(photo), 64)[None])
    weights["fc.bias"] -= logits[0]
    save_file(weights, file)


def run_blocks(blocks, folder, edgefool):
    names = {"__name__": "snippet"}
    for language, name, code in blocks:
        if name:
            (folder / name).write_text(code)
        elif language == "python":
            exec(compile(code.replace("224", "64"), "snippet", "exec"), names)
        elif language in ("", "sh"):
            for line in code.splitlines():
                run_command(shlex.split(line, comments=True), edgefool)


def run_command(words, edgefool):
    if words[:1] == ["edgefool"]:
        command = shlex.join(words)
        is_parsed_only = any(re.search(pattern, command) for pattern in PARSED.values())
        size = ["--size", "64"] if words[1] == "attack" and "--size" not in words else []
        exit_code, _, stderr = edgefool(*words[1:], *size, *(["--help"] if is_parsed_only else []))
        assert exit_code == 0, f"{command}\n{stderr}"


@pytest.mark.usefixtures("reader", "no_figures")
def test_readme(folder, edgefool):
    run_blocks(DOCUMENTS["README.md"], folder, edgefool)


LONG = ("docs/other-libraries.md", "docs/protect.md")
"""Documents whose snippets take longer than 10 s."""


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(name, marks=pytest.mark.slow if name in LONG else ())
        for name in sorted(DOCUMENTS)
        if DOCUMENTS[name] and name != "README.md"
    ],
)
def test_documents(document, folder, edgefool):
    run_blocks(DOCUMENTS[document], folder, edgefool)
