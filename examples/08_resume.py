"""
Interrupt a run and resume it
=============================

A run is a folder. `edgefool run` fills it, on one machine or on a Ray cluster, and resumes
where it was interrupted. Here the same run is started in this process, interrupted, and read.
"""

# %%
# A plan: datasets, classifiers, methods.

import tempfile
from pathlib import Path

import edgefool
from edgefool.execution import RunState, run_local
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import open_run

folder = Path(tempfile.mkdtemp()) / "run"
plan = make_plan(
    {
        "size": 96,
        "datasets": [{"kind": "demo"}],
        "classifiers": [{"name": "caltech101-resnet"}],
        "methods": [{"name": "nfgsm"}, {"name": "edgefool"}],
    }
)
experiment = Experiment(plan, "cpu")

# %%
# Each step is on the disk when it is returned. This loop stops after three photos, as Ctrl-C
# would.


def work(at_most: int | None = None) -> int:
    """Carry out so many steps of what is missing, and return how many there were."""
    with open_run(folder, experiment.plan.to_toml(), experiment.cells, alone=True) as run:
        steps = run_local(RunState(experiment, run), batch_size=1)
        return sum(1 for _ in zip(range(at_most or 1000), steps, strict=False))


print(work(at_most=3), "steps, then", work(), "more")

# %%
# Records as a pandas table.

records = edgefool.load_records(folder)
print(records.groupby("method")[["success", "iterations"]].mean().round(2))

# %%
# With workers, each on a core or a GPU of its own; `ray://HOST:PORT` joins a cluster, and `--out
# s3://bucket/run` a store::
#
#     edgefool run plan.toml --out run --workers 4
#     edgefool run plan.toml --out s3://bucket/run --executor ray://head:10001
