"""Checkpoints: finding the tensors of a network in a file, and loading them into a network that they fit exactly."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgefool.classifiers.checkpoint_files import read_weights_file
from edgefool.errors import ClassifierWarning, UsageError, unknown

State = Mapping[str, Tensor]
"""Tensors by name."""

_COUNTERS = ("total_ops", "total_params", "n_averaged")
"""Tensors that thop and torch's ``AveragedModel`` add to a network."""

_AUXILIARY = ("AuxLogits", "aux1", "aux2")
"""The auxiliary heads of Inception v3 and GoogLeNet, which only training uses."""


def read_state_dict(path: Path, network: nn.Module | None = None) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without running code from the file.

    Parameters
    ----------
    path : Path
        See `read_weights_file`. The tensors may be nested, at any key; a key after ``::``, with dots between those of
        nested dictionaries and parts of names, chooses among several: ``w.pth::state_dict_ema``.
    network : nn.Module, optional
        The network that they are for. A prefix that all names have (``module.``, ``model.``) is removed if they then
        have the names of its tensors, and had not before. Without it, ``module.`` is.

    Returns
    -------
    dict of str to Tensor
        On the CPU, floating point as float32. If nothing in the file has the network's names, what comes closest.

    Raises
    ------
    UsageError
        If the file cannot be read or holds no tensors by name, if several of its parts fit, or if a tensor is sparse,
        quantised or without data.

    Warns
    -----
    ClassifierWarning
        If the tensors are only part of the file, or under other names.
    """
    file, key = _split(path)
    parts = dict(_parts(read_weights_file(file)))
    if not parts:
        raise UsageError(f"{file} is not a checkpoint: it should hold tensors by name (a state_dict)")
    if key:
        known, parts = parts, dict(_choose(parts, key))
        if not parts:
            raise unknown(f"key of {file}", key, known)
    names = set[str]() if network is None else set(network.state_dict())
    found = {part: _match(state, names or _without_module(state)) for part, state in parts.items()}
    fitting = [part for part, match in found.items() if match.fits]
    if not fitting:
        if inner := _inner_parts(parts, names):
            raise UsageError(f"{file} holds more than the network; choose a part of it: {_choices(file, inner)}")
        fitting = [max(found, key=lambda part: len(names & found[part].state.keys()))]
    if len(fitting) > 1:
        raise UsageError(f"{file} holds several checkpoints; choose one: {_choices(file, fitting)}")
    match = found[fitting[0]]
    part = fitting[0] if fitting[0] != key else ""
    if part or match.changes:
        taken = ", ".join([part or "its tensors", *match.changes])
        warnings.warn(f"{file}: using {taken}", ClassifierWarning, stacklevel=2)
    return {name: _as_float(tensor, name, file) for name, tensor in match.state.items()}


def load_exactly(net: nn.Module, state: State, file: Path, name: str) -> None:
    """Load a state_dict into a network; auxiliary heads that it lacks are removed from the network.

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
        If a tensor is missing, unexpected or has another shape or kind of numbers.
    """
    for head in _AUXILIARY:
        if hasattr(net, head) and not any(key.startswith(f"{head}.") for key in state):
            setattr(net, head, None)
    own = net.state_dict()
    missing = [key for key in own if key not in state and not _is_counter(key)]
    extra = [key for key in state if key not in own]
    both = [key for key in own if key in state]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in both
        if state[key].shape != own[key].shape
    ]
    types = [
        f"{key} {state[key].dtype}" for key in both if state[key].is_floating_point() != own[key].is_floating_point()
    ]
    problems = {"missing": missing, "extra": extra, "of another shape": shapes, "of another type": types}
    found = [f"{len(keys)} {what} ({_first(keys)})" for what, keys in problems.items() if keys]
    if found:
        raise UsageError(f"{file} does not fit {name}: {'; '.join(found)}")
    net.load_state_dict({**own, **state})


class _Match(NamedTuple):
    """Tensors under the names of a network, as far as possible, and what was done to get there."""

    state: State
    changes: list[str]
    fits: bool


def _match(state: State, names: Set[str]) -> _Match:
    """Return the tensors under the first names that fit those of a network, else under those that come closest."""
    matches = []
    for change, new_names in _renamings(state):
        renamed = {new_names[name]: tensor for name, tensor in state.items()}
        kept = {name: tensor for name, tensor in renamed.items() if name in names or not _is_extra(name)}
        left = [name for name in renamed if name not in kept]
        changes = [change] * bool(change) + [f"without {_first(left)}"] * bool(left)
        matches.append(_Match(kept, changes, _fits(kept, names)))
        if matches[-1].fits:
            return matches[-1]
    return max(matches, key=lambda match: len(names & match.state.keys()))


def _renamings(state: State) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield ways to rename tensors: not at all, without a prefix of all, without DataParallel's inside names."""
    yield "", {name: name for name in state}
    names = [name for name in state if not _is_extra(name)]
    for prefix in accumulate(part + "." for part in min(names, default="").split(".")[:-1]):
        if all(name.startswith(prefix) for name in names):
            yield f"without the prefix {prefix}", {name: name.removeprefix(prefix) for name in state}
    inside = {name: ".".join(part for part in name.split(".") if part != "module") for name in state}
    yield "without module. inside names", inside


