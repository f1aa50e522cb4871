"""What is to be done in a run, and what is known of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgefool.datasets import Photo
from edgefool.execution.cell_attack import Outcome
from edgefool.execution.evaluation import Evaluation
from edgefool.execution.measurer import Measurements, MeasureRequest
from edgefool.experiments.experiment import CellJob, Experiment
from edgefool.runs import Record, RunFolder


@dataclass(frozen=True)
class CellProgress:
    """A cell in a run: its folder there, its photos, and those that had no result when the command began."""

    job: CellJob
    folder: str
    photos: list[Photo]
    waiting: list[Photo]


@dataclass(frozen=True)
class Step:
    """What has just become durable: an image's record, or measurements of images; neither where there is a warning."""

    cell: CellProgress | None = None
    record: Record | None = None
    measured: int = 0


class RunState:
    """An experiment in a run folder: what is missing, what is known; `run_local` and `run_distributed` change it.

    Parameters
    ----------
    experiment
        What to do.
    run
        The open run folder.
    retry
        Try again the photos that gave an error.

    Attributes
    ----------
    cells : list of CellProgress
        All cells of the experiment.
    records : dict
        By a cell's folder, the records of its images by name; it grows.
    warnings : list of str
        What slows the work down, lines for people; it grows.
    rates : dict
        Images per second by worker, where there are workers.

    Raises
    ------
    UsageError
        If a photo that was attacked has other bytes now.
    """

    def __init__(self, experiment: Experiment, run: RunFolder, *, retry: bool = False):
        self.experiment, self.run = experiment, run
        self.warnings: list[str] = []
        self.rates: dict[str, float] = {}
        folders = run.enter(experiment.cells, [job.limit for job in experiment.jobs])
        known = run.records()
        photos = experiment.named_as_before(known)
        self._originals: dict[str, dict[str, Record]] = {dataset: {} for dataset in photos}
        self.records: dict[str, dict[str, Record]] = {folder: {} for folder in folders}
        for record in known:
            if record.original_png and record.dataset in self._originals:
                self._originals[record.dataset][record.image] = record
            if record.cell in self.records and not (retry and record.error):
                self.records[record.cell][record.image] = record
        run.select({dataset: [photo.name for photo in found] for dataset, found in photos.items()})
        self.cells: list[CellProgress] = []
        for job, folder in zip(experiment.jobs, folders, strict=True):
            chosen = photos[job.cell.dataset][: job.limit]
            waiting = [photo for photo in chosen if photo.name not in self.records[folder]]
            self.cells.append(CellProgress(job, folder, chosen, waiting))

    @cached_property
    def evaluation(self) -> Evaluation:
        """What was measured of the images."""
        experiment = self.experiment
        lpips = experiment.lpips is not None
        return Evaluation(self.run, experiment.classifiers, experiment.plan.squeezers, lpips=lpips)

    def original(self, dataset: str, image: str) -> Record | None:
        """Return a record of an image whose original is in the run, if there is one."""
        return self._originals[dataset].get(image)

    def requests(self, cell: CellProgress) -> Iterator[MeasureRequest]:
        """Return what is still to be measured of a cell's images and of its dataset's originals."""
        yield from self.evaluation.originals(self._originals[cell.job.cell.dataset].values())
        yield from self.evaluation.adversarial(self.records[cell.folder].values(), cell.job.cell.fingerprint)

    def save(self, outcomes: Sequence[Outcome]) -> None:
        """Make distances and records durable, whose images are; threads may call this together.

        Raises as `RunFolder.save` does.
        """
        # In this order, so that no record lacks its distances if the process is killed in between.
        self.evaluation.save(Measurements(qualities=[outcome.quality for outcome in outcomes if outcome.quality]))
        self.run.save_records([outcome.record for outcome in outcomes])

    def note(self, cell: CellProgress, record: Record) -> Step:
        """Take account of a record that is durable."""
        self.records[cell.folder][record.image] = record
        if record.original_png:
            self._originals[record.dataset].setdefault(record.image, record)
        return Step(cell, record)

    def save_measurements(self, cell: CellProgress, request: MeasureRequest, measured: Measurements) -> Step:
        """Write down what was measured for a request; raise as `RunFolder.save` does."""
        self.evaluation.save(measured)
        return Step(cell if request.cell else None, measured=len(request))
