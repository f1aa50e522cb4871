"""Options that several commands share, and how their values are read."""

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgefool.errors import UsageError

if TYPE_CHECKING:
    from edgefool.execution import Execution
    from edgefool.experiments import Experiment
    from edgefool.runs import RunFolder

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run.")]
OutFolder = Annotated[
    str, typer.Option("--out", metavar="PATH", help="Folder of the run. Repeat the command to resume it.")
]
DeviceName = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Photos attacked at a time.", show_default="as many as fit in memory")
]
ExecutorName = Annotated[
    str | None,
    typer.Option(
        help="local: this process; ray: workers on this machine; ray://HOST:PORT or ray://auto: a Ray cluster.",
        show_default="local, or ray with --workers or --cores",
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of workers.", show_default="one per GPU, or per --cores cores")
]
Cores = Annotated[
    int | None, typer.Option(min=1, help="CPU cores per worker.", show_default="1; with GPUs, an equal share")
]
Retry = Annotated[bool, typer.Option("--retry", help="Retry the photos that gave an error.")]


def parse_size(text: str) -> int | Literal["native"]:
    """Return the value of `--size`."""
    if text == "native":
        return "native"
    from edgefool.images import MAX_SIDE, MIN_SIDE

    if not text.isdecimal() or not MIN_SIDE <= int(text) <= MAX_SIDE:
        raise UsageError(f"--size {text}: must be native or a number of pixels from {MIN_SIDE} to {MAX_SIDE}")
    return int(text)


def parse_constants(texts: list[str]) -> dict[str, str]:
    """Return the values of `--set` by field."""
    constants = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: must be FIELD=VALUE")
        constants[name.strip()] = value.strip()
    return constants


def parse_device(name: str) -> str:
    """Return the device that `--device` names, once it has proved to work."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name} is not available here ({str(error).splitlines()[0]})") from error
    return name


@dataclass(frozen=True)
class Executor:
    """What runs the attacks: this process if ``address`` is None, else Ray, on this machine if ``address`` is ""."""

    device: str = "cpu"
    address: str | None = None
    workers: int | None = None
    cores: int | None = None

    @property
    def is_ray(self) -> bool:
        """Whether Ray workers run the attacks."""
        return self.address is not None

    @property
    def driver_device(self) -> str:
        """Where this process loads the classifiers; with Ray it only identifies them."""
        return "cpu" if self.is_ray else self.device

    def execution(self, experiment: "Experiment", run: "RunFolder", batch_size: int | None, retry: bool) -> "Execution":
        """Return the execution of an experiment in a run folder."""
        from edgefool.execution import Execution, ray_execution

        if self.address is None:
            return Execution(experiment, run, batch_size=batch_size, retry=retry)
        return ray_execution(
            experiment,
            run,
            self.address,
            workers=self.workers,
            cores=self.cores,
            device=self.device,
            batch_size=batch_size,
            retry=retry,
        )


def parse_executor(executor: str | None, workers: int | None, cores: int | None, device: str) -> Executor:
    """Return what `--executor`, `--workers`, `--cores` and `--device` ask for, if it can be had."""
    name = executor or ("ray" if workers or cores else "local")
    if name == "local":
        if workers or cores:
            raise UsageError("--workers and --cores need --executor ray")
        return Executor(parse_device(device))
    if not re.fullmatch(r"ray(://(auto|[^\s:/]+:[0-9]+))?", name):
        raise UsageError(f"--executor {name}: must be local, ray, ray://HOST:PORT or ray://auto")
    address = name.removeprefix("ray").removeprefix("://")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: must be auto, cpu or cuda with Ray, which gives each worker its device")
    if not address and device == "cuda":
        parse_device(device)
    if not address and cores and cores > (os.cpu_count() or 1):
        raise UsageError(f"--cores {cores}: this machine has {os.cpu_count()}")
    from edgefool.execution.distributed.ray_pool import import_ray

    import_ray(address)  # fail now if Ray is missing
    return Executor(device, address, workers, cores)
