"""A classifier as another library sees it, whose passes are counted."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from edgefool.classifiers import member_logits
from edgefool.errors import UsageError


class ObservedClassifier(nn.Module):
    """One plain classifier of images in [0, 1], which counts what passes through it.

    Parameters
    ----------
    classifier : nn.Module
        A classifier, or an ensemble whose members have the same number of classes: its logits are the mean of theirs.
    device : torch.device
        The classifier's device.

    Attributes
    ----------
    forward_passes, backward_passes : int
        Number of images that passed through the classifier, or through each member, and of gradients at images.
    calls, gradients : int
        Number of batches of them.

    Examples
    --------
    >>> observed = ObservedClassifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.device("cpu"))
    >>> images = torch.rand(4, 3, 2, 2, requires_grad=True)
    >>> observed(images).sum().backward()
    >>> observed.forward_passes, observed.backward_passes, observed.gradients
    (4, 4, 1)
    """

    def __init__(self, classifier: nn.Module, device: torch.device):
        super().__init__()
        self.training, self.classifier = False, classifier
        # Libraries ask the first parameter for the device, and a classifier may have none.
        self.on_device = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.forward_passes = self.backward_passes = self.calls = self.gradients = 0

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, D) of images (N, 3, H, W)."""
        images = images.clone()
        if images.requires_grad:
            images.register_hook(self._count)  # type: ignore[no-untyped-call]
        self.forward_passes += len(images)
        self.calls += 1
        return mean_logits(member_logits(self.classifier, images))

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode; ``mode`` is ignored."""
        return self

    def _count(self, gradient: Tensor) -> None:
        self.backward_passes += len(gradient)
        self.gradients += 1


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """Return the mean of the logits (N, D) of each member; raise `UsageError` if they are of different classes.

    >>> mean_logits((torch.tensor([[1.0, 3.0]]), torch.tensor([[3.0, 5.0]])))
    tensor([[2., 4.]])
    """
    check_class_counts([member.shape[1] for member in logits])
    return logits[0] if len(logits) == 1 else torch.stack(list(logits)).mean(0)


def check_class_counts(counts: Sequence[int]) -> None:
    """Raise `UsageError` unless the members of an ensemble have the same number of classes."""
    if len(set(counts)) > 1:
        raise UsageError(
            "attacks of other libraries see the mean of an ensemble's logits, so its members need the same "
            f"number of classes, not {' and '.join(map(str, counts))}"
        )
