"""Fixtures that all tests share."""

import logging
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from edgefool import address
from edgefool.files import parse_path

# Time limits for single examples fail at random on a busy machine.
settings.register_profile("edgefool", deadline=None)
settings.load_profile("edgefool")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with real classifiers and photos, or skip."""
    folder = Path(os.environ.get("EDGEFOOL_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"real classifiers and images are not at hand ({folder}; set EDGEFOOL_SHARED)")
    return folder


CLASSIFIER = '''
import os

import torch
from torch import nn


def factory():
    """Five classes, quick and easily misled."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5, bias=False))
    net[2].weight.data = 8 * torch.randn(5, 48, generator=torch.Generator().manual_seed(0))
    return net


def other():
    """Five classes, by other weights."""
    net = factory()
    net[2].weight.data = 8 * torch.randn(5, 48, generator=torch.Generator().manual_seed(1))
    return net


def three():
    """Three classes."""
    net = factory()
    net[2] = nn.Linear(48, 3, bias=False)
    net[2].weight.data = 8 * torch.randn(3, 48, generator=torch.Generator().manual_seed(2))
    return net


def failing():
    raise OSError("no\\x1b[31m net")


def stubborn():
    """Always the same class, with certainty."""
    net = factory()
    net.append(nn.Linear(5, 2))
    net[3].weight.data.zero_()
    net[3].bias.data = torch.tensor([100.0, 0.0])
    return net


class Choosy(nn.Module):
    """Fails at images of 40 pixels' height, knows nothing at 48."""

    def __init__(self):
        super().__init__()
        self.net = factory()

    def forward(self, images):
        if images.shape[2] == 40:
            raise ValueError("no 40, please\\nreally")
        return self.net(images) / (images.shape[2] != 48)


def choosy():
    return Choosy()


class Deadly(nn.Module):
    """Takes its process down at images of 40 pixels' height, as a faulty driver might."""

    def __init__(self):
        super().__init__()
        self.net = factory()

    def forward(self, images):
        if images.shape[2] == 40:
            os._exit(9)
        return self.net(images)


def deadly():
    return Deadly()
'''


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return a Python file with factories of tiny classifiers."""
    path = tmp_path / "classifier.py"
    path.write_text(CLASSIFIER)
    return path


@pytest.fixture
def make_photo() -> Callable[..., Path]:
    """Return what writes a photo of soft colours with some texture."""

    def make(path: Path, seed: int = 0, width: int = 36, height: int = 32) -> Path:
        random = np.random.default_rng(seed)
        coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
        texture = random.integers(-12, 13, pixels.shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels + texture).clip(0, 255).astype(np.uint8)).save(path)
        return path

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Return the address of a server on this machine that speaks S3."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


_BUCKETS = (f"bucket{number}" for number in count())


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the address of a new bucket; this process and its children reach it as users do, by the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    name = next(_BUCKETS)
    address._reach("s3", os.getpid()).mkdir(name)
    return parse_path(f"s3://{name}")


@pytest.fixture
def memory() -> Path:
    """Return the address of an empty store in this process."""
    import fsspec

    fsspec.filesystem("memory").store.clear()
    return parse_path("memory://store")


@pytest.fixture(params=["memory", "bucket"])
def store(request: pytest.FixtureRequest) -> Path:
    """Return the address of an empty store, of each kind in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def edgefool(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return what runs the command line in this process: exit code, stdout, stderr."""
    from edgefool.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return (end.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def attack(edgefool: Callable[..., tuple[int, str, str]], tiny: Path) -> Callable[..., tuple[int, str, str]]:
    """Return what runs `edgefool attack` with the tiny classifier and few iterations; later options win.

    From the identity, as three steps from the smoother would hardly change these small photos.
    """
    quick = ["--classifier", f"{tiny}:factory", "--size", 32, "--set", "start=identity"]
    quick += ["--set", "max_iterations=3", "--set", "tau=0.01"]

    def run(*arguments: object) -> tuple[int, str, str]:
        return edgefool("attack", *quick, *arguments)

    return run
