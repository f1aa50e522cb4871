"""From classes before and after, by image, to what happened to each image."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgefool.classifiers import SemanticGroups
from edgefool.metrics import common_depth, group_left

Pairs = Mapping[str, tuple[int, int]]
"""By image, a classifier's class before and after: of the original and of the adversarial image, perhaps after a
transformation."""


def changed(pairs: Pairs) -> dict[str, bool]:
    """Return by image whether the class changed."""
    return {image: before != after for image, (before, after) in pairs.items()}


def left(groups: SemanticGroups, pairs: Pairs) -> dict[str, bool]:
    """Return by image whether the class left its semantic group, for the images whose class has one."""
    found = zip(pairs, group_left(groups, *_columns(pairs)), strict=True)
    return {image: bool(value) for image, value in found if not np.isnan(value)}


def depths(groups: SemanticGroups, pairs: Pairs) -> dict[str, float]:
    """Return by image the depth of the lowest common hypernym, for the images whose classes have hypernyms."""
    found = zip(pairs, common_depth(groups, *_columns(pairs)), strict=True)
    return {image: float(value) for image, value in found if not np.isnan(value)}


def by_all(hits: Sequence[Mapping[str, bool]]) -> dict[str, bool]:
    """Return by image whether it is a hit for all classifiers, for the images that all of them have; sorted."""
    return {image: share == 1 for image, share in mean_by_image(hits).items()}


def mean_by_image(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return by image the mean over the mappings, for the images that are in all of them; sorted."""
    images = set.intersection(*(set(known) for known in values)) if values else set()
    return {image: float(np.mean([known[image] for known in values])) for image in sorted(images)}


def _columns(pairs: Pairs) -> tuple[list[int], list[int]]:
    return [before for before, _ in pairs.values()], [after for _, after in pairs.values()]
