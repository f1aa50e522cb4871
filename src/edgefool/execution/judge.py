"""Judges an adversarial image: the classes of the image and its original, and the distances between them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgefool.classifiers import Classifier
from edgefool.errors import ImageError
from edgefool.metrics import distances
from edgefool.runs import Quality, Record


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
    original, adversarial : Decision
        The classifier's decisions.
    width, height : int
        Size of both images in pixels.
    distances : dict
        By name, as in `edgefool.runs.Quality`.
    """

    original: Decision
    adversarial: Decision
    width: int
    height: int
    distances: dict[str, float]

    @property
    def success(self) -> bool:
        """Whether the classes differ (Eq. 1)."""
        return self.original.predicted != self.adversarial.predicted

    def record_fields(self) -> dict[str, Any]:
        """Return the fields of `edgefool.runs.Record` that follow from the two images."""
        decisions = {
            f"{kind}_{name}": value
            for kind, decision in (("original", self.original), ("adversarial", self.adversarial))
            for name, value in zip(("class", "name", "probability"), decision, strict=True)
        }
        return {**decisions, "width": self.width, "height": self.height, "success": self.success}

    def quality(self, record: Record) -> Quality:
        """Return the distances as the run's line for the image of a record."""
        return Quality(cell=record.cell, image=record.image, png=str(record.png), **self.distances)


def judge(
    original: Tensor,
    adversarial: Tensor,
    classifier: Classifier,
    *,
    original_decision: Decision | None = None,
    adversarial_logits: Tensor | None = None,
) -> Judgement:
    """Judge an adversarial image as saved in its file, independently of other images.

    Parameters
    ----------
    original, adversarial : Tensor
        (3, H, W), RGB in [0, 1], on the CPU.
    classifier : Classifier
        It gives the class names, and the decisions that are not passed.
    original_decision : Decision, optional
        The classifier's decision on the original, if it is known.
    adversarial_logits : Tensor, optional
        (D,), the classifier's logits for exactly these pixels, if they are known.

    Raises
    ------
    ImageError
        If the classifier fails, or a logit is not a finite number.
    """
    before = original_decision or decide(classifier, original)
    logits = _logits(classifier, adversarial) if adversarial_logits is None else adversarial_logits
    return Judgement(
        original=before,
        adversarial=_decision(classifier, logits),
        width=original.shape[2],
        height=original.shape[1],
        distances={name: float(value) for name, value in distances(adversarial[None], original[None]).items()},
    )


def decide(classifier: Classifier, image: Tensor) -> Decision:
    """Return a classifier's decision on a single image (3, H, W); raise as `judge` does."""
    return _decision(classifier, _logits(classifier, image))


def device_of(classifier: Classifier) -> torch.device:
    """Return the device of a classifier."""
    return next(classifier.buffers()).device


@torch.no_grad()
def _logits(classifier: Classifier, image: Tensor) -> Tensor:
    try:
        logits: Tensor = classifier(image[None].to(device_of(classifier)))[0]
    except Exception as error:  # classifiers may be users' code
        size, reason = f"{image.shape[2]} x {image.shape[1]}", str(error).partition("\n")[0]
        raise ImageError(f"the classifier cannot take {size} pixels: {reason}") from error
    return logits


def _decision(classifier: Classifier, logits: Tensor) -> Decision:
    if not logits.isfinite().all():
        raise ImageError("the classifier's logits for it are not finite numbers")
    index = int(logits.argmax())
    return Decision(index, classifier.classes[index], float(logits.softmax(0)[index]))
