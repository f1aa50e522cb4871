"""Experiments: what to run, what was done, and what does it."""

from edgefool.experiments.cell_attack import image_seed, source_text
from edgefool.experiments.distributed import ray_execution
from edgefool.experiments.execution import Execution, Step, Task
from edgefool.experiments.experiment import Experiment
from edgefool.experiments.foreign import ForeignImages
from edgefool.experiments.plan import ClassifierEntry, LpipsEntry, Plan, make_attack, make_plan, read_plan
from edgefool.experiments.run_folder import Record, RunFolder, load_records, open_run

__all__ = [
    "ClassifierEntry",
    "Execution",
    "Experiment",
    "ForeignImages",
    "LpipsEntry",
    "Plan",
    "Record",
    "RunFolder",
    "Step",
    "Task",
    "image_seed",
    "load_records",
    "make_attack",
    "make_plan",
    "open_run",
    "ray_execution",
    "read_plan",
    "source_text",
]
