"""What to do: plans, and experiments with all that a plan names at hand."""

from edgefool.experiments.experiment import Experiment
from edgefool.experiments.plan import ClassifierEntry, LpipsEntry, Plan, make_plan, read_plan

__all__ = ["ClassifierEntry", "Experiment", "LpipsEntry", "Plan", "make_plan", "read_plan"]
