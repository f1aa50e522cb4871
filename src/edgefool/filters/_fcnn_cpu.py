"""The network of `fcnn.py` for batches in which each image has its own weights, as fast as torch's kernels allow."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight
from torch.utils.checkpoint import checkpoint

from edgefool.errors import UsageError
from edgefool.filters.fcnn import DILATIONS, EPSILON, KERNELS, MAPS, PARAMETERS, SLOPE, split_parameters

_AT_A_TIME = 2  # layers that are computed again together
_WIDEST = 16  # largest dilation at which torch's convolution is fast on CPUs; see `WideConvolution`


def fcnn(parameters: Tensor, images: Tensor, *, save_memory: bool = False) -> Tensor:
    """Apply to each image its own `FCNN`.

    Parameters
    ----------
    parameters : Tensor
        (N, P), a row per image, as `identity_parameters` makes them.
    images : Tensor
        (N, 3, H, W), RGB in [0, 1].
    save_memory : bool
        Compute the layers again in the backward pass, two at a time, instead of keeping their maps. The gradients are
        the same.

    Returns
    -------
    Tensor
        The structures I_s, (N, 3, H, W), unclipped.

    Raises
    ------
    UsageError
        If the shapes do not fit.

    Examples
    --------
    >>> from edgefool.filters import identity_parameters
    >>> images = torch.rand(2, 3, 16, 16)
    >>> fcnn(torch.stack([identity_parameters(0), identity_parameters(1)]), images).shape
    torch.Size([2, 3, 16, 16])
    """
    if images.dim() != 4 or images.shape[1] != 3 or parameters.shape != (len(images), PARAMETERS):
        raise UsageError(
            f"fcnn takes images (N, 3, H, W) and parameters (N, {PARAMETERS}), "
            f"not {tuple(images.shape)} and {tuple(parameters.shape)}"
        )
    if images.is_cuda:
        return grouped(parameters, images, save_memory=save_memory)
    # Grouped convolutions are slow on CPUs; one image at a time also keeps its maps in the cache.
    rows = zip(torch.split(parameters, 1), torch.split(images, 1), strict=True)
    return torch.cat([grouped(row, image, save_memory=save_memory) for row, image in rows])


def grouped(parameters: Tensor, images: Tensor, *, save_memory: bool = False) -> Tensor:
    """Run N networks as one with N groups, the images stacked in the channels."""
    n, _, height, width = images.shape
    maps = images.reshape(1, n * 3, height, width).contiguous(memory_format=torch.channels_last)
    *pieces, weight, bias = split_parameters(parameters)
    layers = [(*pieces[5 * k : 5 * k + 5],) for k in range(len(KERNELS))]
    if save_memory:
        for first in range(0, len(layers), _AT_A_TIME):
            block = range(first, min(first + _AT_A_TIME, len(layers)))
            maps = checkpoint(_run_layers, maps, [layers[k] for k in block], block, use_reentrant=False)
    else:
        maps = _run_layers(maps, layers, range(len(layers)))
    return F.conv2d(maps, weight.reshape(n * 3, MAPS, 1, 1), bias.reshape(-1), groups=n).reshape(n, 3, height, width)


def _run_layers(maps: Tensor, layers: Sequence[tuple[Tensor, ...]], numbers: Iterable[int]) -> Tensor:
    """Run layers, given by their pieces (N, ...) of the parameters and their numbers."""
    for (kernel, w0, w1, gain, bias), number in zip(layers, numbers, strict=True):
        n, dilation, shape = len(kernel), DILATIONS[number], KERNELS[number]
        weight = kernel.reshape(n * shape[0], *shape[1:]).contiguous(memory_format=torch.channels_last)
        if dilation > _WIDEST and n == 1 and not maps.is_cuda:
            maps = WideConvolution.apply(maps, weight, dilation)  # type: ignore[no-untyped-call]
        else:
            maps = F.conv2d(maps, weight, padding=dilation, dilation=dilation, groups=n)
        linear = w0.expand(n, MAPS).reshape(-1)
        maps = NormaliseAndActivate.apply(maps, linear, (w1 * gain).reshape(-1), (w1 * bias).reshape(-1))  # type: ignore[no-untyped-call]
    return maps


class WideConvolution(torch.autograd.Function):
    """A dilated 3x3 convolution of one image whose weight gradient is fast at any dilation.

    Above a dilation of 28 columns oneDNN falls back to a slow kernel: 26 ms instead of 2.6 ms for 24 maps of 224 x 224
    on 2 cores. Splitting even and odd columns into two images halves the dilation with the same sums: 5.6 ms with the
    copies.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.dilation = dilation
        return F.conv2d(maps, weight, padding=dilation, dilation=dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        maps, weight = ctx.saved_tensors
        d = ctx.dilation
        d_maps = conv2d_input(maps.shape, weight, gradients[0], padding=d, dilation=d)  # type: ignore[no-untyped-call]
        d_weight = conv2d_weight(  # type: ignore[no-untyped-call]
            _even_and_odd(maps), weight.shape, _even_and_odd(gradients[0]), padding=(d, d // 2), dilation=(d, d // 2)
        )
        return d_maps, d_weight, None


def _even_and_odd(maps: Tensor) -> Tensor:
    """Return the even and the odd columns of (1, M, H, W) as (2, M, H, (W + 1) // 2), padded with zeros if W is odd."""
    columns = F.pad(maps, (0, maps.shape[3] % 2)).permute(0, 2, 3, 1)
    _, height, width, count = columns.shape
    return columns.reshape(height, width // 2, 2, count).permute(2, 0, 1, 3).contiguous().permute(0, 3, 1, 2)


class NormaliseAndActivate(torch.autograd.Function):
    """leaky_relu(linear · x + gain · (x - mean) / std + bias) for each map of x, shape (1, M, H, W).

    In torch's own batch normalisation the statistics and the backward pass take 8 ms each for 24 maps of 224 x 224
    on 2 cores, a tenth of the whole network; here the same sums run over whole image rows and take 0.3 ms.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, linear: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        rows, pixels = _rows(maps), maps[0, 0].numel()
        mean = _sum(rows, len(linear)) / pixels
        output = rows * rows  # its memory is reused below: new pages cost as much as the arithmetic
        variance = (_sum(output, len(linear)) / pixels - mean.square()).clamp_min_(0)
        inverse_std = (variance + EPSILON).rsqrt_()
        scale = linear + gain * inverse_std
        shift = bias - gain * inverse_std * mean
        torch.addcmul(_spread(shift, rows), rows, _spread(scale, rows), out=output)
        F.leaky_relu_(output, SLOPE)
        ctx.save_for_backward(maps, output, linear, gain, mean, inverse_std)
        return _maps(output, maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        maps, output, linear, gain, mean, inverse_std = ctx.saved_tensors
        rows, pixels = _rows(maps), maps[0, 0].numel()
        gradient = torch.ops.aten.leaky_relu_backward(_rows(gradients[0]), output, SLOPE, True)
        d_bias = _sum(gradient, len(linear))
        d_maps = gradient * rows
        d_linear = _sum(d_maps, len(linear))
        d_gain = inverse_std * (d_linear - mean * d_bias)
        on_gradient = linear + gain * inverse_std
        on_maps = -gain * inverse_std.square() * d_gain / pixels
        constant = -gain * inverse_std * d_bias / pixels - on_maps * mean
        torch.addcmul(_spread(constant, rows), rows, _spread(on_maps, rows), out=d_maps)
        d_maps.addcmul_(gradient, _spread(on_gradient, rows))
        return _maps(d_maps, maps), d_linear, d_gain, d_bias


def _rows(maps: Tensor) -> Tensor:
    """View (1, M, H, W) as (H, W * M): long rows, on which torch's sums and products are fast."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[2], -1)


def _maps(rows: Tensor, like: Tensor) -> Tensor:
    return rows.view(1, *like.shape[2:], like.shape[1]).permute(0, 3, 1, 2)


def _sum(rows: Tensor, count: int) -> Tensor:
    return rows.sum(0).view(-1, count).sum(0)


def _spread(values: Tensor, rows: Tensor) -> Tensor:
    return values.repeat(rows.shape[1] // len(values))
