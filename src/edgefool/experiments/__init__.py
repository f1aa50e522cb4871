"""Experiments: what to run, what was done, and what does it."""

from edgefool.experiments.local import LocalRun, done_before, image_seed, source_text
from edgefool.experiments.plan import Plan, make_attack
from edgefool.experiments.run_folder import Record, RunFolder, load_records, open_run

__all__ = [
    "LocalRun",
    "Plan",
    "Record",
    "RunFolder",
    "done_before",
    "image_seed",
    "load_records",
    "make_attack",
    "open_run",
    "source_text",
]
