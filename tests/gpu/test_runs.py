"""Runs with the device of the plan: attacked, killed in between, resumed and measured."""

import pytest
import torch

from edgefool.attacks import EdgeFool
from edgefool.datasets.demo import write_demo_photos
from edgefool.execution import RunState, run_local
from edgefool.execution.batch_size import MAX_BATCH, BatchSize
from edgefool.experiments import Experiment, make_plan
from edgefool.protection import protect
from edgefool.runs import load_records, open_run

pytestmark = pytest.mark.gpu
NAMES = ["cat", "coffee", "flower", "temple"]


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "photos").mkdir()
    write_demo_photos(tmp_path / "photos", NAMES)
    return make_plan(
        {
            "datasets": [{"kind": "folder", "name": "demo", "path": str(tmp_path / "photos")}],
            "classifiers": [{"name": "efficientnet-lite0"}, {"name": "caltech101-resnet", "role": "judge"}],
            "methods": [{"name": "edgefool"}, {"name": "robust-edgefool", "constants": {"max_iterations": 5}}],
            "size": 112,
            "squeezers": ["bits4", "median2"],
            "robustness": ["jpeg75", "half"],
        }
    )


def carry_out(plan, folder, device, steps=None, **options):
    experiment = Experiment(plan, device)
    with open_run(folder, plan.to_toml(), experiment.cells) as run:
        state = RunState(experiment, run)
        work = run_local(state, **options)
        for number, _ in enumerate(work, 1):
            if number == steps:
                work.close()
                return None
        return state, run.predictions(), run.qualities(), run.transformed()


def test_a_run_that_was_cut_off_goes_on(plan, tmp_path, device):
    cores = torch.get_num_threads()
    carry_out(plan, tmp_path / "run", str(device), steps=2, batch_size=2)
    assert torch.get_num_threads() == cores
    state, predictions, qualities, transformed = carry_out(plan, tmp_path / "run", str(device))
    records = load_records(tmp_path / "run")
    assert len(records) == 8
    assert not records.error.notna().any()
    assert records[records.method == "edgefool"].success.all()
    assert (records[records.method == "edgefool"].smoothing_loss < 5e-4).all()
    assert not state.evaluation.problems
    assert len(qualities) == 8
    assert len(predictions) == len(transformed) == 2 * (8 + 4)

    carry_out(plan, tmp_path / "cpu", "cpu")
    own = load_records(tmp_path / "cpu").set_index(["method", "image"]).sort_index()
    other = records.set_index(["method", "image"]).sort_index()
    assert own.original_class.equals(other.original_class)
    assert own.success.equals(other.success)
    assert (own.original_probability - other.original_probability).abs().max() < 3e-3  # .0011 on an H100


def test_command_line(edgefool, tmp_path, device):
    (tmp_path / "photos").mkdir()
    write_demo_photos(tmp_path / "photos", NAMES[:2])
    options = ["attack", tmp_path / "photos", "--out", tmp_path / "run", "--size", 112, "--device", device.type]
    for _ in range(2):  # the second time everything is done
        code, out, err = edgefool(*options)
        assert code == 0, err
        assert "2 of 2 photos fool the classifier" in out


def test_protection(photos, device):
    changed = protect(photos[0], classifiers=["efficientnet-lite0"], device=str(device))
    assert changed.shape == photos[0].shape
    assert (changed - photos[0]).abs().max() > 0


def test_memory(networks, device):
    shape, attack = torch.Size([3, 112, 112]), EdgeFool(tau=1e-12, max_iterations=2)
    size = BatchSize(attack, networks[1], device)
    count = size(shape)
    assert 1 <= count <= MAX_BATCH[device.type]
    if device.type == "cuda":
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        attack(networks[1], torch.rand(count, *shape, device=device), batch_size=count)
        assert torch.cuda.max_memory_allocated() - before <= 1.25 * count * size.need(shape)
