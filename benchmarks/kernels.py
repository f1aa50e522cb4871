"""Ways to run a network for each image of a batch, forward and backward: the reason for what `fcnn` does.

Plain: torch's layers, one image after the other. Grouped: one convolution with a group per image. vmap:
`torch.func.vmap` over images and weights. Matrices: each 3x3 kernel as nine shifted matrix products. Unfolded: as one
matrix product of the nine shifted maps. Compiled: plain, by `torch.compile`.
"""

import argparse
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import in_turns
from edgefool.filters import fcnn, smoother_parameters
from edgefool.filters.fcnn import DILATIONS, EPSILON, KERNELS, MAPS, SLOPE, split_parameters

Network = Callable[[Tensor, Tensor], Tensor]
Convolution = Callable[[Tensor, Tensor, int, int], Tensor]


def with_convolution(convolve: Convolution) -> Network:
    """Return the network of images (N, 3, H, W), side by side in the channels, with this 3x3 convolution."""

    def network(parameters: Tensor, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        maps = images.reshape(1, 3 * n, height, width)
        pieces = split_parameters(parameters)
        for kernel, dilation in zip(KERNELS, DILATIONS, strict=True):
            weight = next(pieces).reshape(n * kernel[0], *kernel[1:])
            w0, w1, gain, bias = next(pieces), next(pieces), next(pieces), next(pieces)
            maps = convolve(maps, weight, dilation, n)
            variance, mean = torch.var_mean(maps, (2, 3), correction=0, keepdim=True)
            norm = (maps - mean) * (variance + EPSILON).rsqrt()
            linear = w0.expand(n, MAPS).reshape(1, -1, 1, 1)
            maps = linear * maps + (w1 * gain).view(1, -1, 1, 1) * norm + (w1 * bias).view(1, -1, 1, 1)
            maps = F.leaky_relu(maps, SLOPE)
        weight = next(pieces).reshape(n * 3, MAPS, 1, 1)
        return F.conv2d(maps, weight, next(pieces).reshape(-1), groups=n).reshape(n, 3, height, width)

    return network


def grouped(maps: Tensor, weight: Tensor, dilation: int, n: int) -> Tensor:
    """Return torch's convolution with n groups."""
    return F.conv2d(maps, weight, padding=dilation, dilation=dilation, groups=n)


def shifted(maps: Tensor, weight: Tensor, dilation: int, n: int) -> Tensor:
    """Return the sum of nine matrix products, each of shifted maps."""
    height, width = maps.shape[2:]
    padded = F.pad(maps, [dilation] * 4).view(n, -1, height + 2 * dilation, width + 2 * dilation)
    total = maps.new_zeros(n, MAPS, height * width)
    taps = weight.view(n, MAPS, -1, 3, 3)
    for row in range(3):
        for column in range(3):
            y, x = row * dilation, column * dilation
            total = total + taps[..., row, column] @ padded[:, :, y : y + height, x : x + width].flatten(2)
    return total.view(1, -1, height, width)


class _Unfolded(torch.autograd.Function):
    """One matrix product for each image; what it multiplies is made again in the backward pass, to save memory."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.dilation = dilation
        return weight @ F.unfold(maps, 3, dilation, dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        maps, weight = ctx.saved_tensors
        d_weight = gradients[0] @ F.unfold(maps, 3, ctx.dilation, ctx.dilation).mT
        d_maps = F.fold(weight.mT @ gradients[0], maps.shape[2:], 3, ctx.dilation, ctx.dilation)
        return d_maps, d_weight, None


def unfolded(maps: Tensor, weight: Tensor, dilation: int, n: int) -> Tensor:
    """Return one matrix product of the nine shifted maps."""
    height, width = maps.shape[2:]
    result = _Unfolded.apply(maps.view(n, -1, height, width), weight.view(n, MAPS, -1), dilation)  # type: ignore[no-untyped-call]
    return result.view(1, -1, height, width)  # type: ignore[no-any-return]


def each(network: Network) -> Network:
    """Run a network for one image after the other."""
    return lambda parameters, images: torch.cat(
        [network(row[None], image[None]) for row, image in zip(parameters, images, strict=True)]
    )


def by_vmap(parameters: Tensor, images: Tensor) -> Tensor:
    """Run the plain network under vmap."""
    plain = with_convolution(grouped)
    run: Network = torch.func.vmap(lambda row, image: plain(row[None], image[None])[0])
    return run(parameters, images)


def main() -> None:
    """Print milliseconds per image of each way, and that they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    plain = with_convolution(grouped)
    ways: dict[str, Network] = {
        "fcnn": fcnn,
        "plain": each(plain),
        "grouped": plain,
        "vmap": by_vmap,
        "matrices": with_convolution(shifted),
        "unfolded": with_convolution(unfolded),
    }
    if shutil.which("c++"):  # without a compiler there is no compiling
        ways["compiled"] = each(torch.compile(plain))
    for count in arguments.batch_sizes:
        torch.manual_seed(0)
        images = torch.rand(count, 3, arguments.side, arguments.side, device=arguments.device)
        parameters = smoother_parameters().to(arguments.device).expand(count, -1).contiguous().requires_grad_()
        expected = fcnn(parameters, images)
        for name, way in ways.items():
            torch.testing.assert_close(way(parameters, images), expected, atol=1e-4, rtol=1e-3, msg=name)
        seconds = in_turns(
            *(partial(_train, way, parameters, images) for way in ways.values()), rounds=arguments.rounds
        )
        shares = ", ".join(f"{name} {1e3 * s / count:.0f}" for name, s in zip(ways, seconds, strict=True))
        print(f"batch of {count}, {arguments.device}, ms per image: {shares}", flush=True)


def _train(way: Network, parameters: Tensor, images: Tensor) -> None:
    torch.autograd.grad(way(parameters, images).square().mean(), parameters)
    if images.is_cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
