"""Pure functions that attacks share: logits, losses, gradients and projections of batches."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgefool.errors import UsageError


class Gradient(NamedTuple):
    """Gradients (N, 3, H, W), zero for images where they are not finite; masks (N,) of zero and of finite gradients."""

    values: Tensor
    is_zero: Tensor
    is_finite: Tensor


def image_gradient(losses: Tensor, images: Tensor, *, retain_graph: bool = False) -> Gradient:
    """Return the gradients of losses (N,), one per image, with respect to images (N, 3, H, W).

    >>> images = torch.ones(2, 3, 1, 1, requires_grad=True)
    >>> image_gradient(images.square().sum((1, 2, 3)) * torch.tensor([1.0, 0.0]), images).is_zero
    tensor([False,  True])
    """
    if losses.requires_grad:
        (values,) = torch.autograd.grad(
            losses.sum(), images, retain_graph=retain_graph, allow_unused=True, materialize_grads=True
        )
    else:  # a classifier whose logits do not depend on the image at all
        values = torch.zeros_like(images)
    largest = values.abs().flatten(1).amax(1)
    is_finite = largest.isfinite()
    return Gradient(torch.where(per_image(is_finite), values, 0), largest == 0, is_finite)


@contextmanager
def as_written() -> Iterator[None]:
    """Ignore `torch.compile`: the graph of a compiled network allows a single backward pass."""
    compiled = "torch._dynamo" in sys.modules  # importing it takes seconds
    with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
        yield


@torch.no_grad()
def clean_logits(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (N, D) of original images; the argmax of each row is the class y (Eq. 3).

    Raises
    ------
    UsageError
        If a logit is not a finite number.
    """
    logits: Tensor = classifier(images)
    if not logits.isfinite().all():
        raise UsageError("the classifier's logits for the original image are not finite numbers")
    return logits


def class_changed(logits: Tensor, classes: Tensor) -> Tensor:
    """Return whether the argmax of finite logits (N, D) is another class: (N,), bool.

    >>> class_changed(torch.tensor([[2.0, 2.0], [1.0, 2.0]]), torch.tensor([0, 0]))
    tensor([False,  True])
    """
    changed: Tensor = (logits.argmax(1) != classes) & logits.isfinite().all(1)
    return changed


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """Return z_y - max over i ≠ y of z_i, Eq. 8: (N, D) and (N,) to (N,); negative once the class has changed.

    >>> margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
    tensor([1.])
    """
    others = logits.scatter(1, classes[:, None], -torch.inf)
    difference: Tensor = logits.gather(1, classes[:, None])[:, 0] - others.max(1).values
    return difference


def project(images: Tensor, originals: Tensor, epsilon: float) -> Tensor:
    """Project images onto the L∞ ball of radius ``epsilon`` around their originals and onto [0, 1]."""
    return images.clamp(originals - epsilon, originals + epsilon).clamp(0, 1)


def l2_norm(images: Tensor) -> Tensor:
    """Return the L2 norm of each image: (N, 3, H, W) to (N,)."""
    norms: Tensor = torch.linalg.vector_norm(images, dim=(1, 2, 3))
    return norms


def per_image(values: Tensor) -> Tensor:
    """Return values (N,) as (N, 1, 1, 1), for broadcasting over images."""
    return values[:, None, None, None]
