"""What to run: plans, and experiments, for which everything in a plan is loaded."""

from edgefool.experiments.experiment import Experiment
from edgefool.experiments.plan import ClassifierEntry, LpipsEntry, Plan, make_classifier_entry, make_plan, read_plan

__all__ = ["ClassifierEntry", "Experiment", "LpipsEntry", "Plan", "make_classifier_entry", "make_plan", "read_plan"]
