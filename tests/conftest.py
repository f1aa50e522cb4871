"""Fixtures that all tests share."""

import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from edgefool.execution import RunState, Step, run_local
from edgefool.experiments import Experiment, make_plan
from edgefool.images import read_image
from edgefool.runs import RunFolder, load_records, open_run
from edgefool.storage import StorePath, local_path, object_store, parse_path

# Time limits for single examples fail at random on a busy machine.
hypothesis.settings.register_profile("edgefool", deadline=None, max_examples=30)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=300)
hypothesis.settings.load_profile("edgefool")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes ``-n auto`` starts: three for two cores, as each waits a third of its time."""
    return max(1, 3 * (os.cpu_count() or 1) // 2)


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


@pytest.fixture(scope="session")
def classifier_source() -> str:
    """Return Python code with factories of tiny classifiers."""
    return CLASSIFIER


@pytest.fixture
def tiny(tmp_path: Path, classifier_source: str) -> Path:
    """Return a Python file with factories of tiny classifiers."""
    path = tmp_path / "classifier.py"
    path.write_text(classifier_source)
    return path


@pytest.fixture
def dying() -> str:
    """Return code for another process: what ``die_after`` makes of functions kills it at call ``{left}`` of them."""
    return """
import os, signal
left = {left}
def die_after(genuine):
    def call(*arguments, **keywords):
        global left
        left -= 1
        result = genuine(*arguments, **keywords)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
"""


@pytest.fixture(scope="session")
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
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> StorePath:
    """Return the address of a new bucket; this process and its children reach it as users do, by the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    name = next(_BUCKETS)
    object_store.connect("s3", os.getpid()).mkdir(name)
    return parse_path(f"s3://{name}")


@pytest.fixture
def memory() -> StorePath:
    """Return the address of an empty store in this process."""
    import fsspec

    fsspec.filesystem("memory").store.clear()
    return parse_path("memory://store")


@pytest.fixture(params=["memory", "bucket"])
def store(request: pytest.FixtureRequest) -> StorePath:
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


# A small plan, and what carries it out in this process


class Done(NamedTuple):
    """A plan that was carried out."""

    run: RunFolder
    state: RunState
    steps: list[Step]


@pytest.fixture(scope="session")
def make_settings(make_photo: Callable[..., Path], classifier_source: str) -> Callable[[Path], dict[str, Any]]:
    """Return what writes six photos and two classifiers into a folder and returns a plan of two methods for them.

    DeepFool fools the classifiers with some of the photos and not all.
    """

    def make(folder: Path) -> dict[str, Any]:
        tiny = folder / "classifier.py"
        tiny.write_text(classifier_source)
        for seed in range(6):
            make_photo(folder / "album" / f"{seed}.png", seed)
        return {
            "datasets": [{"kind": "folder", "name": "pics", "path": str(folder / "album")}],
            "classifiers": [{"name": f"{tiny}:factory", "label": "first"}, {"name": f"{tiny}:other", "label": "other"}],
            "methods": [{"name": "enhance"}, {"name": "deepfool", "constants": {"max_iterations": 3}}],
            "size": 32,
            "squeezers": ["bits4", "median2"],
            "false_positive_rate": 0.2,
        }

    return make


@pytest.fixture
def settings(tmp_path: Path, make_settings: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Return a plan of two classifiers and two methods: four cells of six images."""
    return make_settings(tmp_path)


@pytest.fixture
def album(settings: dict[str, Any]) -> Path:
    """Return the folder with the six photos of the plan."""
    return Path(settings["datasets"][0]["path"])


def make_steady(settings: dict[str, Any]) -> dict[str, Any]:
    quick = {"name": "nfgsm", "constants": {"epsilon": 0.02, "max_iterations": 2}}
    return {**settings, "methods": [quick, settings["methods"][1]]}


@pytest.fixture
def steady(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a plan without `enhance`, whose L0 filter makes a grey level of the round-off between other batches."""
    return make_steady(settings)


@pytest.fixture(scope="session")
def carry_out_in() -> Callable[..., Done]:
    """Return what carries out a plan in a folder."""

    def carry_out_in(folder: Path | StorePath, settings: dict[str, Any], retry: bool = False, **options: Any) -> Done:
        experiment = Experiment(make_plan(settings))
        with open_run(folder, experiment.plan.to_toml(), experiment.cells) as run:
            state = RunState(experiment, run, retry=retry)
            return Done(run, state, list(run_local(state, **options)))

    return carry_out_in


@pytest.fixture(scope="session")
def plan_done(tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], carry_out_in: Any) -> Done:
    """Return the plan `settings` as carried out by nothing but one local run; copy the run before you change it."""
    folder = tmp_path_factory.mktemp("settings")
    return carry_out_in(folder / "run", make_settings(folder))


@pytest.fixture(scope="session")
def steady_done(tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], carry_out_in: Any) -> Done:
    """Return the plan `steady`, likewise."""
    folder = tmp_path_factory.mktemp("steady")
    return carry_out_in(folder / "run", make_steady(make_settings(folder)))


@pytest.fixture
def copied_run(tmp_path: Path, plan_done: Done) -> Path:
    """Return a copy of the run of the plan `settings`, in the folder in which `carry_out` goes on with it."""
    return Path(shutil.copytree(local_path(plan_done.run.path), tmp_path / "run"))


