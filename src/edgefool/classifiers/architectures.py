"""Networks by name: how to build each, and its published preprocessing.

Names are ``torchvision:NAME``, ``timm:NAME`` and, for the networks of `edgefool.classifiers.shipped`, ``shipped:NAME``.
"""

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType

import torch
from torch import Tensor, nn

from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.classifiers.shipped import shipped_alexnet, shipped_resnet
from edgefool.classifiers.vision import torchvision
from edgefool.errors import UsageError, unknown

Builder = Callable[[int], nn.Module]
"""Takes a number of classes, returns an untrained network."""


def find_builder(architecture: str) -> Builder:
    """Return the function that builds a network.

    Raises
    ------
    UsageError
        If the name is unknown, or timm is needed but not installed.
    """
    library, _, network = architecture.partition(":")
    if library == "shipped":
        return {"resnet": shipped_resnet, "alexnet": shipped_alexnet}[network]
    if library == "timm":
        timm = _import_timm(architecture)
        if not timm.is_model(network):
            raise unknown("timm classifier", network, timm.list_models())
        return lambda num_classes: timm.create_model(network, pretrained=False, num_classes=num_classes)
    known = torchvision.models.list_models(module=torchvision.models)
    if network not in known:
        raise unknown("torchvision classifier", network, known)
    # Published weights of the two Inceptions need `transform_input`; their initialisation is slow and not needed.
    inception = {"transform_input": True, "init_weights": False} if network in ("googlenet", "inception_v3") else {}
    return lambda count: torchvision.models.get_model(network, weights=None, num_classes=count, **inception)


def published_preprocessing(architecture: str) -> Preprocessing:
    """Return the preprocessing of a known network of timm or torchvision (of its oldest weights)."""
    library, _, network = architecture.partition(":")
    if library == "timm":
        cfg = _import_timm(architecture).get_pretrained_cfg(network)
        return Preprocessing(cfg.input_size[-1], cfg.interpolation, tuple(cfg.mean), tuple(cfg.std))
    images = next(iter(torchvision.models.get_model_weights(network))).transforms()
    return Preprocessing(images.crop_size[0], images.interpolation.value, tuple(images.mean), tuple(images.std))


def build_network(build: Builder, num_classes: int) -> nn.Module:
    """Build a network without changing the global random state."""
    with torch.random.fork_rng(devices=[]):
        return build(num_classes)


def count_classes(build: Builder, state: Mapping[str, Tensor]) -> int:
    """Return the number of classes of a checkpoint: the rows of the last tensor whose shape depends on that number.

    Parameters
    ----------
    build : callable
        Builds the network.
    state : mapping of str to Tensor
        The checkpoint. Without that tensor the result is 1000.
    """
    two, three = _build_shapes(build, 2).state_dict(), _build_shapes(build, 3).state_dict()
    head = [name for name in two if two[name].shape != three[name].shape][-1]
    return len(state[head]) if head in state and state[head].ndim else 1000


def _build_shapes(build: Builder, num_classes: int) -> nn.Module:
    """Build a network only for its shapes, if possible without memory for its tensors."""
    try:
        with torch.device("meta"):
            return build(num_classes)
    except NotImplementedError:  # torchvision's RegNets compute with tensors while being built
        return build_network(build, num_classes)


def _import_timm(architecture: str) -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise UsageError(f"{architecture} needs timm: pip install 'edgefool[timm]'") from error
