"""Several classifiers that are attacked together."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

from edgefool.classifiers.classifier import Classifier
from edgefool.classifiers.safe_classifier import SafeClassifier
from edgefool.errors import UsageError


class Ensemble(nn.Module):
    """Classifiers that an attack is to fool together. They may have different classes, so this is not a classifier.

    Parameters
    ----------
    members : sequence of nn.Module
        M classifiers, each from images (N, 3, H, W) in [0, 1] to logits (N, D_m).
    name : str, optional
        Name in tables; by default those of the members, joined by " + ".

    Raises
    ------
    UsageError
        If there are no members, or one is itself an ensemble.

    Examples
    --------
    >>> nets = [nn.Sequential(nn.Flatten(), nn.Linear(12, count)) for count in (5, 7)]
    >>> ensemble = Ensemble(nets, name="both")
    >>> images = torch.rand(4, 3, 2, 2)
    >>> [tuple(logits.shape) for logits in ensemble.logits(images)]
    [(4, 5), (4, 7)]
    >>> ensemble.classes(images).shape
    torch.Size([4, 2])
    """

    members: nn.ModuleList

    def __init__(self, members: Sequence[nn.Module], *, name: str | None = None):
        super().__init__()
        if not members:
            raise UsageError("an ensemble needs members")
        if any(isinstance(member, Ensemble) for member in members):
            raise UsageError("an ensemble cannot be a member of an ensemble")
        self.members = nn.ModuleList(members)
        self.name = name or " + ".join(map(_name, members))

    @property
    def names(self) -> list[str]:
        """The members' names."""
        return [_name(member) for member in self.members]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the members' fingerprints, in any order; the members must be of `edgefool.Classifier`."""
        fingerprints = sorted(str(member.fingerprint) for member in self.members)
        return hashlib.sha256(json.dumps(["ensemble", *fingerprints]).encode()).hexdigest()

    def logits(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the logits (N, D_m) of each member for images (N, 3, H, W)."""
        return tuple(member(images) for member in self.members)

    @torch.no_grad()
    def classes(self, images: Tensor) -> Tensor:
        """Return the class that each member gives to images (N, 3, H, W): (N, M), int64."""
        return torch.stack([logits.argmax(1) for logits in self.logits(images)], 1)


def _name(member: nn.Module) -> str:
    return str(getattr(member, "name", type(member).__name__))


class SafeEnsemble(Ensemble):
    """An ensemble of `SafeClassifier`, for use by attacks and metrics."""

    def __init__(self, ensemble: Ensemble):
        self._safe_members = [SafeClassifier(member, _name(member)) for member in ensemble.members]
        super().__init__(self._safe_members, name=ensemble.name)

    @property
    def num_classes(self) -> tuple[int, ...]:
        """The members' numbers of classes, known after the first call."""
        return tuple(count for member in self._safe_members for count in member.num_classes)

    @contextmanager
    def in_use(self, device: str) -> Iterator[None]:
        """Freeze all members; see `SafeClassifier.in_use`."""
        with ExitStack() as stack:
            for member in self._safe_members:
                stack.enter_context(member.in_use(device))
            yield


Victim: TypeAlias = Classifier | Ensemble
"""What an attack of a run attacks."""


def members_of(victim: Victim) -> list[Classifier]:
    """Return the members of an ensemble, or a single classifier as a list of one."""
    members = victim.members if isinstance(victim, Ensemble) else [victim]
    return [member for member in members if isinstance(member, Classifier)]


def member_logits(classifier: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """Return the logits of each member of an ensemble, or those of a single classifier as a tuple of one."""
    return classifier.logits(images) if isinstance(classifier, Ensemble) else (classifier(images),)
