"""The lines of ``robustness.jsonl``: what classifiers say of the transformed images of a run."""

from edgefool.runs.records import Name
from edgefool.storage.keyed_log import Line


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