def _fits(state: State, names: Set[str]) -> bool:
    required = {name for name in names if not _is_counter(name) and name.partition(".")[0] not in _AUXILIARY}
    return required <= state.keys() <= names


def _without_module(state: State) -> Set[str]:
    whole = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") for name in state} if whole else state.keys()


def _is_counter(name: str) -> bool:
    """Return whether it counts batches: a frozen network needs no such counter, older checkpoints have none."""
    return name.endswith("num_batches_tracked")


def _is_extra(name: str) -> bool:
    """Return whether a network can do without the tensor."""
    return name.rpartition(".")[2] in _COUNTERS or name.partition(".")[0] in _AUXILIARY


def _parts(held: object, key: str = "") -> Iterator[tuple[str, State]]:
    """Yield each dictionary in a checkpoint that holds tensors by name, with the keys that lead to it."""
    if not isinstance(held, dict):
        return
    inner = {name: value for name, value in held.items() if isinstance(name, str) and isinstance(value, dict)}
    for name, value in inner.items():
        yield from _parts(value, f"{key}.{name}" if key else name)
    # Quantised networks of torch keep the weight and the bias of a layer as one pair.
    values = {name: value[0] if isinstance(value, tuple) and value else value for name, value in held.items()}
    state = {name: value for name, value in values.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if state and not inner:
        yield key, state


def _choose(parts: Mapping[str, State], key: str) -> Iterator[tuple[str, State]]:
    """Yield the parts of a checkpoint at a key, or the tensors whose names begin with it."""
    for part, state in parts.items():
        if f"{part}.".startswith(f"{key}."):
            yield part, state
        elif key.startswith(f"{part}." if part else ""):
            prefix = key.removeprefix(f"{part}." if part else "") + "."
            chosen = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
            if chosen:
                yield key, chosen


def _inner_parts(parts: Mapping[str, State], names: Set[str]) -> list[str]:
    """Return the keys below which a checkpoint holds the names of a network, beside others."""
    anchor = "." + next(name for name in names if not _is_counter(name) and not _is_extra(name))
    paths = [f"{part}.{name}".removeprefix(".") for part, state in parts.items() for name in state]
    keys = [path.removesuffix(anchor) for path in paths if path.endswith(anchor)]
    return [key for key in keys if any(_fits(state, names) for _, state in _choose(parts, key))]


def _as_float(tensor: Tensor, name: str, file: Path) -> Tensor:
    kinds = {
        "quantised: save the weights as they were before, or their x.dequantize()": tensor.is_quantized,
        "sparse: save x.to_dense()": tensor.layout != torch.strided,
        "without data (on the device meta): save the network after its weights were loaded": tensor.is_meta,
    }
    for kind, found in kinds.items():
        if found:
            raise UsageError(f"{file}: the tensor {name} is {kind}")
    return tensor.float() if tensor.is_floating_point() else tensor


def _choices(file: Path, keys: Iterable[str]) -> str:
    return _first([f"{file}::{key}" for key in keys], 5)


def _split(path: Path) -> tuple[Path, str]:
    """Return the file and the key of ``FILE::KEY``."""
    file, colons, key = str(path).rpartition("::")
    return (Path(file), key) if colons and key and not path.exists() else (path, "")


def _first(items: Collection[str], most: int = 3) -> str:
    return ", ".join(list(items)[:most]) + (", ..." if len(items) > most else "")
