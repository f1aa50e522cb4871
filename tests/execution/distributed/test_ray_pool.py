"""Workers as real Ray actors on this machine."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edgefool.errors import AttackError, RunError, UsageError
from edgefool.execution import RayWorkerPool, RunState, make_ray_pool, run_distributed
from edgefool.execution.distributed.ray_pool import share_out
from edgefool.execution.distributed.worker import WorkerConfig
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import RunFolder, load_records, open_run
from edgefool.storage import parse_path

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and logs open
    pytest.mark.xdist_group("ray"),
]


def make_config(**changes):
    return WorkerConfig(None, {}, parse_path("run"), "", **changes)


@pytest.fixture(scope="module")
def machine():
    """Start Ray once, as `RayWorkerPool` would; those that find it running leave it so."""
    with RayWorkerPool("", make_config(device="cpu"), workers=2):
        yield


@pytest.fixture
def distribute(tmp_path, machine):
    """Return what carries out a plan by actors, and calls ``watch`` with each step."""

    def distribute(settings, folder="spread", watch=lambda state, step: None, workers=2):
        plan = make_plan(settings)
        experiment = Experiment(plan)
        with open_run(tmp_path / folder, plan.to_toml(), experiment.cells) as run:
            state = RunState(experiment, run)
            for step in run_distributed(state, make_ray_pool(state, workers=workers, device="cpu")):
                watch(state, step)
            return run, state

    return distribute


def actors():
    """Return the processes of the actors."""
    found = psutil.Process().children(recursive=True)
    return [process for process in found if process.name().startswith("ray::_Actor")]


def test_there_is_no_cluster_at_that_address(tmp_path, monkeypatch):
    """First of all tests here, before there is one; and what a killed one left on this machine does not count."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(RunError, match="cannot reach Ray at auto"), RayWorkerPool("auto", make_config()):
        pass


@pytest.mark.usefixtures("one_thread")
def test_the_records_are_those_of_a_local_run_on_a_shipped_classifier(distribute, carry_out, alike):
    settings = {
        "datasets": [{"kind": "demo", "names": ["cat", "coffee", "astronaut"]}],
        "classifiers": [{"name": "caltech101-resnet"}, {"name": "caltech101-alexnet"}],
        "methods": [
            {"name": "edgefool", "constants": {"max_iterations": 3}},
            {"name": "deepfool", "constants": {"max_iterations": 2}},
        ],  # N-FGSM makes a whole ε of the sign of a gradient that is zero but for round-off
        "size": 64,
    }
    run, state = distribute(settings)
    alike(run, carry_out(settings, "local").run)
    assert len(state.rates) == 2
    assert [line for line in state.warnings if "is there room?" not in line] == []  # a busy machine starts them slowly


@pytest.mark.faults
def test_a_worker_that_is_killed_loses_nothing(tmp_path, steady, distribute, steady_done, agree, monkeypatch):
    """With paths that count from the driver's folder: the workers are in another one."""
    monkeypatch.chdir(tmp_path)
    names = [entry | {"name": Path(entry["name"]).name} for entry in steady["classifiers"]]
    steady |= {"datasets": [steady["datasets"][0] | {"path": "album"}], "classifiers": names}
    killed = []

    def watch(state, step):
        if step.record and len(state.records[state.cells[1].folder]) in (2, 4) and len(killed) < 2:
            killed.append(actors()[0])
            killed[-1].kill()

    run, state = distribute(steady, watch=watch)
    assert len(killed) == 2
    assert sum("died; its" in line for line in state.warnings) >= 1
    assert len(run.record_lines.path.read().splitlines()) == 24, "each was recorded once"
    agree(run, steady_done.run)


@pytest.mark.faults
def test_an_image_that_kills_three_workers_becomes_an_error_record(settings, distribute, tiny, make_photo, album):
    make_photo(album / "deadly.png", 7, height=40)
    deadly = {"name": f"{tiny}:deadly", "label": "deadly"}
    plan = {**settings, "classifiers": [deadly], "methods": settings["methods"][:1], "size": "native"}
    run, state = distribute(plan, workers=1)
    records = {record.image: record for record in run.records()}
    assert len(records) == 7
    assert [name for name, record in records.items() if record.error] == ["deadly"]
    assert records["deadly"].error.startswith("3 workers died of it; the last: ")
    assert sum("died" in line for line in state.warnings) == 3


GRADIENTLESS = """

class Gradientless(Choosy):
    def forward(self, images):
        return super().forward(images) if images.requires_grad else self.net(images)


def gradientless():
    return Gradientless()
"""


