"""Judges an adversarial image: the classes of the image and its original, and the distances between them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgefool.attacks import Criterion, Misclassification, Targeted
from edgefool.attacks.criteria import BY_DEFAULT
from edgefool.attacks.goal import Goal
from edgefool.classifiers import Classifier, Ensemble, Victim, members_of
from edgefool.errors import ImageError, describe_failure
from edgefool.metrics import distances
from edgefool.runs import MemberDecisions, Quality, Record


class Decision(NamedTuple):
    """A classifier's decision on an image: the class (Eq. 3), its name, and its probability (Eq. 2)."""

    predicted: int
    name: str
    probability: float


@dataclass(frozen=True)
class Judgement:
    """An adversarial image compared with its original.

    Attributes
    ----------
    victim : Classifier or Ensemble
        The attacked one.
    originals, adversarials : tuple of Decision
        The decisions of each member, or of the one classifier.
    criterion : Criterion
        The criterion of this image.
    width, height : int
        Size of both images in pixels.
    distances : dict
        By name, as in `edgefool.runs.Quality`.
    """

    victim: Victim
    originals: tuple[Decision, ...]
    adversarials: tuple[Decision, ...]
    criterion: Criterion
    width: int
    height: int
    distances: dict[str, float]

    @property
    def original(self) -> Decision:
        """The decision of the classifier, or of the first member, on the original."""
        return self.originals[0]

    @property
    def adversarial(self) -> Decision:
        """Its decision on the adversarial image."""
        return self.adversarials[0]

    @property
    def success(self) -> bool:
        """Whether the adversarial image meets the criterion; by default, whether the classes differ (Eq. 1)."""
        return self._is_met(self.adversarials)

    def _is_met(self, decisions: Sequence[Decision]) -> bool:
        own, classes = (torch.tensor([[d.predicted for d in found]]) for found in (self.originals, decisions))
        goal = Goal.of([self.criterion], own, [member.num_classes for member in members_of(self.victim)])
        return bool(goal.is_met_by(classes))

    def record_fields(self) -> dict[str, Any]:
        """Return the fields of `edgefool.runs.Record` that follow from the two images and the criterion."""
        fields: dict[str, Any] = {"width": self.width, "height": self.height, "success": self.success}
        members = members_of(self.victim)
        targets: Sequence[int | None] = [None] * len(members)
        if not isinstance(self.criterion, Misclassification):
            fields["criterion"] = "targeted" if isinstance(self.criterion, Targeted) else "labels"
            fields["success_before"] = self._is_met(self.originals)
        if isinstance(self.criterion, Targeted):
            targets = self.criterion.per_member([member.num_classes for member in members])
        decisions: list[dict[str, Any]] = [
            {
                **dict(zip(("original_class", "original_name", "original_probability"), before, strict=True)),
                **dict(zip(("adversarial_class", "adversarial_name", "adversarial_probability"), after, strict=True)),
                "target_class": target,
            }
            for before, after, target in zip(self.originals, self.adversarials, targets, strict=True)
        ]
        if not isinstance(self.victim, Ensemble):
            return fields | decisions[0]
        pairs = zip(members, decisions, strict=True)
        return fields | {"members": tuple(MemberDecisions(classifier=m.name, **found) for m, found in pairs)}

    def quality(self, record: Record) -> Quality:
        """Return the distances as the run's line for the image of a record."""
        return Quality(cell=record.cell, image=record.image, png=str(record.png), **self.distances)


def judge(
    original: Tensor,
    adversarial: Tensor,
    victim: Victim,
    *,
    criterion: Criterion = BY_DEFAULT,
    original_decisions: tuple[Decision, ...] | None = None,
    adversarial_logits: Tensor | Sequence[Tensor] | None = None,
) -> Judgement:
    """Judge an adversarial image as saved in its file, independently of other images.

    Parameters
    ----------
    original, adversarial : Tensor
        (3, H, W), RGB in [0, 1], on the CPU.
    victim : Classifier or Ensemble
        It gives the class names, and the decisions that are not passed.
    criterion : Criterion
        That of this image.
    original_decisions : tuple of Decision, optional
        The decisions on the original, if they are known.
    adversarial_logits : Tensor or sequence of Tensor, optional
        (D,), the classifier's logits for exactly these pixels, or those of each member, if they are known.

    Raises
    ------
    ImageError
        If the classifier fails, or a logit is not a finite number.
    """
    members = members_of(victim)
    if adversarial_logits is None:
        adversarial_logits = [_logits(member, adversarial) for member in members]
    elif isinstance(adversarial_logits, Tensor):
        adversarial_logits = [adversarial_logits]
    return Judgement(
        victim=victim,
        originals=original_decisions or decide_all(victim, original),
        adversarials=tuple(_decision(m, logits) for m, logits in zip(members, adversarial_logits, strict=True)),
        criterion=criterion,
        width=original.shape[2],
        height=original.shape[1],
        distances={name: float(value) for name, value in distances(adversarial[None], original[None]).items()},
    )


def decide_all(victim: Victim, image: Tensor) -> tuple[Decision, ...]:
    """Return the decision of each member of an ensemble, or of a classifier; raise as `judge` does."""
    return tuple(decide(member, image) for member in members_of(victim))


def decide(classifier: Classifier, image: Tensor) -> Decision:
    """Return a classifier's decision on a single image (3, H, W); raise as `judge` does."""
    return _decision(classifier, _logits(classifier, image))


@torch.no_grad()
def decide_resized(classifier: Classifier, images: Tensor) -> list[Decision]:
    """Return a classifier's decisions on images (N, 3, H, W) that its preprocessing resized; raise as `judge` does."""
    try:
        logits = classifier.classify_resized(images.to(device_of(classifier))).cpu()
    except Exception as error:  # classifiers may be users' code
        raise _refusal(classifier, images, error) from error
    return [_decision(classifier, row) for row in logits]


def device_of(victim: Victim) -> torch.device:
    """Return the device of a classifier or an ensemble."""
    return next(victim.buffers()).device


@torch.no_grad()
def _logits(classifier: Classifier, image: Tensor) -> Tensor:
    device = device_of(classifier)
    try:
        with _beside_attacks(device):
            logits: Tensor = classifier(image[None].to(device))[0].cpu()
    except Exception as error:  # classifiers may be users' code
        raise _refusal(classifier, image, error) from error
    return logits


def _beside_attacks(device: torch.device) -> AbstractContextManager[object]:
    """Let a GPU do work of this thread while it attacks other images, and not after the steps that wait for it."""
    return torch.cuda.stream(_side_stream(device)) if device.type == "cuda" else nullcontext()


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]


def _refusal(classifier: Classifier, images: Tensor, error: Exception) -> ImageError:
    size = f"{images.shape[-1]} x {images.shape[-2]}"
    return ImageError(f"{classifier.name} cannot take {size} pixels: {describe_failure(error)}")


def _decision(classifier: Classifier, logits: Tensor) -> Decision:
    if not logits.isfinite().all():
        raise ImageError(f"the logits of {classifier.name} for it are not finite numbers")
    index = int(logits.argmax())
    return Decision(index, classifier.classes[index], float(logits.softmax(0)[index]))
