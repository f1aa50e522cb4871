"""Classifiers from a function in a user's Python file."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from edgefool.classifiers.class_names import class_names
from edgefool.classifiers.classifier import Classifier
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.errors import UsageError, unknown
from edgefool.storage import local_path


def load_factory(name: str, classes: Path | str | None = None) -> Classifier:
    """Return the classifier that a function in a Python file returns. The file is run.

    Parameters
    ----------
    name : str
        ``path/to/file.py:function``; the function takes no arguments and returns an ``nn.Module`` from images in
        [0, 1] to logits.
    classes : path, optional
        See `class_names`.

    Raises
    ------
    UsageError
        If the file or function does not exist or fails, or its module does not classify 224 x 224 images.
    """
    file, _, function = name.rpartition(":")
    path = local_path(file)
    net = _call_factory(path, function)
    net.eval()
    try:
        with torch.no_grad():
            logits = net(torch.zeros(1, 3, 224, 224))
    except Exception as error:
        raise UsageError(f"{name} cannot classify an image of 224 x 224: {_describe(error)}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        got = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UsageError(f"{name} should give one row of logits per image, not {got}")
    return Classifier(
        net,
        name=f"{path.stem}-{function}",
        classes=class_names(logits.shape[1], classes),
        architecture=f"{path.name}:{function} {hashlib.sha256(path.read_bytes()).hexdigest()}",
        preprocessing=Preprocessing(),
    )


def _call_factory(path: Path, function: str) -> nn.Module:
    if not path.is_file():
        raise UsageError(f"no Python file at {path}")
    try:
        module = _import_file(path.resolve())
    except Exception as error:
        raise UsageError(f"{path} cannot be imported: {_describe(error)}") from error
    factories = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    if function not in factories:
        raise unknown(f"function in {path}", function, factories)
    try:
        net = getattr(module, function)()
    except Exception as error:
        raise UsageError(f"{path}:{function} failed: {_describe(error)}") from error
    if not isinstance(net, nn.Module):
        raise UsageError(f"{path}:{function} returned a {type(net).__name__}, not an nn.Module")
    return net


def _import_file(path: Path) -> ModuleType:
    """Import a file with its folder on the path, as for a script; relative imports also work."""
    name = f"edgefool_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
