"""A machine of a Ray cluster goes and another comes."""

import json

import pytest

from edgefool.execution import RunState, make_ray_pool, run_distributed
from edgefool.experiments import Experiment, make_plan
from edgefool.runs import open_run

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra ray is not installed")
pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def test_a_node_that_is_removed_loses_nothing(tmp_path, settings, tally):
    """Two machines, played by this one; what was on the one that goes is done on the other or the one that comes."""
    tally.fault = "a node of a Ray cluster removed, another added"
    method = {"name": "edgefool", "constants": {"start": "identity", "max_iterations": 40, "tau": 1e-9}}
    slow = {**settings, "methods": [method]}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    own = ray.get_runtime_context().get_node_id()  # the driver's, without which nothing can go on
    going = next(node for node in nodes if node.node_id != own)
    try:
        plan = make_plan(slow)
        experiment = Experiment(plan)
        with open_run(tmp_path / "spread", plan.to_toml(), experiment.cells) as run:
            state = RunState(experiment, run)
            for step in run_distributed(state, make_ray_pool(state, workers=2, device="cpu")):
                if step.record and not tally.tries and len(run.records()) >= 3:
                    cluster.remove_node(going, allow_graceful=False)
                    cluster.add_node(num_cpus=1)
                    tally.tries += 1
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert tally.tries == 1
    assert any("died; its" in line for line in state.warnings)
    lines = [json.loads(line) for line in run.record_lines.path.read().splitlines()]
    tally.wrong += sum(line["error"] is not None for line in lines) + abs(len(lines) - 12)
    with open_run(run.path, plan.to_toml(), experiment.cells) as again:
        tally.lost += len(again.repaired) + 12 - len({record.key for record in again.records()})
    assert (tally.lost, tally.wrong) == (0, 0)
