"""What a plan attacks: classifiers that are no judges, and ensembles."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from edgefool.attacks import Attack
from edgefool.classifiers import Classifier, Ensemble, Victim, groups_of
from edgefool.datasets import Dataset
from edgefool.errors import UsageError
from edgefool.experiments.entries import ClassifierEntry, EnsembleEntry
from edgefool.experiments.plan import Plan

V = TypeVar("V", Classifier, Victim)


def find_victims(
    plan: Plan, classifiers: Mapping[str, Sequence[Classifier]]
) -> dict[str, dict[ClassifierEntry | EnsembleEntry, Victim]]:
    """Return what is attacked of each dataset, by entry: the classifiers that are no judges, and the ensembles.

    Parameters
    ----------
    plan
        The plan.
    classifiers
        As `load_all_classifiers` returns them.

    Raises
    ------
    UsageError
        If an ensemble is for a dataset that a member is not for, or nothing is attacked on a dataset.
    """
    victims: dict[str, dict[ClassifierEntry | EnsembleEntry, Victim]] = {}
    for dataset, found in classifiers.items():
        loaded = dict(zip([e for e in plan.networks if is_for(e, dataset)], found, strict=True))
        victims[dataset] = {entry: loaded[entry] for entry in loaded if entry.role is None}
        for ensemble in plan.ensembles:
            members = plan.members(ensemble)
            missing = [member.title for member in members if member not in loaded]
            if missing and dataset in (ensemble.datasets or ()):
                raise UsageError(f"the ensemble {ensemble.label} is for {dataset}, but its member {missing[0]} is not")
            if not missing and is_for(ensemble, dataset):
                victims[dataset][ensemble] = Ensemble([loaded[m] for m in members], name=ensemble.label)
        everything: list[Victim] = [*found, *(v for v in victims[dataset].values() if isinstance(v, Ensemble))]
        check_distinct(dataset, everything)
        if not victims[dataset]:
            raise UsageError(f"nothing is attacked on the dataset {dataset}: its classifiers are all judges")
        if not any(entry in victims[dataset] for method in plan.methods for entry in plan.attacked(method)):
            raise UsageError(f"nothing is attacked on the dataset {dataset}: no method names a classifier of it")
    return victims


def check_labels(method: str, dataset: Dataset, members: Sequence[Classifier]) -> None:
    """Raise `UsageError` unless a dataset has labels of the classifiers' classes, by which a method is judged."""
    for member in members:
        if dataset.num_classes is None:
            raise UsageError(f"{method} is judged by labels, and {dataset.name} has none, or no num_classes")
        if dataset.num_classes != member.num_classes:
            labels = f"those of {dataset.name} are of {dataset.num_classes} classes"
            raise UsageError(f"{method} is judged by labels: {labels}, {member.name} has {member.num_classes}")


def aimed_groups(attack: Attack, members: Sequence[Classifier]) -> str | None:
    """Return the SHA-256 of the members' semantic groups if an attack aims at another group, else None."""
    if getattr(attack, "aim", None) != "group":
        return None
    found = [groups and groups.of_class for groups in map(groups_of, members)]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def is_for(entry: ClassifierEntry | EnsembleEntry, dataset: str) -> bool:
    """Return whether an entry is used with a dataset."""
    return entry.datasets is None or dataset in entry.datasets


def check_distinct(dataset: str, classifiers: list[V]) -> list[V]:
    """Return the classifiers of a dataset; raise `UsageError` if two are the same or share a name, or there is none."""
    for one, other in combinations(classifiers, 2):
        if one.fingerprint == other.fingerprint:
            raise UsageError(f"the classifiers {one.name} and {other.name} are the same")
        if one.name.casefold() == other.name.casefold():
            raise UsageError(f"two classifiers are called {other.name}; give one of them another label")
    if not classifiers:
        raise UsageError(f"no classifier of the plan is for the dataset {dataset}")
    return classifiers
