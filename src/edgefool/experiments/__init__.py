"""What to run: plans, and experiments, for which everything in a plan is loaded."""

import edgefool.adapters  # noqa: F401  # plans may name attacks of other libraries
from edgefool.experiments.entries import ClassifierEntry, EnsembleEntry, LpipsEntry
from edgefool.experiments.experiment import Experiment
from edgefool.experiments.plan import Plan, make_classifier_entry, make_plan, read_plan

__all__ = [
    "ClassifierEntry",
    "EnsembleEntry",
    "Experiment",
    "LpipsEntry",
    "Plan",
    "make_classifier_entry",
    "make_plan",
    "read_plan",
]
