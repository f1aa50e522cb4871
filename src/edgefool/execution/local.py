"""Does what is missing of a run in this process."""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch

from edgefool.execution.batch_size import ActivationMemory, BatchSize
from edgefool.execution.cell_attack import THREADS, CellAttack, Outcome
from edgefool.execution.measurer import Measurer
from edgefool.execution.state import CellProgress, RunState, Step
from edgefool.storage import StorePath


def run_local(state: RunState, *, batch_size: int | None = None, measure: bool = True) -> Iterator[Step]:
    """Attack what is missing of a run, cell by cell, and measure it, the originals too; yield what is durable.

    Parameters
    ----------
    state
        What is missing; it changes with each step.
    batch_size
        How many images are attacked at a time; by default as many as the free memory takes.
    measure
        Also let every classifier predict, and measure all distances that are missing.

    Raises
    ------
    RunError
        If images or records cannot be written.
    AttackError
        If an attack, or the classifier in it, raises anything.
    """
    experiment, memories = state.experiment, dict[str, ActivationMemory]()
    with ThreadPoolExecutor(THREADS, "edgefool") as pool:
        measurer = Measurer(state.run, experiment.all_classifiers, pool, experiment.lpips)
        for cell in state.cells:
            classifier, device = cell.job.classifier, torch.device(experiment.device)
            memory = memories.setdefault(classifier.fingerprint, ActivationMemory(classifier, device))
            yield from _attack(state, cell, batch_size or BatchSize(cell.job.attack, memory), pool)
            for request in state.requests(cell) if measure else ():
                yield state.save_measurements(cell, request, measurer(request))


def _attack(
    state: RunState, cell: CellProgress, batch_size: int | BatchSize, pool: ThreadPoolExecutor
) -> Iterator[Step]:
    def save(outcome: Outcome, files: Mapping[StorePath, bytes]) -> None:
        state.run.save_images(outcome.record, files)
        state.save([outcome])

    job, waiting = cell.job, deque(cell.waiting)
    attack = CellAttack(state.run, cell.folder, job.cell, job.classifier, job.attack, batch_size, pool, save)
    while waiting or len(attack):
        while waiting and attack.room():
            photo = waiting.popleft()
            attack.admit(photo, state.original(job.cell.dataset, photo.name))
        for outcome in attack.step():
            yield state.note(cell, outcome.record)
