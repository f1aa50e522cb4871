"""A plan with its photos, classifiers and attacks loaded."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from edgefool.attacks import Attack, make_attack, settings
from edgefool.classifiers import (
    CLASSIFIERS,
    Classifier,
    Ensemble,
    Victim,
    cache_folder,
    fetch,
    load_classifier,
    members_of,
    read_groups,
    read_state_dict,
)
from edgefool.classifiers.class_names import find_class
from edgefool.datasets import Dataset, Photo
from edgefool.errors import UsageError
from edgefool.experiments.entries import ClassifierEntry, LpipsEntry
from edgefool.experiments.identity import known_names
from edgefool.experiments.plan import Plan
from edgefool.experiments.victims import aimed_groups, check_distinct, check_labels, find_victims, is_for
from edgefool.metrics import Lpips
from edgefool.runs import Cell, CellMember, Record
from edgefool.runs.cell import Size
from edgefool.storage import StorePath


@dataclass(frozen=True)
class CellJob:
    """A cell with its classifier or ensemble, and attack; ``limit`` is its maximum number of photos."""

    cell: Cell
    classifier: Victim
    attack: Attack
    limit: int | None


class Experiment:
    """A plan that is ready to run: everything in it has been found and fits together.

    Parameters
    ----------
    plan
        What to run.
    device
        Device of the classifiers.
    allow_missing
        Continue without missing images of a dataset's list.
    loaded
        Classifiers that need not be loaded again, by their entries.

    Attributes
    ----------
    plan : Plan
        The plan with its datasets as `Dataset.pinned` returns them.
    photos : dict
        The photos found, by dataset.
    classifiers : dict
        The classifiers by dataset; each is evaluated on all adversarial images.
    jobs : list of CellJob
        The cells with their classifiers and attacks, ordered by dataset and classifier.
    lpips : Lpips or None
        Computes LPIPS, if the plan has it.

    Raises
    ------
    UsageError
        If photos, a classifier, weights, another library or a constant are missing or do not fit.
    RunError
        If weights cannot be downloaded.
    """

    def __init__(
        self,
        plan: Plan,
        device: str = "cpu",
        *,
        allow_missing: bool = False,
        loaded: Mapping[ClassifierEntry, Classifier] = MappingProxyType({}),
    ):
        plan = plan.model_copy(update={"datasets": tuple(dataset.pinned() for dataset in plan.datasets)})
        self.plan, self.device, self._allow_missing = plan, device, allow_missing
        self.photos = {dataset.name: dataset.find(allow_missing=allow_missing) for dataset in plan.datasets}
        self._attacks = [make_attack(method.name, method.constants) for method in plan.methods]
        self.classifiers = load_all_classifiers(plan, device, loaded)
        victims = find_victims(plan, self.classifiers)
        self.jobs = [
            CellJob(self._cell(dataset, victim, k), victim, self._attacks[k], method.limit)
            for dataset in plan.datasets
            for entry, victim in victims[dataset.name].items()
            for k, method in enumerate(plan.methods)
            if entry in plan.attacked(method)
        ]
        _check_cells(self.jobs)
        self.lpips = load_lpips(plan.lpips, device) if plan.lpips else None

    def _cell(self, dataset: Dataset, victim: Victim, k: int) -> Cell:
        method, members = self.plan.methods[k], members_of(victim)
        counts = {member.num_classes for member in members}
        self._attacks[k].check(victim)
        if method.criterion == "labels":
            check_labels(method.label, dataset, members)
        targets = () if method.target is None else tuple(find_class(method.target, m.classes, m.name) for m in members)
        return Cell(
            dataset=dataset.name,
            method=self._attacks[k].name,
            constants=settings(self._attacks[k]),
            fingerprint=victim.fingerprint,
            size=self.plan.size,
            seed=self.plan.seed,
            label=method.label,
            classifier=victim.name,
            num_classes=counts.pop() if len(counts) == 1 else 0,
            criterion="labels" if method.criterion == "labels" else "targeted" if targets else None,
            targets=targets,
            groups=aimed_groups(self._attacks[k], members),
            members=tuple(
                CellMember(classifier=m.name, fingerprint=m.fingerprint, num_classes=m.num_classes) for m in members
            )
            if isinstance(victim, Ensemble)
            else (),
        )

    @property
    def cells(self) -> list[Cell]:
        """The cells of all jobs."""
        return [job.cell for job in self.jobs]

    @property
    def all_classifiers(self) -> list[Classifier]:
        """The classifiers of all datasets, each once."""
        return list(dict.fromkeys(c for classifiers in self.classifiers.values() for c in classifiers))

    def warnings(self) -> list[str]:
        """Return a line for each reason why numbers are missing or less reliable than they look."""
        rate = self.plan.false_positive_rate
        unfit = [
            line for dataset in self.plan.datasets for line in unfit_labels(dataset, self.classifiers[dataset.name])
        ]
        uncounted = [
            f"{dataset.name} has labels, and not the number of their classes (num_classes): not compared with the "
            "ground truth"
            for dataset in self.plan.datasets
            if dataset.num_classes is None and any(photo.label is not None for photo in self.photos[dataset.name])
        ]
        few = [
            f"{name} has {len(photos)} photos, too few for {rate:.0%} false positives: the detection threshold "
            "is the highest score of an original"
            for name, photos in self.photos.items()
            if len(photos) * rate < 1
        ]
        return unfit + uncounted + few

    def seconds_per_image(self, jobs: Sequence[CellJob]) -> list[float]:
        """Estimate the seconds per image of each job from one timed step of its attack on noise.

        0 if the classifier fails on such an image; the records of the run will say why.
        """
        side = 224 if self.plan.size == "native" else self.plan.size
        noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(self.device)
        known: dict[tuple[str, str], float] = {}
        for job in jobs:
            key = (job.classifier.fingerprint, job.attack.name)
            if key not in known:
                try:
                    _time(job, noise)  # a warm-up, which is slower
                    known[key] = _time(job, noise)
                except Exception:  # the classifier may be any code
                    known[key] = 0.0
        return [known[job.classifier.fingerprint, job.attack.name] for job in jobs]

    def named_as_before(
        self, records: Sequence[Record], hash_file: Callable[[StorePath], str | None]
    ) -> dict[str, list[Photo]]:
        """Return the photos by dataset, with their names in the run of these records.

        ``hash_file`` returns the SHA-256 of a photo, None if it cannot be read.

        Raises
        ------
        UsageError
            If the bytes of a photo in the run have changed.
        """
        by_dataset: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_dataset[record.dataset].append(record)
        photos = dict(self.photos)
        for dataset in self.plan.datasets:
            if own := by_dataset[dataset.name]:
                known = known_names(photos[dataset.name], own, hash_file)
                if any(known.photos.get(photo.path) != photo.name for photo in photos[dataset.name]):
                    photos[dataset.name] = dataset.find(known, allow_missing=self._allow_missing)
        return photos


def load_all_classifiers(
    plan: Plan, device: str, loaded: Mapping[ClassifierEntry, Classifier] = MappingProxyType({})
) -> dict[str, list[Classifier]]:
    """Return the classifiers of each dataset of a plan, loading those not yet ``loaded``; see `load_classifiers`."""
    known, classifiers = dict(loaded), {}
    for dataset in plan.datasets:
        entries = [entry for entry in plan.networks if is_for(entry, dataset.name)]
        for entry in entries:
            if entry not in known:
                known[entry] = _load(entry, device, plan.size)
        classifiers[dataset.name] = check_distinct(dataset.name, [known[entry] for entry in entries])
    return classifiers


def load_classifiers(
    dataset: str, entries: Sequence[ClassifierEntry], device: str, size: Size = "native"
) -> list[Classifier]:
    """Return the classifiers of a dataset, for images of a size, named as their entries say.

    Raises
    ------
    UsageError
        If one cannot be loaded, two are the same or share a name, or there is none.
    """
    return check_distinct(dataset, [_load(entry, device, size) for entry in entries])


def _load(entry: ClassifierEntry, device: str, size: Size) -> Classifier:
    side = None if size == "native" else size
    classifier = load_classifier(entry.name, weights=entry.weights, classes=entry.classes, device=device, size=side)
    classifier.name = entry.label or classifier.name
    if entry.groups is not None:
        classifier.groups = read_groups(entry.groups, classifier.classes)
    return classifier


def unfit_labels(dataset: Dataset, classifiers: Iterable[Classifier]) -> list[str]:
    """Return a line for each classifier with another number of classes than the labels of a dataset."""
    return [
        f"{dataset.name} has labels of {dataset.num_classes} classes, {classifier.name} has "
        f"{classifier.num_classes}: not compared with the ground truth"
        for classifier in classifiers
        if dataset.num_classes not in (None, classifier.num_classes)
    ]


def load_lpips(entry: LpipsEntry, device: str) -> Lpips:
    """Return the LPIPS network; the weights of AlexNet are downloaded if no file is given.

    Raises
    ------
    UsageError
        If the weights of another backbone are not given, or do not fit.
    RunError
        If they cannot be downloaded.
    """
    file = entry.weights
    if file is None:
        if entry.backbone != "alex":
            raise UsageError(f"lpips: the backbone {entry.backbone} needs a file with its weights (weights = ...)")
        alexnet = CLASSIFIERS["alexnet"]
        file = fetch(str(alexnet.url), alexnet.sha256, cache_folder())
    return Lpips(entry.backbone, read_state_dict(file)).to(device)


def _check_cells(jobs: Sequence[CellJob]) -> None:
    seen: dict[str, str] = {}
    for job in jobs:
        if job.cell.id in seen:
            raise UsageError(f"the methods {seen[job.cell.id]} and {job.cell.label} are the same")
        seen[job.cell.id] = job.cell.label


def _time(job: CellJob, noise: torch.Tensor) -> float:
    start = time.perf_counter()
    states = job.attack.begin(job.classifier, noise, [0])
    begun = time.perf_counter()
    if job.attack.in_one_step:  # the only step is the whole attack, which would take too long
        return (begun - start) * job.attack.typical_steps
    job.attack.step(job.classifier, states)
    return begun - start + job.attack.typical_steps * (time.perf_counter() - begun)
