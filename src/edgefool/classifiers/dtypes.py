"""The dtypes of images for a network and of its logits."""

from collections.abc import Iterable

import torch
from torch import Tensor


def match_dtype(images: Tensor, parameters: Iterable[Tensor]) -> Tensor:
    """Return images in the dtype of a network's parameters if that is float32 or float64, else unchanged."""
    dtype = next((p.dtype for p in parameters if p.is_floating_point()), None)
    return images.to(dtype) if dtype in (torch.float32, torch.float64) else images


def at_least_float32(logits: Tensor) -> Tensor:
    """Return logits in float32 or better: in half precision their softmax is too coarse for probabilities."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
