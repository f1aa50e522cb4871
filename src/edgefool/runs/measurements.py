"""The lines of what was measured of a run's images: ``predictions.jsonl``, ``quality.jsonl``, ``robustness.jsonl``."""

from math import isnan
from typing import Annotated

from pydantic import BeforeValidator

from edgefool.runs.records import Name
from edgefool.storage.keyed_log import Line


class Prediction(Line):
    """A classifier's decision on one image of the run, read from its PNG.

    Attributes
    ----------
    cell : str or None
        Of an adversarial image; None: the original.
    dataset, image, png : str
        Which image, and the SHA-256 of its PNG: a decision on another file is ignored.
    classifier, fingerprint : str
        Which classifier.
    predicted, probability
        The class and its probability (Eqs. 2 and 3).
    num_classes : int
        The classifier's number of classes; None in lines of version 0.1.0.
    scores : dict
        By squeezer, the L1 distance in [0, 2] of the probabilities to those of the squeezed image.
    """

    cell: Name | None
    dataset: Name
    image: Name
    png: str
    classifier: str
    fingerprint: str
    predicted: int
    probability: float
    scores: dict[str, float]
    num_classes: int | None = None

    @property
    def key(self) -> tuple[str | None, str, str, str]:
        """The image and the classifier."""
        return self.cell, self.dataset, self.image, self.fingerprint


def _known(value: object) -> object:
    """Return None for NaN, which equals no other line."""
    return None if isinstance(value, float) and isnan(value) else value


class Quality(Line):
    """How far an adversarial image is from its original; see `edgefool.metrics`.

    Attributes
    ----------
    cell, image, png : str
        Which image, and the SHA-256 of its PNG.
    ciede2000, linf, changed_pixels, psnr, ssim, lpips : float
        ``psnr`` and ``ssim`` are None in lines of version 0.1.0, ``lpips`` if it was not requested.
    smooth_delta_e : float
        None if the original has no smooth pixels, and in older lines.
    """

    cell: Name
    image: Name
    png: str
    ciede2000: float
    linf: float
    changed_pixels: float
    lpips: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    smooth_delta_e: Annotated[float | None, BeforeValidator(_known)] = None

    @property
    def key(self) -> tuple[str, str]:
        """The cell and the image."""
        return self.cell, self.image


class TransformedClasses(Line):
    """A classifier's classes of one image of the run after transformations.

    Attributes
    ----------
    cell : str or None
        Of an adversarial image; None: the original.
    dataset, image, png : str
        Which image, and the SHA-256 of its PNG: classes of another file are ignored.
    fingerprint : str
        Which classifier.
    classes : dict
        The class by the name of the transformation, one of `edgefool.metrics.TRANSFORMATIONS`.
    """

    cell: Name | None
    dataset: Name
    image: Name
    png: str
    fingerprint: str
    classes: dict[str, int]

    @property
    def key(self) -> tuple[str | None, str, str, str]:
        """The image and the classifier."""
        return self.cell, self.dataset, self.image, self.fingerprint
