"""The state of a run: its cells, its records, and the work that is missing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgefool.classifiers import members_of
from edgefool.datasets import Photo
from edgefool.execution.cell_attack import Outcome
from edgefool.execution.evaluation import Evaluation
from edgefool.execution.measurer import Measurements, MeasureRequest
from edgefool.experiments.experiment import CellJob, Experiment
from edgefool.runs import Record, RunFolder
from edgefool.storage.pause_gc import pause_gc


@dataclass(frozen=True)
class CellProgress:
    """A cell in a run: its folder there, its photos, and those that had no result at the start of the command."""

    job: CellJob
    folder: str
    photos: list[Photo]
    waiting: list[Photo]


@dataclass(frozen=True)
class Step:
    """What has just become durable: an image's record or measurements of images; neither if there is a new warning."""

    cell: CellProgress | None = None
    record: Record | None = None
    measured: int = 0


class RunState:
    """An experiment in a run folder: its finished and its missing work; `run_local` and `run_distributed` update it.

    Parameters
    ----------
    experiment
        The experiment.
    run
        The open run folder.
    retry
        Retry the photos that gave an error.
    predict
        Whether the work includes the predictions of all classifiers, on originals too; distances, and what the plan
        asks for by ``robustness``, are always measured.

    Attributes
    ----------
    cells : list of CellProgress
        All cells of the experiment.
    records : dict
        By a cell's folder, the records of its images by name; it grows.
    warnings : list of str
        A line for each photo of which a part could not be used, and each problem that slows the work down; it grows.
    rates : dict
        Images per second by worker; empty without workers.

    Raises
    ------
    UsageError
        If a photo that was attacked has changed since.
    """

    @pause_gc()
    def __init__(self, experiment: Experiment, run: RunFolder, *, retry: bool = False, predict: bool = True):
        self.experiment, self.run, self._predict = experiment, run, predict
        self.warnings: list[str] = []
        self.rates: dict[str, float] = {}
        run.keep_groups(experiment.all_classifiers)
        folders = run.enter(experiment.cells, [job.limit for job in experiment.jobs])
        known = run.records()
        photos = experiment.named_as_before(known, run.source_hashes)
        run.keep_source_hashes()
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
        """The measurements of the images."""
        plan = self.experiment.plan
        return Evaluation(
            self.run,
            self.experiment.classifiers,
            plan.squeezers,
            plan.robustness,
            lpips=plan.lpips is not None,
            predict=self._predict,
        )

    def original(self, dataset: str, image: str) -> Record | None:
        """Return a record that says that an image's original is in the run, None if there is none."""
        return self._originals[dataset].get(image)

    def requests(self, cell: CellProgress) -> Iterator[MeasureRequest]:
        """Return requests for the missing measurements of a cell's images and of its dataset's originals."""
        yield from self.evaluation.originals(self._originals[cell.job.cell.dataset].values())
        attacked = [member.fingerprint for member in members_of(cell.job.classifier)]
        yield from self.evaluation.adversarial(self.records[cell.folder].values(), attacked)

    def save(self, outcomes: Sequence[Outcome]) -> None:
        """Make the distances and records of durable images durable; safe to call from several threads.

        Raises as `RunFolder.save` does.
        """
        # Distances first, so that no record lacks them if the process is killed in between.
        self.evaluation.save(Measurements(qualities=[outcome.quality for outcome in outcomes if outcome.quality]))
        self.run.save_records([outcome.record for outcome in outcomes])
        self.warnings += [f"{outcome.record.source}: {line}" for outcome in outcomes for line in outcome.warnings]

    def note(self, cell: CellProgress, record: Record) -> Step:
        """Add a durable record to the state."""
        self.records[cell.folder][record.image] = record
        if record.original_png:
            self._originals[record.dataset].setdefault(record.image, record)
        return Step(cell, record)

    def save_measurements(self, cell: CellProgress, request: MeasureRequest, measured: Measurements) -> Step:
        """Save the measurements for a request; raise as `RunFolder.save` does."""
        self.evaluation.save(measured)
        return Step(cell if request.cell else None, measured=len(request))
