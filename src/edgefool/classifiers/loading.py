"""From a name to a classifier: the catalogue, torchvision, timm, or a factory in the user's own file."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from edgefool.classifiers.catalogue import CATALOGUE, Entry
from edgefool.classifiers.classifier import Classifier
from edgefool.classifiers.vision import torchvision
from edgefool.classifiers.weights import cache_folder, fetch, read_state_dict
from edgefool.errors import UsageError, unknown
from edgefool.storage import local_path

_DATA = Path(__file__).parent / "data"
_COUNTS = {entry.dataset: entry.num_classes for entry in CATALOGUE.values()}


def load_classifier(
    name: str,
    *,
    weights: Path | str | None = None,
    classes: Path | str | None = None,
    device: torch.device | str = "cpu",
    cache: Path | str | None = None,
    progress: bool = True,
) -> Classifier:
    """Return a classifier, frozen and ready.

    Parameters
    ----------
    name : str
        A name of the catalogue; ``torchvision:NAME`` or ``timm:NAME`` (with ``weights``); or
        ``path/to/file.py:factory``, a function without arguments that returns an ``nn.Module`` from images in [0, 1] to
        logits, normalisation inside. The file is run: name only files that you trust.
    weights : path, optional
        Checkpoint, read by `edgefool.classifiers.read_state_dict`. With a name of the catalogue: its architecture and
        preprocessing with these weights, and no download. The number of classes is the checkpoint's.
    classes : path, optional
        Text file with one class name a line. Without it: the names of the catalogue's dataset, or for a classifier that
        you bring those of ImageNet if it has 1000 classes, of Places365 if it has 365, else the indices.
    device : torch.device or str
        Where the classifier is put.
    cache : path, optional
        Folder of downloaded weights; default `EDGEFOOL_CACHE`, else the user's cache folder.
    progress : bool
        Show a bar while downloading, if stderr is a terminal.

    Raises
    ------
    UsageError
        If the name is unknown, or a file is missing, does not fit or fails.
    RunError
        If weights cannot be downloaded.
    """
    if ".py:" in name:
        if weights is not None:
            raise UsageError(f"{name} loads its own weights; leave --weights out")
        return _from_factory(name, classes).to(device)
    recipe = _recipe(name)
    file = local_path(weights) if weights is not None else _own_weights(name, Path(cache or cache_folder()), progress)
    state = read_state_dict(file)
    count = _count_classes(recipe.build, state)
    net = _build(recipe.build, count)
    _fill(net, state, file, name)
    return Classifier(
        net,
        name=name.rpartition(":")[2],
        classes=_class_names(count, classes, recipe.dataset),
        architecture=recipe.architecture,
        input_size=recipe.input_size,
        interpolation=recipe.interpolation,
        mean=recipe.mean,
        std=recipe.std,
        channels_last=torch.device(device).type == "cpu",
    ).to(device)


@dataclass(frozen=True)
class _Recipe:
    """How to build a network for a number of classes, and what its images go through first."""

    build: Callable[[int], nn.Module]
    architecture: str
    input_size: int
    interpolation: str
    mean: Sequence[float]
    std: Sequence[float]
    dataset: str | None = None


def _recipe(name: str) -> _Recipe:
    if name in CATALOGUE:
        return _entry_recipe(CATALOGUE[name])
    if name.startswith("torchvision:"):
        return _torchvision_recipe(name)
    if name.startswith("timm:"):
        return _timm_recipe(name)
    if name.endswith(".py"):
        raise UsageError(f"{name} needs the name of a function in it: {name}:FUNCTION")
    raise unknown("classifier", name, CATALOGUE)


def _entry_recipe(entry: Entry) -> _Recipe:
    library, network = entry.architecture.split(":")
    build = _shipped(network) if library == "shipped" else _torchvision(network)
    return _Recipe(
        build, entry.architecture, entry.input_size, entry.interpolation, entry.mean, entry.std, entry.dataset
    )


def _torchvision_recipe(name: str) -> _Recipe:
    network = name.removeprefix("torchvision:")
    known = torchvision.models.list_models(module=torchvision.models)
    if network not in known:
        raise unknown("torchvision classifier", network, known)
    oldest = next(iter(torchvision.models.get_model_weights(network)))
    images = oldest.transforms()
    size, interpolation = images.crop_size[0], images.interpolation.value
    return _Recipe(_torchvision(network), name, size, interpolation, images.mean, images.std)


def _timm_recipe(name: str) -> _Recipe:
    try:
        import timm
    except ImportError as error:
        raise UsageError(f"{name} needs timm: pip install 'edgefool[timm]'") from error
    network = name.removeprefix("timm:")
    if not timm.is_model(network):
        raise unknown("timm classifier", network, timm.list_models())

    def build(num_classes: int) -> nn.Module:
        net: nn.Module = timm.create_model(network, pretrained=False, num_classes=num_classes)
        return net

    images: Any = _shell(build, 2).default_cfg
    size = images["input_size"][-1]
    return _Recipe(build, name, size, images["interpolation"], images["mean"], images["std"])


def _torchvision(network: str) -> Callable[[int], nn.Module]:
    # The two Inceptions as their published weights want them; their own initialisation is slow and not needed.
    inception = {"transform_input": True, "init_weights": False} if network in ("googlenet", "inception_v3") else {}

    def build(num_classes: int) -> nn.Module:
        net: nn.Module = torchvision.models.get_model(network, weights=None, num_classes=num_classes, **inception)
        return net

    return build


def _shipped(network: str) -> Callable[[int], nn.Module]:
    from edgefool.classifiers import shipped

    return {"resnet": shipped.shipped_resnet, "alexnet": shipped.shipped_alexnet}[network]


def _own_weights(name: str, cache: Path, progress: bool) -> Path:
    """Return the file with the weights of a catalogue entry, downloaded if need be."""
    if name not in CATALOGUE:
        raise UsageError(f"{name} needs a file with its weights (--weights FILE)")
    entry = CATALOGUE[name]
    if entry.url is None:
        return _DATA / f"{name.replace('-', '_')}.safetensors"
    return fetch(entry.url, entry.sha256, cache, progress=progress)


def _build(build: Callable[[int], nn.Module], count: int) -> nn.Module:
    """Build a network without moving the global random state by its initialisation."""
    with torch.random.fork_rng(devices=[]):
        return build(count)


def _shell(build: Callable[[int], nn.Module], count: int) -> nn.Module:
    """Build a network for its shapes only: without memory for its tensors, where it can be built so."""
    try:
        with torch.device("meta"):
            return build(count)
    except NotImplementedError:  # torchvision's RegNets compute with tensors while they are built
        return _build(build, count)


def _count_classes(build: Callable[[int], nn.Module], state: dict[str, Tensor]) -> int:
    """Return how many classes a checkpoint has: the rows of the last tensor whose shape depends on their number."""
    two, three = _shell(build, 2).state_dict(), _shell(build, 3).state_dict()
    head = [name for name in two if two[name].shape != three[name].shape][-1]
    return len(state[head]) if head in state and state[head].ndim else 1000


def _fill(net: nn.Module, state: dict[str, Tensor], file: Path, name: str) -> None:
    """Load a state_dict that must fit exactly."""
    own = net.state_dict()
    # Checkpoints older than PyTorch 0.4.1 have no batch counters; nothing that is frozen needs them.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = {"missing": missing, "extra": extra, "of another shape": shapes}
    told = [f"{len(keys)} {what} ({_first(keys)})" for what, keys in problems.items() if keys]
    if told:
        raise UsageError(f"{file} does not fit {name}: {'; '.join(told)}")
    net.load_state_dict(own | state)


def _first(items: Sequence[str], most: int = 3) -> str:
    return ", ".join(items[:most]) + (", ..." if len(items) > most else "")


def _class_names(count: int, file: Path | str | None, dataset: str | None = None) -> tuple[str, ...]:
    if file is not None:
        try:
            names = tuple(local_path(file).read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the class names of {file}: {error}") from error
        if len(names) != count:
            raise UsageError(f"{file} names {len(names)} classes; the classifier has {count}")
        return names
    for known in (dataset, "ImageNet", "Places365"):
        if known and _COUNTS[known] == count:
            return _dataset_classes(known)
    return tuple(str(index) for index in range(count))


def _dataset_classes(dataset: str) -> tuple[str, ...]:
    if dataset == "ImageNet":
        return tuple(torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
    if dataset == "Places365":
        return tuple((_DATA / "places365_classes.txt").read_text(encoding="utf-8").splitlines())
    with safe_open(_DATA / "caltech101_resnet.safetensors", "pt") as file:
        return tuple(json.loads(file.metadata()["classes"]))


def _from_factory(name: str, classes: Path | str | None) -> Classifier:
    file, _, function = name.rpartition(":")
    path = local_path(file)
    net = _call_factory(path, function)
    net.eval()
    try:
        with torch.no_grad():
            logits = net(torch.zeros(1, 3, 224, 224))
    except Exception as error:
        raise UsageError(f"{name} cannot classify an image of 224 x 224: {_told(error)}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        got = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UsageError(f"{name} should give one row of logits per image, not {got}")
    return Classifier(
        net,
        name=f"{path.stem}-{function}",
        classes=_class_names(logits.shape[1], classes),
        architecture=f"{path.name}:{function} {hashlib.sha256(path.read_bytes()).hexdigest()}",
        input_size=None,
    )


def _call_factory(path: Path, function: str) -> nn.Module:
    if not path.is_file():
        raise UsageError(f"no Python file at {path}")
    try:
        module = _run(path.resolve())
    except Exception as error:
        raise UsageError(f"{path} cannot be imported: {_told(error)}") from error
    factories = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    if function not in factories:
        raise unknown(f"function in {path}", function, factories)
    try:
        net = getattr(module, function)()
    except Exception as error:
        raise UsageError(f"{path}:{function} failed: {_told(error)}") from error
    if not isinstance(net, nn.Module):
        raise UsageError(f"{path}:{function} returned a {type(net).__name__}, not an nn.Module")
    return net


def _run(path: Path) -> Any:
    """Import a file as Python runs a script (its folder is on the path), and so that relative imports work too."""
    name = f"edgefool_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
