"""A small plan, and what carries it out in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from edgefool.experiments import Execution, Experiment, RunFolder, Step, load_records, make_plan, open_run
from edgefool.files import is_remote
from edgefool.images import read_image


class Done(NamedTuple):
    """A plan that was carried out."""

    run: RunFolder
    execution: Execution
    steps: list[Step]


@pytest.fixture
def album(tmp_path: Path, make_photo: Callable[..., Path]) -> Path:
    """Return a folder with six photos; DeepFool as in `settings` misleads some and not all."""
    for seed in range(6):
        make_photo(tmp_path / "album" / f"{seed}.png", seed)
    return tmp_path / "album"


@pytest.fixture
def settings(tiny: Path, album: Path) -> dict[str, Any]:
    """Return a plan of two classifiers and two methods: four cells of six images."""
    return {
        "datasets": [{"kind": "folder", "name": "pics", "path": str(album)}],
        "classifiers": [{"name": f"{tiny}:factory", "label": "first"}, {"name": f"{tiny}:other", "label": "other"}],
        "methods": [{"name": "enhance"}, {"name": "deepfool", "constants": {"max_iterations": 3}}],
        "size": 32,
        "squeezers": ["bits4", "median2"],
        "false_positive_rate": 0.2,
    }


@pytest.fixture
def steady(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a plan without `enhance`, whose L0 filter makes a grey level of the round-off between other batches."""
    quick = {"name": "nfgsm", "constants": {"epsilon": 0.02, "max_iterations": 2}}
    return {**settings, "methods": [quick, settings["methods"][1]]}


@pytest.fixture
def carry_out(tmp_path: Path) -> Callable[..., Done]:
    """Return what carries out a plan in a folder of ``tmp_path``, or at an address."""

    def carry_out(settings: dict[str, Any], folder: str | Path = "run", **options: Any) -> Done:
        plan = make_plan(settings)
        experiment = Experiment(plan)
        place = folder if is_remote(folder) else tmp_path / folder
        with open_run(place, plan.to_toml(), experiment.cells) as run:
            execution = Execution(experiment, run, **options)
            return Done(run, execution, list(execution))

    return carry_out


@pytest.fixture
def frames() -> Callable[[RunFolder], list[pd.DataFrame]]:
    """Return what gives records, predictions and qualities of a run, but for times and the order of lines."""

    def frames(run: RunFolder) -> list[pd.DataFrame]:
        records = load_records(run.path).drop(columns="seconds")
        predictions = pd.json_normalize([line.model_dump() for line in run.prediction_lines.read()])
        qualities = pd.DataFrame([line.model_dump() for line in run.quality_lines.read()])
        return [
            table.sort_values([name for name in ("cell", "image", "fingerprint") if name in table], ignore_index=True)
            for table in (records, predictions, qualities)
        ]

    return frames


@pytest.fixture
def agree(frames: Callable[[RunFolder], list[pd.DataFrame]]) -> Callable[[RunFolder, RunFolder], None]:
    """Return what asserts that two runs hold the same, up to round-off."""

    def agree(run: RunFolder, other: RunFolder) -> None:
        for mine, theirs in zip(frames(run), frames(other), strict=True):
            pd.testing.assert_frame_equal(mine, theirs, rtol=1e-4, atol=1e-5, check_like=True)

    return agree


@pytest.fixture
def alike(frames: Callable[[RunFolder], list[pd.DataFrame]]) -> Callable[[RunFolder, RunFolder], None]:
    """Return what asserts that two runs hold the same, though batches were put together otherwise.

    Originals are the same to the bit, adversarial images to a grey level, numbers in records to 1e-3, and those that
    are measured of the images to 1e-2, as squeezing and counting make more of a grey level.
    """

    def alike(run: RunFolder, other: RunFolder) -> None:
        for tolerance, mine, theirs in zip((1e-3, 1e-2, 1e-2), frames(run), frames(other), strict=True):
            hashes = [name for name in ("png", "structure_png") if name in mine]
            tables = [table.drop(columns=hashes) for table in (mine, theirs)]
            pd.testing.assert_frame_equal(*tables, rtol=tolerance, atol=tolerance, check_like=True)
        files = {path.relative_to(run.path) for path in run.path.rglob("*.png")}
        assert files == {path.relative_to(other.path) for path in other.path.rglob("*.png")}
        for file in files:
            difference = (read_image(run.path / file) - read_image(other.path / file)).abs().max()
            assert difference <= (0 if file.parts[0] == "originals" else 1.01 / 255)

    return alike