@pytest.mark.slow
def test_an_error_of_the_classifier_is_that_of_a_local_run(settings, distribute, carry_out, tiny, make_photo, album):
    """In the attack it ends the run; before it, it is the photo's error (see `test_driver`)."""
    make_photo(album / "tall.png", 7, height=40)
    tiny.write_text(tiny.read_text() + GRADIENTLESS)
    net = {"name": f"{tiny}:gradientless", "label": "net"}
    failing = {**settings, "classifiers": [net], "methods": [{"name": "nfgsm"}], "size": "native"}
    for carry, options in ((carry_out, {}), (distribute, {"workers": 1})):
        with pytest.raises(AttackError, match=r"^nfgsm on net failed: no 40, please$"):
            carry(failing, carry.__name__, **options)


def shares(nodes, device="auto", workers=None, cores=None):
    """Return how many workers machines like these get, and the cores and the share of a GPU of each."""
    resources = [dict(zip(("CPU", "GPU"), node, strict=False)) for node in nodes]
    size, config = share_out(resources, make_config(device=device), workers, cores)
    return size, config.cores, config.gpus


@pytest.mark.parametrize(
    ("nodes", "options", "expected"),
    [
        ([(8,)], {}, (8, 1, 0)),
        ([(8,), (3,)], {"cores": 2}, (5, 2, 0)),
        ([(8,)], {"workers": 3}, (3, 1, 0)),
        ([(16, 1)], {}, (1, 16, 1)),
        ([(16, 1)], {"device": "cpu"}, (16, 1, 0)),
        ([(16, 1)], {"workers": 4}, (4, 4, 0.25)),
        ([(32, 4)], {"workers": 6}, (6, 4, 0.5)),
        ([(4,), (2, 1)], {}, (1, 2, 1)),  # a head without a GPU
        ([(4,), (64, 8), (16, 4)], {}, (12, 4, 1)),
        ([(1, 4)], {}, (4, 1, 1)),
    ],
)
def test_each_worker_gets_its_share_of_one_machine(nodes, options, expected):
    assert shares(nodes, **options) == expected


@pytest.mark.parametrize(
    ("nodes", "options", "problem"),
    [
        ([(2,), (2,)], {"cores": 4}, "there is no room for a worker of 4 CPU cores: machines have up to 2"),
        ([(64,), (2, 1)], {"cores": 4}, "there is no room for a worker of 4 CPU cores: machines have up to 2"),
        ([(0,)], {}, "there is no room for a worker of 1 CPU cores: machines have up to 0"),
        ([(8,)], {"device": "cuda"}, "there is no GPU for the workers"),
    ],
)
def test_workers_without_room_are_refused(nodes, options, problem):
    with pytest.raises(RunError, match=problem):
        shares(nodes, **options)


def test_without_ray_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"^the executor ray needs Ray: pip install 'edgefool\[ray\]'$"):
        RayWorkerPool("", make_config())


@pytest.mark.faults
def test_the_driver_is_killed_and_a_local_run_goes_on(tmp_path, tiny, album, edgefool, make_photo):
    """By the command line, with a Ray of its own, which listens on the loopback interface only."""
    for seed in range(6, 14):
        make_photo(album / f"{seed}.png", seed)
    options = ["--out", tmp_path / "run", "--classifier", f"{tiny}:stubborn", "--size", 32, "--batch-size", 1]
    options += ["--method", "nfgsm", "--set", "max_iterations=600"]
    command = [sys.executable, "-m", "edgefool", "attack", album, *options, "--workers", 1]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as driver:
        deadline = time.monotonic() + 90
        while not records(tmp_path / "run"):
            assert driver.poll() is None, driver.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        family = psutil.Process(driver.pid).children(recursive=True)
        addresses = {address for process in [driver.pid, *(p.pid for p in family)] for address in listening(process)}
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    before = len(records(tmp_path / "run"))
    assert 0 < before < 14, "the test needs a driver that was killed midway"
    assert addresses
    assert all(address in ("127.0.0.1", "::1", "::ffff:127.0.0.1") for address in addresses)
    _, alive = psutil.wait_procs([p for p in family if "_Actor" in p.name()], timeout=30)
    assert not alive, "workers end with their driver"
    for process in family:  # Ray's agents take longer
        if process.is_running():
            process.kill()
    assert edgefool("attack", album, *options, "--batch-size", 14)[0] == 0
    frame = load_records(tmp_path / "run")
    assert len(frame) == 14
    assert frame["error"].isna().all()
    assert len((tmp_path / "run/records.jsonl").read_text().splitlines()) == 14, "each was recorded once"


def records(run):
    return RunFolder(run).records()


def listening(pid):
    try:
        found = psutil.Process(pid).net_connections("inet")
    except psutil.Error:
        return []
    return [connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN]
