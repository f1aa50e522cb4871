"""Gradients that pass where a network's ReLU is off, as those of other networks do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_RELUS = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6}
_HARDTANH = {F.hardtanh, F.hardtanh_}  # timm's and torchvision's ReLU6 is one from 0 to 6


class LeakyGradients(TorchFunctionMode):
    """Within it, ReLU and ReLU6 return what they always do, and their gradients are those of a leaky ReLU.

    Where a network's ReLU is off, another network's may be on, so an attack that also follows these gradients transfers
    better. Guo et al., NeurIPS 2020, https://arxiv.org/abs/2012.03528, pass the whole gradient in the later layers;
    here all layers pass a small share, as attacks with 0.3 fail (docs/decisions/0008-robust-edgefool.md). ReLU6 also
    passes gradients where it is at 6. TorchScript networks keep their own gradients.

    Parameters
    ----------
    slope : float
        The share of a gradient that passes where the output is 0; 0: that of ReLU.

    Examples
    --------
    >>> values = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> with LeakyGradients(0.1):
    ...     rectified = values.relu()
    >>> rectified.sum().backward()
    >>> rectified.tolist(), values.grad
    ([0.0, 2.0], tensor([0.1000, 1.0000]))
    """

    def __init__(self, slope: float):
        super().__init__()
        self.slope = slope

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, with other gradients if it is a ReLU."""
        others = kwargs or {}
        if self.slope and args and (func in _RELUS or (func in _HARDTANH and _is_relu6(*args, **others))):
            return _Leaky.apply(args[0], lambda values: func(values, *args[1:], **others), self.slope)  # type: ignore[no-untyped-call]
        return func(*args, **others)


def _is_relu6(values: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> bool:
    return min_val == 0 and max_val > 0


class _Leaky(torch.autograd.Function):
    """A rectifier with the gradient of a leaky ReLU."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rectify: Callable[[Tensor], Tensor], slope: float) -> Tensor:
        rectified = rectify(values)
        if rectified is values:
            ctx.mark_dirty(values)
        ctx.save_for_backward(rectified)
        ctx.slope = slope
        return rectified

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None, None]:
        (rectified,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(gradients, rectified, ctx.slope, True), None, None
