"""Does what is missing of an experiment in a run folder, in this process."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import torch

from edgefool.datasets import Photo
from edgefool.execution.batch_size import BatchSize, Kept
from edgefool.execution.cell_attack import THREADS, CellAttack, Wanted
from edgefool.execution.evaluation import Evaluation
from edgefool.execution.measurer import Meter, Question
from edgefool.experiments.experiment import Experiment, Work
from edgefool.runs import Record, RunFolder


@dataclass(frozen=True)
class Task:
    """A work in a run: its folder there, its photos, and those still to be attacked."""

    work: Work
    folder: str
    photos: list[Photo]
    waiting: list[Photo]


@dataclass(frozen=True)
class Step:
    """What has just become durable: an image's record, or what was measured of some images; nothing with a warning."""

    task: Task | None = None
    record: Record | None = None
    measured: int = 0


class Execution:
    """An experiment in a run folder; iterate, once, to do what is missing, cell by cell.

    A cell's images are attacked and then measured, their originals too.

    Parameters
    ----------
    experiment
        What to do.
    run
        The open run folder.
    batch_size
        How many images are attacked at a time; by default as many as the free memory takes.
    retry
        Try again the photos that gave an error.

    Attributes
    ----------
    tasks : list of Task
        All cells of the experiment.
    done : dict
        By a cell's folder, the records of its images by name; it grows.
    warnings : list of str
        What slows the work down, lines for people; it grows.

    Raises
    ------
    UsageError
        If a photo that was attacked has other bytes now.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: RunFolder,
        *,
        batch_size: int | None = None,
        retry: bool = False,
    ):
        self._experiment, self._run, self._batch_size = experiment, run, batch_size
        self._memory: dict[str, Kept] = {}
        self._pool = ThreadPoolExecutor(THREADS, "edgefool")
        folders = run.enter(experiment.cells, [work.limit for work in experiment.works])
        records = run.records()
        photos = experiment.named_as_before(records)
        self._originals: dict[str, dict[str, Record]] = {name: {} for name in photos}
        self.done: dict[str, dict[str, Record]] = {folder: {} for folder in folders}
        for record in records:
            if record.original_png and record.dataset in self._originals:
                self._originals[record.dataset][record.image] = record
            if record.cell in self.done and not (retry and record.error):
                self.done[record.cell][record.image] = record
        run.select({name: [photo.name for photo in found] for name, found in photos.items()})
        self.warnings: list[str] = []
        self.tasks: list[Task] = []
        for work, folder in zip(experiment.works, folders, strict=True):
            chosen = photos[work.cell.dataset][: work.limit]
            waiting = [photo for photo in chosen if photo.name not in self.done[folder]]
            self.tasks.append(Task(work, folder, chosen, waiting))

    @property
    def rates(self) -> dict[str, float]:
        """Images per second of each worker, where there are any."""
        return {}

    def __iter__(self) -> Iterator[Step]:
        with self._pool:
            meter = Meter(self._run, self._experiment.all_classifiers, self._pool, self._experiment.lpips)
            for task in self.tasks:
                yield from self._attack(task)
                for question in self.questions(task):
                    self.evaluation.save(meter(question))
                    yield Step(task if question.subjects[0].cell else None, measured=len(question))

    def attack(self) -> Iterator[Step]:
        """Attack the photos that wait, and measure nothing."""
        with self._pool:
            for task in self.tasks:
                yield from self._attack(task)

    @cached_property
    def evaluation(self) -> Evaluation:
        """What is known of the images."""
        experiment = self._experiment
        return Evaluation(
            self._run, experiment.classifiers, experiment.plan.squeezers, lpips=experiment.lpips is not None
        )

    def questions(self, task: Task) -> Iterator[Question]:
        """Return what is still to be found out of a cell's images and of its dataset's originals."""
        records, cell = self.done[task.folder].values(), task.work.cell
        yield from self.evaluation.originals(self._originals[cell.dataset].values())
        yield from self.evaluation.adversarial(records, cell.fingerprint)

    def wanted(self, task: Task, photo: Photo) -> Wanted:
        """Return what a photo's attack starts from."""
        return Wanted(photo, self._originals[task.work.cell.dataset].get(photo.name))

    def note(self, task: Task, record: Record) -> Step:
        """Take in a record that is durable."""
        self.done[task.folder][record.image] = record
        if record.original_png:
            self._originals[record.dataset].setdefault(record.image, record)
        return Step(task, record)

    def _attack(self, task: Task) -> Iterator[Step]:
        if not task.waiting:
            return
        work = task.work
        batch_size = self._batch_size or BatchSize(work.attack, self._kept(work))
        photos = (self.wanted(task, photo) for photo in task.waiting)
        attacked = CellAttack(
            self._run, task.folder, work.cell, photos, work.classifier, work.attack, batch_size, self._pool
        )
        for record in attacked:
            yield self.note(task, record)

    def _kept(self, work: Work) -> Kept:
        key = work.classifier.fingerprint
        if key not in self._memory:
            self._memory[key] = Kept(work.classifier, torch.device(self._experiment.device))
        return self._memory[key]
