"""The lines of ``groups.jsonl``: the semantic groups of the run's classifiers."""

from collections.abc import Iterable
from typing import Literal, Self

from edgefool.classifiers import Classifier, SemanticGroups, groups_of, imagenet_groups
from edgefool.storage.keyed_log import Line


class ClassGroups(Line):
    """The groups of a classifier's classes, so that tables can be made without the classifier and the user's file.

    Attributes
    ----------
    fingerprint : str
        Which classifier.
    groups : SemanticGroups, "imagenet" or None
        The groups; ``"imagenet"``: those that come with the package; None: it has none.
    """

    fingerprint: str
    groups: SemanticGroups | Literal["imagenet"] | None

    @classmethod
    def of(cls, classifier: Classifier) -> Self:
        """Return the line of a classifier."""
        groups = groups_of(classifier)
        return cls(fingerprint=classifier.fingerprint, groups="imagenet" if groups is imagenet_groups() else groups)

    @property
    def key(self) -> str:
        """The classifier; a later line may bring other groups."""
        return self.fingerprint


def groups_by_fingerprint(lines: Iterable[ClassGroups]) -> dict[str, SemanticGroups | None]:
    """Return the groups of each classifier."""
    return {line.fingerprint: imagenet_groups() if line.groups == "imagenet" else line.groups for line in lines}
