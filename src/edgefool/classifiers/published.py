"""Classifiers with the weights that torchvision and timm publish, downloaded by these libraries into their caches.

What a classifier needs beside its weights comes from the library's own description of them: preprocessing, names of
classes, terms.
"""

import json
import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from edgefool.classifiers import vision
from edgefool.classifiers.architectures import build_network, build_shapes, find_builder, image_size, import_timm
from edgefool.classifiers.checkpoints import load_exactly
from edgefool.classifiers.class_names import class_names
from edgefool.classifiers.hubs import downloading
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.errors import UsageError, unknown

_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
"""Names in the published files of DenseNets, with a dot that torch no longer allows."""


class Published(NamedTuple):
    """A network with its published weights, and what `Classifier` needs to know of them."""

    net: nn.Module
    architecture: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    tag: str | None
    licence: str | None


def load_torchvision(name: str, cache: Path | None = None, progress: bool = True) -> Published:
    """Return a network of torchvision with its published weights.

    Parameters
    ----------
    name : str
        ``torchvision:NAME``, with the default weights, or ``torchvision:NAME.WEIGHTS``.
    cache : Path, optional
        Folder of downloads, by default that of `torch.hub`.
    progress : bool
        Show a bar while downloading.

    Raises
    ------
    UsageError
        If the network or the weights are unknown, or the weights are for features only.
    RunError
        If they cannot be downloaded.
    """
    network, _, tag = name.partition(":")[2].partition(".")
    build = find_builder(f"torchvision:{network}")
    known = vision.torchvision.models.get_model_weights(network)
    if tag and tag not in known.__members__:
        raise unknown(f"weights of torchvision's {network}", tag, known.__members__)
    weights = known[tag or "DEFAULT"]
    classes = weights.meta["categories"]
    if classes is None:
        raise UsageError(f"{name} has no classification head, it gives features: choose other weights")
    with downloading(name, progress):
        state = weights.get_state_dict(
            model_dir=cache, map_location="cpu", progress=progress, check_hash=True, weights_only=True
        )
    state = {_OLD_DENSENET.sub(r"\1\2", key): tensor for key, tensor in state.items()}
    net = build_network(partial(build, **image_size(build_shapes(build), state)), len(classes))
    load_exactly(net, state, weights.url, name)
    preprocessing = torchvision_preprocessing(weights)
    licence = weights.meta.get("license")
    return Published(net, f"torchvision:{network}", tuple(classes), preprocessing, weights.name, licence)


def load_timm(name: str, cache: Path | None = None, progress: bool = True) -> Published:
    """Return a network of timm with its published weights.

    Parameters
    ----------
    name : str
        ``timm:NAME``, with the default weights, ``timm:NAME.TAG`` or ``hf-hub:OWNER/MODEL``.
    cache : Path, optional
        Folder of downloads, by default that of the Hugging Face hub.
    progress : bool
        Show a bar while downloading.

    Raises
    ------
    UsageError
        If the network or the weights are unknown, or timm cannot use them, or they are not those of a classifier of
        square RGB images.
    RunError
        If they cannot be downloaded.
    """
    timm = import_timm()
    if name.startswith("hf-hub:"):
        architecture, config = _hub_config(name, cache, progress)
    else:
        architecture, config = _known_config(name)
    _check_classifier(name, config)
    timm.models.set_pretrained_download_progress(progress)
    with downloading(name, progress), torch.random.fork_rng(devices=[]):
        net = timm.create_model(name.removeprefix("timm:"), pretrained=True, cache_dir=cache)
    preprocessing = timm_preprocessing(timm.data.resolve_data_config(pretrained_cfg=config))
    return Published(net, architecture, timm_classes(config), preprocessing, config.get("tag"), config.get("license"))


def torchvision_preprocessing(weights: Any) -> Preprocessing:
    """Return the preprocessing that torchvision publishes with weights (a member of a ``WeightsEnum``)."""
    recipe = weights.transforms()
    return _cropped(
        recipe.crop_size[0], recipe.resize_size[0], "center", recipe.interpolation.value, recipe.mean, recipe.std
    )


def timm_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing of a network of timm.

    Parameters
    ----------
    config : mapping
        What ``timm.data.resolve_data_config`` returns.
    """
    size = config["input_size"][-1]
    return _cropped(
        size,
        math.floor(size / config["crop_pct"]),
        config["crop_mode"],
        config["interpolation"],
        config["mean"],
        config["std"],
    )


def timm_classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of classes of a network of timm, of which some know only their number.

    Parameters
    ----------
    config : mapping
        Its ``pretrained_cfg``. Without names, the number of classes tells the subset of ImageNet that it was trained
        on.
    """
    data = import_timm().data
    count = config["num_classes"]
    subset = data.infer_imagenet_subset(dict(config))
    if labels := config.get("label_names"):
        info = data.CustomDatasetInfo(labels, config.get("label_descriptions"))
        return tuple(info.index_to_description(k) if info.has_label(k) else str(k) for k in range(count))
    if subset is None or count == 1000:  # the names of ImageNet-1k are those of the other classifiers
        return class_names(count)
    return tuple(data.ImageNetInfo(subset).label_descriptions())


def _known_config(name: str) -> tuple[str, dict[str, Any]]:
    """Return the architecture of ``timm:NAME[.TAG]`` and timm's description of its weights."""
    find_builder(name)
    timm = import_timm()
    network, tag = timm.models.split_model_name_tag(name.removeprefix("timm:"))
    tags = {found.partition(".")[2] for found in timm.list_pretrained(f"{network}.*")}
    if tag and tag not in tags:
        raise unknown(f"weights of timm's {network}", tag, tags)
    config = timm.get_pretrained_cfg(name.removeprefix("timm:"))
    if not config.has_weights:
        raise UsageError(f"timm publishes no weights of {name}; name a file of weights (weights=)")
    return f"timm:{network}.{config.tag}", config.to_dict()


def _hub_config(name: str, cache: Path | None, progress: bool) -> tuple[str, dict[str, Any]]:
    """Return the architecture of ``hf-hub:OWNER/MODEL`` and the description of its weights."""
    timm = import_timm()
    try:
        with downloading(name, progress):
            config, network, options = timm.models.load_model_config_from_hf(name.removeprefix("hf-hub:"), cache)
            options = json.dumps(options, sort_keys=True) if options else ""
    except UsageError as error:
        if isinstance(error.__cause__, KeyError | json.JSONDecodeError):
            raise UsageError(f"{name} is not a model of timm: its config.json names no architecture of timm") from error
        raise
    find_builder(f"timm:{network}")
    description = timm.models.PretrainedCfg().to_dict() | config
    return f"timm:{network} {options}".rstrip(), description


def _check_classifier(name: str, config: Mapping[str, Any]) -> None:
    channels, height, width = config["input_size"]
    if config["num_classes"] < 2:
        raise UsageError(f"{name} has no classification head, it gives features: choose a network that gives logits")
    if channels != 3 or height != width:
        raise UsageError(f"{name} takes {channels} channels of {height} x {width}; it must take 3 channels of a square")


def _cropped(size: int, resize_size: int, crop_mode: Any, interpolation: str, mean: Any, std: Any) -> Preprocessing:
    if interpolation not in ("bilinear", "bicubic"):
        raise UsageError(f"the interpolation {interpolation} has no gradient; it must be bilinear or bicubic")
    resized = None if resize_size == size else resize_size
    return Preprocessing(size, interpolation, tuple(mean), tuple(std), resized, crop_mode)
