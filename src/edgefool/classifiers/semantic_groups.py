"""Groups of classes that mean similar things: a shepherd that becomes a malinois has not left its group.

The groups of ImageNet are the 11 of Shamsabadi et al., Semantically adversarial learnable filters, IEEE TIP 2021,
https://arxiv.org/abs/2008.06069; the hypernyms are those of WordNet 3.0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn

from edgefool.classifiers.class_names import DATA, find_class
from edgefool.classifiers.safe_classifier import SafeClassifier
from edgefool.errors import UsageError
from edgefool.storage import StorePath, parse_path
from edgefool.storage.csv_table import read_csv_table

_ARROW = ">"


@dataclass(frozen=True)
class SemanticGroups:
    """The semantic groups of a classifier's D classes, and their hypernyms.

    Attributes
    ----------
    names : tuple of str
        Names of the G groups.
    of_class : tuple of int
        (D,) the index of each class's group in ``names``; -1: the class has none.
    hypernyms : tuple of tuple of str
        (D,) for each class what it is, from the most general to itself; empty where it is not known. By default not
        known for any class.

    Raises
    ------
    UsageError
        If an index is out of range, or there are hypernyms for another number of classes.

    Examples
    --------
    >>> groups = SemanticGroups(("dogs", "cars"), (0, 0, 1, -1), (("animal", "dog"), ("animal", "pug"), ("car",), ()))
    >>> groups.same_group(0, 1), groups.leaves_group(0, 2), groups.leaves_group(3, 0)
    (True, True, False)
    >>> groups.lowest_common_depth(0, 1), groups.lowest_common_depth(0, 2), groups.lowest_common_depth(0, 3)
    (1, 0, None)
    """

    names: tuple[str, ...]
    of_class: tuple[int, ...]
    hypernyms: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if wrong := [index for index in self.of_class if not -1 <= index < len(self.names)]:
            raise UsageError(f"of_class must hold indices of {len(self.names)} groups, or -1; not {wrong[0]}")
        if len(self.hypernyms) not in (0, len(self.of_class)):
            raise UsageError(f"there are hypernyms of {len(self.hypernyms)} classes, and {len(self.of_class)} classes")

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """Return ``of_class`` as a tensor (D,), int64."""
        return torch.tensor(self.of_class, dtype=torch.int64, device=device)

    def has_group(self, index: int) -> bool:
        """Return whether a class, by its index, has a group."""
        return self.of_class[index] >= 0

    def same_group(self, a: int, b: int) -> bool:
        """Return whether two classes are in one group; a class without a group shares it with no other."""
        return self.of_class[a] == self.of_class[b] if self.has_group(a) else a == b

    def leaves_group(self, before: int, after: int) -> bool:
        """Return whether a change of class leaves the group of the first; a class without one has none to leave."""
        return self.has_group(before) and not self.same_group(before, after)

    def lowest_common_depth(self, a: int, b: int) -> int | None:
        """Return the depth of the lowest hypernym that two classes share: how many they share from the root on.

        The root has depth 1; 0 if they share none; of a class with itself, its own depth. None if the hypernyms of one
        are not known.
        """
        if not self.hypernyms or not self.hypernyms[a] or not self.hypernyms[b]:
            return None
        pairs = zip(self.hypernyms[a], self.hypernyms[b], strict=False)
        return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def groups_of(classifier: nn.Module) -> SemanticGroups | None:
    """Return the groups of a classifier's classes.

    Those that it carries (`Classifier.groups`); else those of ImageNet, if its classes are the 1,000 of ImageNet in
    their order, by their names or WordNet IDs; else None.
    """
    network = classifier.classifier if isinstance(classifier, SafeClassifier) else classifier
    own = getattr(network, "groups", None)
    return own if isinstance(own, SemanticGroups) else groups_by_names(tuple(getattr(network, "classes", ())))


@cache
def groups_by_names(classes: tuple[str, ...]) -> SemanticGroups | None:
    """Return the groups of ImageNet if these are the names of its classes, in their order, else None."""
    is_imagenet = len(classes) == len(_imagenet_rows()) and fit_imagenet(enumerate(classes))
    return imagenet_groups() if is_imagenet else None


def fit_imagenet(names: Iterable[tuple[int, str]]) -> bool:
    """Return whether all indices and names are of classes of ImageNet: the name or the WordNet ID, perhaps with more.

    Libraries add synonyms and other words to a name: ``tench, Tinca tinca``, ``crane bird``.
    """
    rows = _imagenet_rows()
    return all(
        name.casefold().replace("_", " ").startswith((rows[index]["wnid"], rows[index]["name"].casefold()))
        for index, name in names
    )


@cache
def imagenet_groups() -> SemanticGroups:
    """Return the 11 groups of the 1,000 classes of ImageNet, and their hypernyms in WordNet 3.0.

    >>> groups = imagenet_groups()
    >>> groups.names[groups.of_class[0]], groups.hypernyms[0][-3:]
    ('reptiles, fish, amphibians', ('cypriniform fish', 'cyprinid', 'tench'))
    """
    rows = _imagenet_rows()
    return _make({index: row["group"] for index, row in enumerate(rows)}, [_chain(row) for row in rows])


def read_groups(file: StorePath | Path | str, classes: Sequence[str]) -> SemanticGroups:
    """Return the groups in a CSV file. Classes that it does not name have no group.

    Parameters
    ----------
    file : path
        CSV file with the columns ``class`` (its name, in upper or lower case, or its index), ``group``, and perhaps
        ``hypernyms``, from the most general on: ``animal > dog > shepherd``.
    classes : sequence of str
        Names of the classifier's D classes.

    Raises
    ------
    UsageError
        If the file cannot be read or lacks a column, or a class is unknown, occurs twice or has an empty group.
    """
    path = parse_path(file)
    groups: dict[int, str] = {}
    hypernyms: list[tuple[str, ...]] = [()] * len(classes)
    for where, row in read_csv_table(path, ["class", "group"]):
        name, group = row.get("class", "").strip(), row.get("group", "").strip()
        try:
            index = find_class(name, classes, "the classifier")
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        if index in groups:
            raise UsageError(f"{where}: the class {name!r} occurs twice")
        if not group:
            raise UsageError(f"{where}: the class {name!r} has no group")
        groups[index], hypernyms[index] = group, _chain(row)
    if not groups:
        raise UsageError(f"{str(path)!r} has no groups")
    return _make(groups, hypernyms)


def _make(groups: dict[int, str], hypernyms: Sequence[tuple[str, ...]]) -> SemanticGroups:
    """Return the groups of classes, given by index; their names are in sorted order."""
    names = sorted(set(groups.values()))
    of_class = tuple(names.index(groups[k]) if k in groups else -1 for k in range(len(hypernyms)))
    return SemanticGroups(tuple(names), of_class, tuple(hypernyms) if any(hypernyms) else ())


def _chain(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in row.get("hypernyms", "").split(_ARROW))))


@cache
def _imagenet_rows() -> list[dict[str, str]]:
    return [row for _, row in read_csv_table(parse_path(DATA / "imagenet_groups.csv"), ["wnid", "name", "group"])]
