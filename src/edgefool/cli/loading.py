"""Classifiers for the commands that judge or change photos, and what those commands say first."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from edgefool.cli.console import err, print_weights

if TYPE_CHECKING:
    from edgefool.classifiers import Classifier


def load_named(names: Iterable[Mapping[str, str | None]], device: str) -> "list[Classifier]":
    """Load the classifiers that `parse_classifier` returned, and print which published weights they have."""
    from edgefool.experiments import make_classifier_entry
    from edgefool.experiments.experiment import load_classifiers

    classifiers = load_classifiers("photos", [make_classifier_entry(name) for name in names], device)
    print_weights(classifiers)
    return classifiers


def print_limits(command: Callable[..., object]) -> None:
    """Print what a command does not do: the second paragraph of its help."""
    err.print(" ".join(str(command.__doc__).partition("\n\n")[2].split()))
