"""What tests of workers and of their driver share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgefool.execution import RunState
from edgefool.execution.distributed.worker import WorkerConfig
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import open_run
from edgefool.storage import StorePath

Opened = tuple[RunState, WorkerConfig]


@pytest.fixture
def open_state(tmp_path: Path) -> Callable[..., AbstractContextManager[Opened]]:
    """Return what opens the run of a plan: its state, and what its workers need to know."""

    @contextmanager
    def open_state(
        settings: dict[str, Any],
        folder: str | StorePath = "run",
        batch_size: int = 2,
        retry: bool = False,
        predict: bool = True,
    ) -> Iterator[Opened]:
        plan = make_plan(settings)
        experiment = Experiment(plan)
        place = tmp_path / folder if isinstance(folder, str) else folder
        with open_run(place, plan.to_toml(), experiment.cells) as run:
            state = RunState(experiment, run, retry=retry, predict=predict)
            cells = {cell.folder: cell.job.cell for cell in state.cells}
            yield state, WorkerConfig(plan, cells, run.path, run.owner(), batch_size)

    return open_state
