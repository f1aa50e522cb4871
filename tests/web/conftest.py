"""The page with tiny classifiers, which can be stopped between two steps."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
from torch import nn

from edgefool.classifiers import Classifier, Preprocessing, SemanticGroups
from edgefool.web import Engine, Jobs, make_app

NAMES = ("cat", "dog", "car", "ship", "tree")


class Gate:
    """Lets so many passes of a classifier through; all of them at first."""

    def __init__(self) -> None:
        self._passes: float = float("inf")
        self._changed = threading.Condition()

    def set(self, passes: float) -> None:
        with self._changed:
            self._passes = passes
            self._changed.notify_all()

    def open(self) -> None:
        self.set(float("inf"))

    @property
    def is_closed(self) -> bool:
        return self._passes == 0

    def go_through(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._passes > 0, timeout=30)
            self._passes -= 1


class Gated(nn.Module):
    """Five classes by random weights, behind a gate."""

    def __init__(self, gate: Gate, seed: int):
        super().__init__()
        self._gate = gate
        self.net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5, bias=False))
        self.net[2].weight.data = 8 * torch.randn(5, 48, generator=torch.Generator().manual_seed(seed))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self._gate.go_through()
        return self.net(images)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack at a size that takes no time."""
    monkeypatch.setattr("edgefool.protection.protector.SIZE", 64)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return what stops the classifiers."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def engine(gate: Gate) -> Engine:
    """Return an engine with two classifiers, of which it attacks one; the names of both have markup."""
    groups = SemanticGroups(("animal", "vehicle"), (0, 0, 1, 1, -1))
    made = [
        Classifier(
            Gated(gate, seed),
            name=name,
            classes=NAMES,
            architecture=name,
            preprocessing=Preprocessing(24, "bilinear"),
            groups=groups,
        )
        for seed, name in enumerate(("first", "<i>other</i>"))
    ]
    return Engine(made[:1], made[1:], max_megapixels=1, seconds_per_picture=0)


@pytest.fixture
def jobs(engine: Engine, gate: Gate, tmp_path: Path) -> Iterator[Jobs]:
    """Return the engine at work."""
    (tmp_path / "jobs").mkdir()
    with Jobs(engine.run, tmp_path / "jobs") as jobs:
        yield jobs
        gate.open()


@pytest.fixture
def serving(engine: Engine, jobs: Jobs) -> Iterator[str]:
    """Return the address of a server in this process."""
    server = uvicorn.Server(uvicorn.Config(make_app(engine, jobs), port=0, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    (port,) = {socket.getsockname()[1] for listening in server.servers for socket in listening.sockets}
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    """Return what waits until a function returns something true, and returns that."""

    def wait_for(what: Callable[[], Any]) -> Any:
        end = time.monotonic() + 30
        while not (found := what()):
            assert time.monotonic() < end, "too late"
            time.sleep(0.01)
        return found

    return wait_for
