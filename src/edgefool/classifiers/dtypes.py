"""The dtypes of images for a network and of its logits."""

import torch
from torch import Tensor, nn


def match_dtype(images: Tensor, network: nn.Module) -> Tensor:
    """Return images in the dtype of a network's parameters if that is float32 or float64, else unchanged."""
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    return images.to(dtype) if dtype in (torch.float32, torch.float64) else images


def at_least_float32(logits: Tensor) -> Tensor:
    """Return logits in float32 or better: in half precision their softmax is too coarse for probabilities."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
