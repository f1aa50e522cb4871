"""What a network gives for images, found by trying it."""

import warnings
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from edgefool.classifiers.dtypes import match_dtype
from edgefool.errors import ClassifierWarning, UsageError

_SIDES = (224, 299, 384, 256, 512, 128, 112, 96, 64, 48, 32, 28)
"""Sides in pixels of common networks; a network that takes any size is tried at the first only."""


def count_logits(net: nn.Module, name: str, size: int | None = None) -> int:
    """Return the number of logits that a network gives, and warn if they look like probabilities.

    Parameters
    ----------
    net : nn.Module
        Images (N, 3, H, W) in [0, 1] to logits (N, D), in eval mode.
    name : str
        The network's name, for messages.
    size : int, optional
        Side of the images in pixels. Common ones are tried without it, and if it fails.

    Raises
    ------
    UsageError
        If the network takes none of these sizes or only another one, or does not give at least two logits for each
        image.
    """
    wanted = size or _SIDES[0]
    errors: dict[int, BaseException] = {}
    works = _sides_that_work(net, dict.fromkeys((wanted, *_SIDES)), errors)
    side, outputs = next(works, (0, []))
    # A network that takes several sizes but not this one may still be of use: each image gets its own error.
    if not side or (size and wanted in errors and next(works, None) is None):
        hint = f"; it takes {side} x {side}, so set size to {side}" if side else ""
        failure = f"{name} cannot classify an image of {wanted} x {wanted}: {describe(errors[wanted])}{hint}"
        raise UsageError(failure) from errors[wanted]
    one, two = (_check_rows(output, count, name) for count, output in enumerate(outputs, 1))
    if one.shape[1] < 2:
        raise UsageError(f"{name} gives {one.shape[1]} logits per image; it needs one for each class, at least two")
    if (two >= 0).all() and ((two.double().sum(1) - 1).abs() < 0.01).all():
        warnings.warn(
            f"{name} gives what looks like probabilities (no value is negative, each row sums to 1): attacks and "
            "detection expect logits, the values before the softmax",
            ClassifierWarning,
            stacklevel=2,
        )
    return one.shape[1]


def describe(error: BaseException) -> str:
    """Return an error in one line."""
    if isinstance(error, SystemExit):
        return f"it calls sys.exit({'' if error.code is None else repr(error.code)})"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _sides_that_work(
    net: nn.Module, sides: Iterable[int], errors: dict[int, BaseException]
) -> Iterator[tuple[int, list[object]]]:
    """Yield sides with what the network gives for one image and for two; note the errors of the others."""
    for side in sides:
        images = match_dtype(torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)), net.parameters())
        try:
            with torch.no_grad():
                outputs = [net(images[:1].clone()), net(images.clone())]  # copies, as a network may change its input
        except (Exception, SystemExit) as error:  # the network may be any code
            errors[side] = error
        else:
            yield side, outputs


def _check_rows(output: object, count: int, name: str) -> Tensor:
    if isinstance(output, Tensor) and output.ndim == 2 and len(output) == count:
        return output
    got = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise UsageError(f"{name} should give one row of logits per image, not {got}{' for two images' * (count > 1)}")
