"""Carries out the missing work of a run in this process."""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from edgefool.execution.batch_size import BatchSize
from edgefool.execution.cell_attack import THREADS, CellAttack, Outcome
from edgefool.execution.measurer import Measurer
from edgefool.execution.state import CellProgress, RunState, Step
from edgefool.storage import StorePath


def run_local(state: RunState, *, batch_size: int | None = None) -> Iterator[Step]:
    """Attack the photos without a result, cell by cell, and measure images; yield a step when its results are durable.

    Parameters
    ----------
    state
        The run; each step updates it.
    batch_size
        How many images to attack at a time; by default as many as fit in the free memory.

    Raises
    ------
    RunError
        If images or records cannot be written.
    AttackError
        If an attack, or the classifier in it, raises an exception.
    """
    experiment, device = state.experiment, torch.device(state.experiment.device)
    with _thread_pool(device) as pool:
        measurer = Measurer(state.run, experiment.all_classifiers, pool, experiment.lpips)
        for cell in state.cells:
            if cell.waiting:
                fitting = batch_size or BatchSize(cell.job.attack, cell.job.classifier, device)
                yield from _attack(state, cell, fitting, pool)
            for request in state.requests(cell):
                yield state.save_measurements(cell, request, measurer(request))


@contextmanager
def _thread_pool(device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Yield the threads that read, judge and write images; beside a GPU each on one core."""
    cores = torch.get_num_threads()
    if device.type == "cuda":
        torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(THREADS, "edgefool") as pool:
            yield pool
    finally:
        torch.set_num_threads(cores)


def _attack(
    state: RunState, cell: CellProgress, batch_size: int | BatchSize, pool: ThreadPoolExecutor
) -> Iterator[Step]:
    def save(outcome: Outcome, files: Mapping[StorePath, bytes]) -> None:
        state.run.save_images(outcome.record, files)
        state.save([outcome])

    job, waiting = cell.job, deque(cell.waiting)
    attack = CellAttack(
        state.run,
        cell.folder,
        job.cell,
        job.classifier,
        job.attack,
        batch_size,
        pool,
        save,
        max_megapixels=state.experiment.plan.max_megapixels,
    )
    while waiting or len(attack):
        while waiting and attack.room():
            photo = waiting.popleft()
            attack.admit(photo, state.original(job.cell.dataset, photo.name))
        for outcome in attack.step():
            yield state.note(cell, outcome.record)
