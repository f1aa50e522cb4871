"""Fixtures of the tests of execution."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from edgefool.execution import RunState, run_local
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import load_records, open_run

FROM_IDENTITY = {"start": "identity", "max_iterations": 3, "tau": 0.01}
"""Few steps of EdgeFool; from the smoother they would hardly change small photos."""


@pytest.fixture
def photos(tmp_path: Path, make_photo: Callable[..., Path]) -> list[Path]:
    """Return six photos; `attack_photos` succeeds on some and not all."""
    return [make_photo(tmp_path / "photos" / f"{seed}.png", seed) for seed in range(6)]


@pytest.fixture
def attack_photos(tmp_path: Path, tiny: Path) -> Callable[..., pd.DataFrame]:
    """Return what attacks photos in a folder of ``tmp_path`` and returns the records, in the order of their names."""

    def attack_photos(
        photos: Sequence[Path],
        folder: str = "run",
        *,
        classifier: str = "factory",
        method: str = "edgefool",
        constants: dict[str, Any] = FROM_IDENTITY,
        batch_size: int | None = None,
        retry: bool = False,
        **settings: Any,
    ) -> pd.DataFrame:
        plan = make_plan(
            {
                "datasets": [{"kind": "folder", "name": "photos", "path": [str(photo) for photo in photos]}],
                "classifiers": [{"name": f"{tiny}:{classifier}"}],
                "methods": [{"name": method, "constants": constants}],
                "size": 32,
                **settings,
            }
        )
        experiment = Experiment(plan)
        with open_run(tmp_path / folder, plan.to_toml(), experiment.cells, alone=True) as run:
            for _ in run_local(RunState(experiment, run, retry=retry, predict=False), batch_size=batch_size):
                pass
        return load_records(tmp_path / folder).sort_values("image", ignore_index=True)

    return attack_photos
