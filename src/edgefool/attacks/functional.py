"""Pure functions that attacks share: logits, losses, gradients and projections of batches."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefool.classifiers import Ensemble, member_logits
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
def clean_member_logits(classifier: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """Return the logits (N, D_m) of original images by each member of an ensemble, or by a single classifier.

    Raises
    ------
    UsageError
        If a logit is not a finite number.
    """
    logits = member_logits(classifier, images)
    finite = torch.stack([member.isfinite().all() for member in logits]).tolist()
    if not all(finite):
        who = classifier.names[finite.index(False)] if isinstance(classifier, Ensemble) else "the classifier"
        raise UsageError(f"the logits of {who} for the original image are not finite numbers")
    return logits


def clean_logits(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (N, D) of original images by a single classifier; raise as `clean_member_logits` does.

    The argmax of each row is the class y (Eq. 3).
    """
    (logits,) = clean_member_logits(classifier, images)
    return logits


def decide(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return the classes of original images, as `classes_of` does; raise as `clean_member_logits` does."""
    return classes_of(classifier, clean_member_logits(classifier, images))


def classes_of(classifier: nn.Module, logits: Sequence[Tensor]) -> Tensor:
    """Return the classes by the logits of each member: (N, M) for an ensemble, (N,) for a single classifier."""
    classes = torch.stack([member.argmax(1) for member in logits], 1)
    return classes if isinstance(classifier, Ensemble) else classes[:, 0]


def cross_entropies(logits: Sequence[Tensor], classes: Tensor) -> Tensor:
    """Return the cross-entropy of each of M logits (N, D_m) and its column of classes (N, M): (N, M)."""
    pairs = zip(logits, classes.unbind(1), strict=True)
    return torch.stack([F.cross_entropy(z, y, reduction="none") for z, y in pairs], 1)


def margin(logits: Tensor, classes: Tensor, temperature: float = 0.0) -> Tensor:
    """Return z_y - max over i ≠ y of z_i, Eq. 8: (N, D) and (N,) to (N,); negative once the class has changed.

    ``temperature`` as in `margin_of_sets`.

    >>> margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
    tensor([1.])
    """
    return margin_of_sets(logits, F.one_hot(classes, logits.shape[1]).bool(), temperature)


def margin_of_sets(logits: Tensor, own: Tensor, temperature: float = 0.0) -> Tensor:
    """Return the largest logit of a set of classes less the largest outside it: (N, D) and a mask (N, D) to (N,).

    At a temperature T, T log Σ exp(z / T) stands for the largest logit; at 1, this is the logarithm of the odds of
    the set.

    >>> logits, own = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[True, False, True]])
    >>> margin_of_sets(logits, own), margin_of_sets(logits, own, temperature=1)
    (tensor([2.]), tensor([2.3133]))
    """
    inside, outside = logits.masked_fill(~own, -torch.inf), logits.masked_fill(own, -torch.inf)
    if temperature == 0:
        return inside.max(1).values - outside.max(1).values
    return temperature * ((inside / temperature).logsumexp(1) - (outside / temperature).logsumexp(1))


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
