"""Attack a classifier that another library holds: its range of images, its logits, its labels."""

import warnings
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from edgefool.attacks import Attack, Criterion
from edgefool.classifiers import Classifier
from edgefool.errors import ClassifierWarning, UsageError

ROUNDING = 1e-5
"""How far values may lie outside the range, as a share of it: what normalising and back again costs in float32."""

FEW_RIGHT = 0.1
"""Share of right labels up to which something is probably wrong with the classifier's input."""

ENOUGH_LABELS = 3
"""Fewer labels say nothing about accuracy."""


class LibraryClassifier(nn.Module):
    """A classifier of another library as one of images in [0, 1].

    Parameters
    ----------
    net : nn.Module
        The network, which attacks freeze while they use it.
    logits : callable
        The library's own way from images in its range to logits (N, D), differentiable; it calls ``net``.
    low, high : float
        The library's range of images.

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    >>> classifier = LibraryClassifier(net, net, 0, 255)
    >>> levels = 255 * torch.rand(4, 3, 2, 2)
    >>> torch.allclose(classifier(classifier.to_unit(levels)), net(levels), rtol=1e-4, atol=1e-3)
    True
    """

    logits: Callable[[Tensor], Tensor]

    def __init__(self, net: nn.Module, logits: Callable[[Tensor], Tensor], low: float = 0, high: float = 1):
        super().__init__()
        self.net, self.logits, self.low, self.high = net, logits, low, high
        if isinstance(net, Classifier):  # some attacks ask for these
            self.classes, self.groups, self.preprocessing = net.classes, net.groups, net.preprocessing

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, D) of images (N, 3, H, W) in [0, 1]."""
        return self.logits(self.from_unit(images))

    def from_unit(self, images: Tensor) -> Tensor:
        """Return images in [0, 1] in the library's range."""
        return images * (self.high - self.low) + self.low

    def to_unit(self, images: Tensor) -> Tensor:
        """Return images of the library's range in [0, 1]; raise `UsageError` as `within_range` does."""
        return ((self.within_range(images) - self.low) / (self.high - self.low)).clamp(0, 1)

    def within_range(self, images: Tensor) -> Tensor:
        """Return images clipped to the library's range; raise `UsageError` if they leave it by more than rounding."""
        images = images.detach()
        lowest, highest = (value.item() for value in images.aminmax()) if images.numel() else (self.low, self.high)
        margin = ROUNDING * (self.high - self.low)
        if not self.low - margin <= lowest <= highest <= self.high + margin:  # nor if one is NaN
            raise UsageError(
                f"images must lie in [{self.low:g}, {self.high:g}]; these go from {lowest:g} to {highest:g}. The usual "
                "reason is that they were normalised before the attack"
            )
        return images.clamp(self.low, self.high)


def attack_images(
    attack: Attack,
    classifier: LibraryClassifier,
    images: Tensor,
    *,
    criterion: Criterion,
    labels: Tensor | None = None,
    seeds: Sequence[int] | None = None,
    batch_size: int = 16,
) -> Tensor:
    """Attack images of a library and return the adversarial images.

    Parameters
    ----------
    attack : Attack
        Such as ``EdgeFool()``.
    classifier : LibraryClassifier
        What it attacks.
    images : Tensor
        (N, 3, H, W) in the classifier's range.
    criterion : Criterion
        When it succeeds.
    labels : Tensor, optional
        (N,), integers: the right classes, to check the classifier's accuracy.
    seeds, batch_size
        As in a call of the attack.

    Returns
    -------
    Tensor
        Like ``images``, each value one of the 256 levels of the range.

    Raises
    ------
    UsageError
        If the images are out of range, or the attack cannot take the criterion.

    Warns
    -----
    ClassifierWarning
        If the classifier gets nearly all of at least three labels wrong.
    """
    unit = classifier.to_unit(images)
    result = attack(classifier, unit, criterion=criterion, seeds=seeds, batch_size=batch_size)
    if labels is not None:
        warn_of_low_accuracy(result.original_class, labels)
    return classifier.from_unit(result.adversarial).clamp(classifier.low, classifier.high)


def warn_of_low_accuracy(decisions: Tensor, labels: Tensor) -> None:
    """Warn (`ClassifierWarning`) if hardly any decision (N,) on an original is its label (N,).

    >>> import torch
    >>> warn_of_low_accuracy(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 0]))
    """
    right, count = int((decisions == labels.to(decisions.device)).sum()), len(labels)
    if count >= ENOUGH_LABELS and right <= FEW_RIGHT * count:
        warnings.warn(
            f"the classifier gets {right} of {count} labels right before the attack: its images may be normalised "
            "twice or not at all, or the labels are those of another list of classes",
            ClassifierWarning,
            stacklevel=3,
        )
