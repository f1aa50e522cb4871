"""What `attack`, `run` and `demo` share: they open a run folder and show how far the work is."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgefool.cli.console import err
from edgefool.errors import UsageError
from edgefool.storage.files import is_folder, is_inside, real_path
from edgefool.text import plain

if TYPE_CHECKING:
    from edgefool.experiments import Experiment
    from edgefool.runs import RunFolder


def refuse_overlap(folder: Path, experiment: "Experiment") -> None:
    """Refuse a folder whose images would be taken for photos when the run is resumed."""
    home = real_path(folder)
    paths = [path for dataset in experiment.plan.datasets for path in dataset.paths]
    searched = [path for path in paths if is_inside(home, real_path(path)) and is_folder(path)]
    inside = [photo for photos in experiment.photos.values() for photo in photos if is_inside(photo.path, home)]
    if searched or inside:
        raise UsageError(f"--out {folder} is inside a folder of photos, or contains photos; choose another folder")


@contextmanager
def open_folder(folder: Path, experiment: "Experiment", *, alone: bool = False) -> Iterator["RunFolder"]:
    """Open the run of an experiment and say what had to be repaired in it."""
    from edgefool.runs import open_run

    plan, command = experiment.plan.to_toml(), shlex.join(sys.argv)
    with open_run(folder, plan, experiment.cells, command=command, alone=alone) as run:
        for line in run.mended[:5]:
            err.print(f"repaired: {plain(line)}")
        if len(run.mended) > 5:
            err.print(f"... and {len(run.mended) - 5} more")
        yield run
