"""Options shared by several commands, and the parsing of their values."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgefool.errors import UsageError

if TYPE_CHECKING:
    from edgefool.execution import RunState, Step

_CLASSIFIER = re.compile(r"(?:([^=@:/\\]*)=)?(.*\.py:\w+|[^@]*)(?:@(.*))?", re.DOTALL)
CLASSIFIER_FORMS = (
    "[LABEL=]NAME, or [LABEL=]NAME@CHECKPOINT with your own weights instead of published ones. LABEL appears in tables."
    " NAME is one of `edgefool list classifiers`, torchvision:NAME, timm:NAME, hf-hub:OWNER/MODEL, clip:MODEL/TAG or"
    " path/to/file.py:factory. CHECKPOINT is a file of safetensors or torch: FILE, or FILE::KEY for a part of it."
)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run.")]
OutFolder = Annotated[
    str, typer.Option("--out", metavar="PATH", help="Folder of the run. Repeat the command to resume it.")
]
DeviceName = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Photos attacked at a time.", show_default="as many as fit in memory, up to 4, or 128 on a GPU"
    ),
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
EnsembleNames = Annotated[
    list[str] | None,
    typer.Option(
        "--ensemble",
        metavar="NAME",
        help=f"Attack these classifiers together; repeat it for each. {CLASSIFIER_FORMS}",
        show_default="efficientnet-lite0, -lite1 and -lite2, which need no download",
    ),
]
JudgeNames = Annotated[
    list[str] | None,
    typer.Option(
        "--verify-with",
        metavar="NAME",
        help="Also judge by these classifiers, without attacking them; repeat it for each. Forms as for --ensemble.",
        show_default="only those that are attacked",
    ),
]
MaxMegapixels = Annotated[
    int | None, typer.Option(min=1, help="Refuse photos of more than this many million pixels.", show_default="100")
]
GroupsFile = Annotated[
    str | None,
    typer.Option(
        metavar="CSV",
        help="Semantic groups of your own classes: the columns class, group and perhaps hypernyms (a > b > c).",
        show_default="those of ImageNet for its classes",
    ),
]
Robustness = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Measure what survives transformations: jpeg90, jpeg75, jpeg50, half, blur1, crop90, webp80, denoise and "
        "social, separated by commas, or all.",
        show_default="none",
    ),
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


def parse_classifier(text: str, checkpoint: str | None = None, option: str = "--classifier") -> dict[str, str | None]:
    r"""Return the label, name and checkpoint in ``[LABEL=]NAME[@CHECKPOINT]``, as keys of a plan.

    A label holds none of ``= @ : / \``, and a name other than ``file.py:factory`` no ``@``, so a checkpoint may hold
    all of them. If the whole text is the factory of a file that exists, it is that one. ``checkpoint`` is the value of
    `--weights`, and ``option`` the option that has this value.
    """
    path, _, _ = text.rpartition(":")
    if path.endswith(".py") and os.path.isfile(path):
        return {"label": None, "name": text, "weights": checkpoint}
    label, name, weights = _CLASSIFIER.fullmatch(text).groups()  # type: ignore[union-attr]  # it matches every text
    if weights is not None and checkpoint is not None:
        raise UsageError(f"{option} {text} has a checkpoint; leave out --weights")
    if not name or weights == "":
        raise UsageError(f"{option} {text}: must be [LABEL=]NAME[@CHECKPOINT]")
    weights = checkpoint if weights is None else os.path.expanduser(weights)
    return {"label": label, "name": os.path.expanduser(name), "weights": weights}


def parse_robustness(text: str | None) -> tuple[str, ...]:
    """Return the transformations in the value of `--robustness`, each once."""
    from edgefool.metrics import TRANSFORMATIONS, check_transformation

    if text == "all":
        return tuple(TRANSFORMATIONS)
    names = [] if text is None else [name.strip() for name in text.split(",")]
    return tuple(dict.fromkeys(map(check_transformation, names)))


def parse_ensemble(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the values of `--ensemble` as entries of a plan: the members, which only judge, and the ensemble."""
    if len(texts) < 2:
        raise UsageError("--ensemble: name at least two classifiers, each with its own --ensemble")
    members = [parse_classifier(text, option="--ensemble") for text in texts]
    names = [member["label"] or str(member["name"]).rpartition(":")[2] for member in members]
    ensemble = {"label": " + ".join(names)[:60], "members": names}
    return [*({**member, "role": "judge"} for member in members), ensemble]


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
    """Return the device that `--device` names, after checking that it works."""
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
    """What runs the attacks.

    Attributes
    ----------
    device : str
        Device on which this process loads the classifiers; with Ray it only identifies them.
    batch_size : int or None
        Photos attacked at a time.
    pool : dict or None
        Arguments of `edgefool.execution.make_ray_pool`; None: this process runs them.
    """

    device: str = "cpu"
    batch_size: int | None = None
    pool: Mapping[str, Any] | None = None

    def run(self, state: "RunState") -> Iterator["Step"]:
        """Carry out the missing work of a run; see `edgefool.execution.run_local`."""
        from edgefool.execution import make_ray_pool, run_distributed, run_local

        if self.pool is None:
            return run_local(state, batch_size=self.batch_size)
        return run_distributed(state, make_ray_pool(state, batch_size=self.batch_size, **self.pool))


def parse_executor(
    executor: str | None, workers: int | None, cores: int | None, device: str, batch_size: int | None
) -> Executor:
    """Return the executor for `--executor`, `--workers`, `--cores`, `--device` and `--batch-size`, if available."""
    name = executor if executor is not None else "ray" if workers or cores else "local"
    if name == "local":
        if workers or cores:
            raise UsageError("--workers and --cores need --executor ray")
        return Executor(parse_device(device), batch_size)
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
    pool = {"address": address, "workers": workers, "cores": cores, "device": device}
    return Executor("cpu", batch_size, pool)
