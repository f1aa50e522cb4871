"""A classifier's pass with the gradient of its images: what folded batch norms, memory order and compilation give.

The networks have random weights, on which the time does not depend.
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.timing import in_turns
from edgefool.classifiers.architectures import find_builder
from edgefool.classifiers.fusion import fold_batch_norms

NETWORKS = ("torchvision:resnet50", "torchvision:resnet18", "timm:tf_efficientnet_lite0", "timm:tf_efficientnet_lite1")


def step(net: nn.Module, images: Tensor) -> None:
    """Take the gradient of the largest logits."""
    images = images.detach().requires_grad_()
    torch.autograd.grad(net(images).max(1).values.sum(), images)


def with_bfloat16(net: nn.Module, images: Tensor) -> None:
    """Take it with convolutions in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        step(net, images)


def ways(net: nn.Module, images: Tensor, *, is_compiled: bool) -> dict[str, Callable[[], None]]:
    """Return the ways by name; the first is the plain one."""
    net = net.eval().requires_grad_(False)
    folded = deepcopy(net)
    fold_batch_norms(folded)
    in_last_order = images.contiguous(memory_format=torch.channels_last)
    last = deepcopy(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    both = deepcopy(folded).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found: dict[str, Callable[[], None]] = {
        "plain": partial(step, net, images),
        "channels last": partial(step, last, in_last_order),
        "folded": partial(step, folded, images),
        "folded, channels last": partial(step, both, in_last_order),
        "the same in bfloat16": partial(with_bfloat16, both, in_last_order),
    }
    if is_compiled:
        compiled = deepcopy(both)
        compiled.compile()
        found["the same compiled"] = partial(step, compiled, in_last_order)
    return found


def main() -> None:
    """Print the milliseconds an image of the plain way, and the share of them that each of the others takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="torchvision:NAME or timm:NAME")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile too, a minute for each network")
    arguments = parser.parse_args()
    for name in arguments.networks:
        for count in arguments.batch_sizes:
            images = torch.rand(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
            tried = ways(find_builder(name)(num_classes=1000), images, is_compiled=arguments.compile)
            plain, *others = in_turns(*tried.values(), rounds=arguments.rounds)
            ratios = ", ".join(f"{way} {s / plain:.2f}" for way, s in zip(list(tried)[1:], others, strict=True))
            print(f"{name}, batch of {count}: plain {1000 * plain / count:.1f} ms an image; {ratios}", flush=True)


if __name__ == "__main__":
    main()
