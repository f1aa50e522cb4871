"""Batch normalisation folded into convolutions: in eval mode it multiplies and adds constants, as they do.

A pass with its gradient then takes 0.76 to 0.90 of the time (`python -m benchmarks.passes`, docs/performance.md).
"""

from collections import Counter
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node, Tracer
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = ("Conv2d", "Conv2dSame")  # others, such as timm's StdConv2d, do not use their weights as they are
_NORMS = ("BatchNorm2d", "BatchNormAct2d")


class _Tracer(Tracer):
    """Leaves convolutions and norms whole, also timm's, whose code depends on the images' size."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


@torch.no_grad()
def fold_batch_norms(net: nn.Module) -> int:
    """Fold each batch norm that follows a convolution into it, in place; the logits stay the same up to rounding.

    A network whose code cannot be traced stays as it is.

    Parameters
    ----------
    net : nn.Module
        A network in eval mode that nobody trains any more.

    Returns
    -------
    int
        Number of folded norms.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> fold_batch_norms(net), net[1]
    (1, Identity())
    """
    modules = dict(net.named_modules())
    if not any(type(module).__name__ in _NORMS for module in modules.values()):
        return 0
    try:
        graph = _Tracer().trace(net)
    except Exception:  # whatever a network's code raises when it is called with no images
        return 0
    pairs = _find_pairs(graph, modules)
    for before, after in pairs:
        convolution, norm = cast(nn.Conv2d, modules[before]), cast(nn.BatchNorm2d, modules[after])
        # In float64; weights keep their type and their order in memory.
        folded = fuse_conv_bn_eval(deepcopy(convolution).double(), deepcopy(norm).double())
        convolution.weight.copy_(folded.weight)
        convolution.bias = nn.Parameter(cast(Tensor, folded.bias).to(convolution.weight), requires_grad=False)
        net.set_submodule(after, _what_remains(norm))
    return len(pairs)


def _find_pairs(graph: Graph, modules: dict[str, nn.Module]) -> list[tuple[str, str]]:
    """Return the names of convolutions, and of the norm that alone uses the result of each."""
    calls = [node for node in graph.nodes if node.op == "call_module"]
    uses = Counter(id(modules[str(node.target)]) for node in calls)

    def is_one(node: object, kinds: tuple[str, ...]) -> bool:
        if not isinstance(node, Node) or node.op != "call_module":
            return False
        module = modules[str(node.target)]
        return type(module).__name__ in kinds and uses[id(module)] == 1

    return [
        (str(node.args[0].target), str(node.target))
        for node in calls
        if is_one(node, _NORMS)
        and modules[str(node.target)].running_mean is not None
        and is_one(node.args[0], _CONVOLUTIONS)
        and len(node.args[0].users) == 1
    ]


def _what_remains(norm: nn.BatchNorm2d) -> nn.Module:
    """Return the activation within timm's norms; in eval mode their dropout does nothing."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()
