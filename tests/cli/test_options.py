"""Values of the options that several commands share."""

import os

import pytest

from edgefool.cli.options import Executor, parse_constants, parse_device, parse_executor, parse_size
from edgefool.errors import UsageError


def test_sizes():
    assert [parse_size(text) for text in ("native", "16", "10000")] == ["native", 16, 10000]


@pytest.mark.parametrize("text", ["large", "15", "10001", "-5", "", "2e2"])
def test_sizes_that_are_refused(text):
    with pytest.raises(UsageError, match=rf"^--size {text}: must be native or a number of pixels from 16 to 10000$"):
        parse_size(text)


def test_constants():
    assert parse_constants(["alpha=5", " path = a=b "]) == {"alpha": "5", "path": "a=b"}
    with pytest.raises(UsageError, match=r"^--set alpha: must be FIELD=VALUE$"):
        parse_constants(["alpha"])


@pytest.mark.parametrize("name", ["tpu9", "meta"])
def test_devices_that_are_not_available(name):
    """``meta`` exists but holds no data."""
    with pytest.raises(UsageError, match=rf"^--device {name} is not available here \("):
        parse_device(name)


def test_this_process_is_the_default():
    assert parse_executor(None, None, None, "cpu", 4) == Executor("cpu", 4)


@pytest.mark.parametrize(
    ("executor", "workers", "cores", "device", "message"),
    [
        ("local", 2, None, "cpu", "--workers and --cores need --executor ray"),
        ("local", None, 1, "cpu", "--workers and --cores need --executor ray"),
        ("dask", None, None, "cpu", "--executor dask: must be local, ray, ray://HOST:PORT or ray://auto"),
        ("ray://nowhere", None, None, "cpu", "--executor ray://nowhere: must be local"),
        ("ray", None, None, "cuda:1", "--device cuda:1: must be auto, cpu or cuda with Ray"),
        (None, None, (os.cpu_count() or 1) + 1, "cpu", f"this machine has {os.cpu_count()}"),
    ],
)
def test_executors_that_are_refused(executor, workers, cores, device, message):
    with pytest.raises(UsageError) as caught:
        parse_executor(executor, workers, cores, device, None)
    assert message in str(caught.value)
