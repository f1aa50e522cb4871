"""Networks by name: how to build each, and its published preprocessing.

Names are ``torchvision:NAME``, ``timm:NAME`` and, for the networks of `edgefool.classifiers.shipped`, ``shipped:NAME``.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgefool.classifiers import vision
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.classifiers.shipped import shipped_alexnet, shipped_resnet
from edgefool.errors import UsageError, check_known, unknown

Builder = Callable[..., nn.Module]
"""Takes a number of classes and perhaps arguments of the network's constructor, returns an untrained network."""


def find_builder(architecture: str) -> Builder:
    """Return the function that builds a network.

    Raises
    ------
    UsageError
        If the name is unknown.
    """
    library, _, network = architecture.partition(":")
    if library == "shipped":
        return {"resnet": shipped_resnet, "alexnet": shipped_alexnet}[network]
    if library == "timm":
        timm = import_timm()
        if not timm.is_model(network):
            raise unknown("timm classifier", network, timm.list_models())
        return lambda num_classes: timm.create_model(network, pretrained=False, num_classes=num_classes)
    models = vision.torchvision.models
    check_known("torchvision classifier", network, models.list_models(module=models))
    # Published weights of the two Inceptions need `transform_input`; their initialisation is slow and not needed.
    inception = {"transform_input": True, "init_weights": False} if network in ("googlenet", "inception_v3") else {}
    return lambda num_classes, **options: models.get_model(
        network, weights=None, num_classes=num_classes, **inception, **options
    )


def published_preprocessing(architecture: str, net: nn.Module | None = None) -> Preprocessing:
    """Return the preprocessing of a known network of timm or torchvision.

    That of its oldest weights; if ``net`` takes one size only, as vision transformers do, of the oldest for that size.
    """
    library, _, network = architecture.partition(":")
    if library == "timm":
        cfg = import_timm().get_pretrained_cfg(network)
        return Preprocessing(cfg.input_size[-1], cfg.interpolation, tuple(cfg.mean), tuple(cfg.std))
    recipes = [weights.transforms() for weights in vision.torchvision.models.get_model_weights(network)]
    size = getattr(net, "image_size", recipes[0].crop_size[0])
    recipe = next((recipe for recipe in recipes if recipe.crop_size[0] == size), recipes[0])
    return Preprocessing(size, recipe.interpolation.value, tuple(recipe.mean), tuple(recipe.std))


def build_network(build: Builder, num_classes: int) -> nn.Module:
    """Build a network without changing the global random state."""
    with torch.random.fork_rng(devices=[]):
        return build(num_classes)


def build_shapes(build: Builder, num_classes: int = 2) -> nn.Module:
    """Build a network only for its names and shapes, if possible without memory for its tensors."""
    try:
        with torch.device("meta"):
            return build(num_classes)
    except NotImplementedError:  # torchvision's RegNets compute with tensors while being built
        return build_network(build, num_classes)


def count_classes(build: Builder, state: Mapping[str, Tensor], name: str = "the network") -> int:
    """Return the number of classes of a checkpoint: the rows of the last tensor whose shape depends on that number.

    Parameters
    ----------
    build : callable
        Builds the network.
    state : mapping of str to Tensor
        The checkpoint. Without that tensor the result is 1000.
    name : str
        The network's name, for the error.

    Raises
    ------
    UsageError
        If no tensor depends on it.
    """
    two, three = build_shapes(build, 2).state_dict(), build_shapes(build, 3).state_dict()
    head = [key for key in two if two[key].shape != three[key].shape]
    if not head:
        raise UsageError(f"{name} has no classification head, it gives features: choose a network that gives logits")
    return len(state[head[-1]]) if head[-1] in state and state[head[-1]].ndim else 1000


def image_size(net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the option ``image_size`` of a vision transformer of torchvision, by the positions in a checkpoint."""
    positions = state.get("encoder.pos_embedding")
    if positions is None or positions.ndim != 3 or not isinstance(net, vision.torchvision.models.VisionTransformer):
        return {}
    return {"image_size": net.patch_size * math.isqrt(max(positions.shape[1] - 1, 1))}


def import_timm() -> Any:
    """Return timm: imported late, as that takes seconds, and untyped, as its annotations are incomplete."""
    return importlib.import_module("timm")
