"""Checkpoints: reading them without running code, and loading them into networks that they fit exactly."""

import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgefool.errors import UsageError

_NESTS = ("state_dict", "model")
_CODE = ("GLOBAL", "unrecognized function", "Can only create new object", "Can only build")
"""Parts of the messages in which torch's restricted unpickler reports more than tensors and containers."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without running code from the file.

    Parameters
    ----------
    path : Path
        safetensors, or a file of ``torch.save`` (old formats and Python 2 included). The tensors may be under the key
        ``"state_dict"`` or ``"model"``; ``module.``, which DataParallel adds to names, is removed.

    Returns
    -------
    dict of str to Tensor
        On the CPU, floating point as float32.

    Raises
    ------
    UsageError
        If the file is missing, is not a checkpoint, or cannot be read without running code.
    """
    if not path.is_file():
        raise UsageError(f"no weights file at {path}")
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    tensors = read(path)
    for nest in _NESTS:
        if isinstance(tensors, dict) and isinstance(tensors.get(nest), dict):
            tensors = tensors[nest]
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(x, Tensor) for x in tensors.values()):
        raise UsageError(f"{path} is not a checkpoint: it should hold tensors by name (a state_dict)")
    return {_without_module(name): x.float() if x.is_floating_point() else x for name, x in tensors.items()}


def load_exactly(net: nn.Module, state: Mapping[str, Tensor], file: Path, name: str) -> None:
    """Load a state_dict into a network.

    Parameters
    ----------
    net : nn.Module
        Changed in place.
    state : mapping of str to Tensor
        Its tensors by name.
    file, name
        The checkpoint's file and the network's name, for the error.

    Raises
    ------
    UsageError
        If a tensor is missing, unexpected or has another shape.
    """
    own = net.state_dict()
    # Checkpoints older than PyTorch 0.4.1 have no batch counters; a frozen network does not need them.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = {"missing": missing, "extra": extra, "of another shape": shapes}
    found = [f"{len(keys)} {what} ({_first(keys)})" for what, keys in problems.items() if keys]
    if found:
        raise UsageError(f"{file} does not fit {name}: {'; '.join(found)}")
    net.load_state_dict({**own, **state})


def _first(items: Sequence[str], most: int = 3) -> str:
    return ", ".join(items[:most]) + (", ..." if len(items) > most else "")


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UsageError(f"{path} is not a complete safetensors file: {error}") from error


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # torch warns that the encoding has no effect, but it has one in the old format.
            warnings.filterwarnings("ignore", "pickle_load_args only works", UserWarning)
            # latin1 reads any string from Python 2, which wrote the Places365 files.
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")
    except Exception as error:  # damaged files raise all kinds of errors
        if isinstance(error, pickle.UnpicklingError) and any(sign in str(error) for sign in _CODE):
            raise UsageError(
                f"{path} refused: reading it would run code; save the weights alone, torch.save(net.state_dict(), ...)"
            ) from error
        raise UsageError(f"{path} is not a checkpoint, or is damaged ({type(error).__name__})") from error


def _without_module(name: object) -> str:
    return ".".join(part for part in str(name).split(".") if part != "module")