@pytest.fixture
def carry_out(tmp_path: Path, carry_out_in: Callable[..., Done]) -> Callable[..., Done]:
    """Return what carries out a plan in a folder of ``tmp_path``, or at an address."""

    def carry_out(settings: dict[str, Any], folder: str | StorePath = "run", **options: Any) -> Done:
        return carry_out_in(tmp_path / folder if isinstance(folder, str) else folder, settings, **options)

    return carry_out


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread, as workers and other processes of tests do: sums round as theirs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def frames() -> Callable[[RunFolder], list[pd.DataFrame]]:
    """Return what gives records, predictions and qualities of a run, but for times and the order of lines."""

    def frames(run: RunFolder) -> list[pd.DataFrame]:
        records = load_records(run.path).drop(columns="seconds")
        predictions = pd.json_normalize([line.model_dump() for line in run.predictions()])
        qualities = pd.DataFrame([line.model_dump() for line in run.qualities()])
        return [
            table.sort_values([name for name in ("cell", "image", "fingerprint") if name in table], ignore_index=True)
            for table in (records, predictions, qualities)
        ]

    return frames


@pytest.fixture
def agree(frames: Callable[[RunFolder], list[pd.DataFrame]]) -> Callable[[RunFolder, RunFolder], None]:
    """Return what asserts that two runs hold the same, up to round-off."""

    def agree(run: RunFolder, other: RunFolder) -> None:
        for mine, theirs in zip(frames(run), frames(other), strict=True):
            # Logits up to 50 are off by some 1e-5, scores are sums of differences of their probabilities.
            pd.testing.assert_frame_equal(mine, theirs, rtol=1e-4, atol=5e-5, check_like=True)

    return agree


@pytest.fixture
def alike(frames: Callable[[RunFolder], list[pd.DataFrame]]) -> Callable[[RunFolder, RunFolder], None]:
    """Return what asserts that two runs hold the same, though batches were put together otherwise.

    Originals are the same to the bit, adversarial images to a grey level, numbers in records to 1e-3, and those that
    are measured of the images to 1e-2, as squeezing and counting make more of a grey level.
    """

    def alike(run: RunFolder, other: RunFolder) -> None:
        for tolerance, mine, theirs in zip((1e-3, 1e-2, 1e-2), frames(run), frames(other), strict=True):
            hashes = [name for name in ("png", "structure_png", "mask_png") if name in mine]
            tables = [table.drop(columns=hashes) for table in (mine, theirs)]
            pd.testing.assert_frame_equal(*tables, rtol=tolerance, atol=tolerance, check_like=True)
        files = {name for name in run.path.find() if name.endswith(".png")}
        assert files == {name for name in other.path.find() if name.endswith(".png")}
        for file in files:
            difference = (read_image(run.path / file) - read_image(other.path / file)).abs().max()
            assert difference <= (0 if file.startswith("originals/") else 1.01 / 255)

    return alike


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages hold empty files for their figures, which take nine tenths of the time of a page."""
    monkeypatch.setattr("edgefool.report.page.encode_figure", lambda *_: b"")


# Processes that may be killed


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what runs a function in a process of its own, forked from one that has imported the package.

    Forking from a process that does nothing else is a fresh start without the seconds of imports; with ``wait`` the
    process is killed (SIGKILL) after that many seconds, if it still runs.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["edgefool.cli", "edgefool.classifiers.loading", "edgefool.experiments", "edgefool.protection", "rich.progress"]
    )

    def run(function: Any, *arguments: Any, wait: float | None = None, until: Callable[[], bool] | None = None) -> Any:
        process = context.Process(target=function, args=arguments)
        process.start()
        while until and process.is_alive() and not until():
            process.join(0.005)
        if not until:
            process.join(wait)
        process.kill()
        process.join()
        return process

    return run


# Pages in a real browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return Chromium, or skip."""
    program = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium (on Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page; in the end, pages must have loaded files only, without any complaint."""
    complaints, contexts = list[str](), list[Any]()

    def visit(page: Path, width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        opened = context.new_page()
        opened.set_default_timeout(10_000)
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on(
            "requestfailed",  # one that is aborted lost its image to the next choice
            lambda request: (
                None
                if request.failure == "net::ERR_ABORTED"
                else complaints.append(f"{request.failure}: {request.url}")
            ),
        )
        opened.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        opened.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
        )
        opened.goto(page.as_uri())
        return opened

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


# What faults did


@dataclass
class Tally:
    """How often a fault struck and what it did, as `make faults` tells; a failed test says so in its row.

    Attributes
    ----------
    fault
        What struck.
    tries
        How often.
    lost
        Images that were said to be done and are gone without notice, and work that repeating does not bring back.
    wrong
        Runs that say something false, end with another error than the documented ones, or do not end.
    """

    test: str
    fault: str = ""
    tries: int = 0
    lost: int = 0
    wrong: int = 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", type=Path, metavar="FILE", help="write what faults did as a Markdown table")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Return the row of the table of faults that the test fills."""
    row = Tally(request.node.nodeid)
    yield row
    request.node.user_properties.append(("tally", asdict(row)))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    ended = [report for reports in terminalreporter.stats.values() for report in reports if hasattr(report, "when")]
    properties = [entry for report in ended if report.when == "teardown" for entry in report.user_properties]
    rows = [Tally(**row) for name, row in properties if name == "tally"]
    if not rows:
        return
    failed = {report.nodeid for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])}
    lines = ["| fault | tries | lost | wrong |", "| --- | --- | --- | --- |"]
    for row in rows:
        told = f"{row.lost:,} | {row.wrong:,}" if row.test not in failed else "failed | failed"
        lines.append(f"| {row.fault or row.test} | {row.tries:,} | {told} |")
    terminalreporter.write_line("\n".join(["", *lines]))
    if file := config.getoption("--faults-table"):
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
