"""What `attack`, `run` and `demo` share: they open a run folder and show how far the work is."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgefool.cli.console import err
from edgefool.errors import UsageError
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.experiments import Experiment
    from edgefool.runs import RunFolder
    from edgefool.storage import StorePath


def refuse_overlap(folder: "StorePath", experiment: "Experiment") -> None:
    """Refuse a folder whose images would be taken for photos when the run is resumed."""
    home = folder.resolve()
    paths = [path for dataset in experiment.plan.datasets for path in dataset.paths]
    searched = [path for path in paths if home.is_inside(path.resolve()) and path.kind() == "folder"]
    inside = [photo for photos in experiment.photos.values() for photo in photos if photo.path.is_inside(home)]
    if searched or inside:
        raise UsageError(f"--out {folder} is inside a folder of photos, or contains photos; choose another folder")


@contextmanager
def open_folder(folder: "StorePath", experiment: "Experiment", *, alone: bool = False) -> Iterator["RunFolder"]:
    """Open the run of an experiment and say what had to be repaired in it."""
    from edgefool.runs import open_run

    plan, command = experiment.plan.to_toml(), shlex.join(sys.argv)
    with open_run(folder, plan, experiment.cells, command=command, alone=alone) as run:
        for line in run.repaired[:5]:
            err.print(f"repaired: {plain(line)}")
        if len(run.repaired) > 5:
            err.print(f"... and {len(run.repaired) - 5} more")
        yield run
