"""Feature squeezing (Xu et al., 2018): squeezing changes the class probabilities of adversarial images most."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefool.classifiers import SafeClassifier
from edgefool.errors import UsageError, check_known


def bit_depth_reduction(images: Tensor, bits: int) -> Tensor:
    """Round images to ``bits`` bits per channel: rint(x · (2^bits - 1)) / (2^bits - 1), halves to even.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), floating point, values in [0, 1].
    bits : int
        1 to 8.

    Returns
    -------
    Tensor
        (N, C, H, W) in [0, 1]; same dtype and device as ``images``.

    Raises
    ------
    UsageError
        If the shape, the dtype or ``bits`` is invalid.

    Examples
    --------
    >>> bit_depth_reduction(torch.tensor([0.0, 0.2, 0.5, 0.9]).view(1, 1, 1, 4), bits=2).flatten()
    tensor([0.0000, 0.3333, 0.6667, 1.0000])
    """
    _check_images(images)
    if bits not in range(1, 9):
        raise UsageError(f"bits must be 1 to 8, not {bits}")
    # As a tensor: GPUs divide by a Python number by multiplying with its reciprocal, which rounds twice.
    levels = torch.full((), 2**bits - 1, dtype=images.dtype, device=images.device)
    reduced: Tensor = torch.round(images * levels) / levels
    return reduced


def median_smoothing(images: Tensor, size: int) -> Tensor:
    """Replace each pixel by the median of its window, channel by channel.

    Equals ``scipy.ndimage.median_filter(images, size=(1, 1, size, size), mode="reflect")``, which the authors of the
    detector use, bit for bit: the 2 x 2 window holds the pixel and its neighbours above, to the left and above left,
    and its median is the larger of the two middle values. Borders repeat the outermost pixels.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), floating point.
    size : {2, 3}
        Height and width of the window.

    Returns
    -------
    Tensor
        (N, C, H, W); same dtype and device as ``images``.

    Raises
    ------
    UsageError
        If the shape, the dtype or ``size`` is invalid.

    Examples
    --------
    >>> image = torch.tensor([[1.0, 2.0, 3.0], [4.0, 9.0, 5.0], [6.0, 7.0, 8.0]]).view(1, 1, 3, 3)
    >>> median_smoothing(image, size=3)[0, 0, 1, 1], median_smoothing(image, size=2)[0, 0, 1, 1]
    (tensor(5.), tensor(4.))
    """
    _check_images(images)
    if size not in (2, 3):
        raise UsageError(f"size must be 2 or 3, not {size}")
    padded = F.pad(images, (1, size - 2, 1, size - 2), mode="replicate")
    return _median_2x2(padded) if size == 2 else _median_3x3(padded)


def _median_2x2(padded: Tensor) -> Tensor:
    """Return the third smallest of each 2 x 2 window, (N, C, H + 1, W + 1) to (N, C, H, W)."""
    above, here = padded[..., :-1, :], padded[..., 1:, :]
    low, high = torch.minimum(above, here), torch.maximum(above, here)
    # Of two sorted pairs: the larger of the larger low and the smaller high.
    inner = torch.maximum(low[..., :-1], low[..., 1:])
    return torch.maximum(inner, torch.minimum(high[..., :-1], high[..., 1:]))


def _median_3x3(padded: Tensor) -> Tensor:
    """Return the median of each 3 x 3 window, (N, C, H + 2, W + 2) to (N, C, H, W).

    Each column of three is sorted once for the three windows that share it. The median of nine is the median of the
    largest low, the median of the middles and the smallest high of three sorted columns.
    """
    above, here, below = padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :]
    low, high = torch.minimum(above, here), torch.maximum(above, here)
    middle = torch.minimum(high, below)
    high = torch.maximum(high, below)
    low, middle = torch.minimum(low, middle), torch.maximum(low, middle)
    return _median_of_3(
        torch.maximum(torch.maximum(low[..., :-2], low[..., 1:-1]), low[..., 2:]),
        _median_of_3(middle[..., :-2], middle[..., 1:-1], middle[..., 2:]),
        torch.minimum(torch.minimum(high[..., :-2], high[..., 1:-1]), high[..., 2:]),
    )


def _median_of_3(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


SQUEEZERS: dict[str, Callable[[Tensor], Tensor]] = {
    **{f"bits{bits}": partial(bit_depth_reduction, bits=bits) for bits in range(1, 8)},
    **{f"median{size}": partial(median_smoothing, size=size) for size in (2, 3)},
}
"""Squeezers by name: images (N, C, H, W) to squeezed images of the same shape."""

PAPER_SQUEEZERS = ("bits4", "bits5", "bits6", "bits7", "median2", "median3")
"""The squeezers of Table 1 of the paper."""


def squeezing_scores(classifier: nn.Module, images: Tensor, squeezers: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return how much a classifier's probabilities change when images are squeezed.

    Takes S + 1 forward passes of the whole batch.

    Parameters
    ----------
    classifier : nn.Module
        Images in [0, 1] to logits (N, D); used in eval mode and left as it was.
    images : Tensor
        (N, C, H, W), floating point, values in [0, 1].
    squeezers : sequence of str
        S names of `SQUEEZERS`.

    Returns
    -------
    logits : Tensor
        (N, D), of the images, in float32 or better.
    scores : Tensor
        (N, S) in [0, 2]: the L1 distance between the probabilities of the image and of its squeezed version.

    Raises
    ------
    UsageError
        If the shape or dtype of the images is invalid, or a squeezer is unknown.

    Examples
    --------
    >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))
    >>> logits, scores = squeezing_scores(classifier, torch.rand(4, 3, 8, 8), PAPER_SQUEEZERS)
    >>> logits.shape, scores.shape
    (torch.Size([4, 5]), torch.Size([4, 6]))
    """
    _check_images(images)
    for name in squeezers:
        check_known("squeezer", name, SQUEEZERS)
    safe = classifier if isinstance(classifier, SafeClassifier) else SafeClassifier(classifier)
    with safe.in_use(images.device.type), torch.no_grad():
        logits: Tensor = safe(images)
        probabilities = logits.softmax(1)
        scores = probabilities.new_empty(len(images), len(squeezers))
        for column, name in enumerate(squeezers):
            squeezed = safe(SQUEEZERS[name](images)).softmax(1)
            scores[:, column] = (squeezed - probabilities).abs().sum(1)
    return logits, scores


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise UsageError(f"images must be (N, C, H, W) floats, not {images.dtype} of shape {tuple(images.shape)}")
