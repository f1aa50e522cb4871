"""The records and measurements of a run, sorted by cell."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from edgefool.classifiers import SemanticGroups, imagenet_groups
from edgefool.classifiers.semantic_groups import fit_imagenet
from edgefool.experiments.plan import reread_plan
from edgefool.report.class_changes import Pairs
from edgefool.runs import Cell, ClassGroups, Prediction, Quality, Record, TransformedClasses, read_run
from edgefool.runs.class_groups import groups_by_fingerprint
from edgefool.runs.tables import add_distances
from edgefool.storage import StorePath
from edgefool.storage.pause_gc import pause_gc

NULL_METHOD = "enhance"
"""EdgeFool's enhancement without an attack, the baseline of every attack that enhances."""

Answers = Mapping[str, Prediction]  # by image


class Target(NamedTuple):
    """A classifier that judges the images of a dataset: its name in tables, SHA-256 and number of classes."""

    dataset: str
    classifier: str
    fingerprint: str
    num_classes: int


class Judge(NamedTuple):
    """One classifier, or the members of an ensemble that judge together, by its name in tables."""

    name: str
    targets: tuple[Target, ...]

    @classmethod
    def of(cls, target: Target) -> "Judge":
        """Return a single classifier as a judge."""
        return cls(target.classifier, (target,))


@dataclass(frozen=True)
class Results:
    """The records and measurements from which tables and figures are made.

    Attributes
    ----------
    cells : dict
        By folder.
    records : dict
        By a cell's folder, the records of the images that were attacked.
    errors : dict
        By a cell's folder, the records of the images that could not be attacked.
    squeezers : sequence of str
        The squeezers of the detectors.
    false_positive_rate : float
        False positive rate of the detectors.
    label_classes : dict
        By dataset, the number of classes of its labels; None if it has no labels.
    kinds : dict
        By dataset, its kind.
    networks : dict
        By dataset and classifier, the name by which the plan loads it.
    transformations : sequence of str
        The transformations of the robustness table.
    left_out : int
        How many records are left out, as their photos are no longer in the plan.
    """

    cells: Mapping[str, Cell]
    records: Mapping[str, Sequence[Record]]
    errors: Mapping[str, Sequence[Record]]
    squeezers: Sequence[str]
    false_positive_rate: float
    label_classes: Mapping[str, int | None]
    kinds: Mapping[str, str]
    networks: Mapping[tuple[str, str], str]
    transformations: Sequence[str]
    left_out: int
    _predictions: Mapping[tuple[str | None, str, str], Answers]
    _qualities: Mapping[str, Mapping[str, Quality]]
    _transformed: Mapping[tuple[str | None, str, str], Mapping[str, TransformedClasses]]
    _groups: Mapping[str, SemanticGroups | None]

    def of_originals(self, dataset: str, fingerprint: str) -> Answers:
        """Return a classifier's predictions for the originals of a dataset, by image."""
        return self._predictions.get((None, dataset, fingerprint), {})

    def of_adversarial(self, folder: str, fingerprint: str) -> Answers:
        """Return a classifier's predictions for the adversarial images of a cell, by image."""
        return self._predictions.get((folder, self.cells[folder].dataset, fingerprint), {})

    def quality(self, folder: str) -> Mapping[str, Quality]:
        """Return how far the adversarial images of a cell are from their originals, by image."""
        return self._qualities.get(folder, {})

    def groups(self, target: Target) -> SemanticGroups | None:
        """Return the semantic groups of a classifier's classes.

        Runs before 0.2 do not say: 1,000 classes are those of ImageNet, unless names in the records contradict.
        """
        if target.fingerprint in self._groups or target.num_classes != len(imagenet_groups().of_class):
            return self._groups.get(target.fingerprint)
        return imagenet_groups() if fit_imagenet(self._names.get(target.fingerprint, set())) else None

    def classes(self, folder: str, target: Target) -> Pairs:
        """Return by image a classifier's classes of the original and of the adversarial image of a cell."""
        cell = self.cells[folder]
        attacked = [member.fingerprint for member in cell.members] or [cell.fingerprint]
        if target.fingerprint in attacked:
            k = attacked.index(target.fingerprint)
            decisions = {record.image: (record.members or [record])[k] for record in self.records.get(folder, [])}
            return {
                image: (decision.original_class, decision.adversarial_class)
                for image, decision in decisions.items()
                if decision.original_class is not None and decision.adversarial_class is not None
            }
        return self.predicted(folder, target)

    def predicted(self, folder: str, target: Target) -> Pairs:
        """Return the same by the classifier's predictions alone, also where records hold its decisions."""
        clean = self.of_originals(target.dataset, target.fingerprint)
        adversarial = self.of_adversarial(folder, target.fingerprint)
        return {name: (clean[name].predicted, adversarial[name].predicted) for name in adversarial if name in clean}

    def transformed(self, folder: str, target: Target, name: str) -> Pairs:
        """Return the same after the transformation ``name``."""
        clean, adversarial = (
            {image: line.classes[name] for image, line in lines.items() if name in line.classes}
            for lines in (self._transformed.get((f, target.dataset, target.fingerprint), {}) for f in (None, folder))
        )
        return {image: (clean[image], adversarial[image]) for image in adversarial if image in clean}

    @cached_property
    def _names(self) -> dict[str, set[tuple[int, str]]]:
        """By an attacked classifier's fingerprint, the classes in the records, each with its name."""
        names: dict[str, set[tuple[int, str]]] = defaultdict(set)
        for folder, records in self.records.items():
            for record in records:
                if record.original_class is not None:
                    names[self.cells[folder].fingerprint].add((record.original_class, str(record.original_name)))
        return names

    @cached_property
    def _null_cells(self) -> list[tuple[str, Cell]]:
        """The cells of the null method, with their folders."""
        return [(folder, cell) for folder, cell in self.cells.items() if cell.method == NULL_METHOD]

    @cached_property
    def methods(self) -> dict[str, str]:
        """By a cell's folder, the name of its method in tables: its label, if that is unambiguous."""
        counts = Counter(_labels(cell) for cell in self.cells.values())
        return {
            folder: cell.label if counts[_labels(cell)] == 1 else folder.split("/")[1]
            for folder, cell in self.cells.items()
        }

    @cached_property
    def targets(self) -> dict[str, list[Target]]:
        """By dataset, the classifiers: those that are attacked, members of ensembles, and judges."""
        first: dict[str, dict[str, Target]] = {cell.dataset: {} for cell in self.cells.values()}
        for cell in self.cells.values():
            for one in cell.members or [cell]:
                target = Target(cell.dataset, one.classifier, one.fingerprint, one.num_classes)
                first[cell.dataset].setdefault(one.fingerprint, target)
        for (folder, dataset, fingerprint), answers in self._predictions.items():
            line = next(iter(answers.values()))
            if folder is None and dataset in first and line.num_classes is not None:
                target = Target(dataset, line.classifier, fingerprint, line.num_classes)
                first[dataset].setdefault(fingerprint, target)
        return {dataset: list(targets.values()) for dataset, targets in first.items()}

    def null(self, cell: Cell) -> str | None:
        """Return the folder of the null method's first cell for the dataset and classifier of a cell.

        It must enhance as strongly as the cell's attack, if that enhances (v3 of Eq. 7).
        """
        strength = cell.constants.get("strength", cell.constants.get("v3"))
        key = cell.dataset, cell.fingerprint
        same = [(folder, other) for folder, other in self._null_cells if (other.dataset, other.fingerprint) == key]
        return next((folder for folder, other in same if strength in (None, other.constants.get("v3"))), None)

    def others(self, cell: Cell) -> list[Target]:
        """Return the other classifiers of the dataset; for an ensemble all of them, as its members judge too."""
        return [target for target in self.targets[cell.dataset] if target.fingerprint != cell.fingerprint]

    def unseen(self, cell: Cell) -> list[Target]:
        """Return the classifiers of the dataset that the attack of a cell did not use."""
        members = {member.fingerprint for member in cell.members}
        return [target for target in self.others(cell) if target.fingerprint not in members]

    def judges(self, cell: Cell) -> list[Judge]:
        """Return what judges the images of a cell: what was attacked, members of an ensemble, the other classifiers."""
        attacked = [m.fingerprint for m in cell.members] or [cell.fingerprint]
        by_fingerprint = {target.fingerprint: target for target in self.targets[cell.dataset]}
        together = Judge(cell.classifier, tuple(by_fingerprint[fingerprint] for fingerprint in attacked))
        return [together, *map(Judge.of, self.others(cell))]

    def is_member(self, cell: Cell, judge: Judge) -> bool:
        """Return whether a judge is one of the members of an attacked ensemble."""
        members = {member.fingerprint for member in cell.members}
        return len(judge.targets) == 1 and judge.targets[0].fingerprint in members

    def fits(self, target: Target) -> bool:
        """Return whether a classifier has as many classes as the labels of its dataset."""
        return self.label_classes.get(target.dataset) == target.num_classes


def _labels(cell: Cell) -> tuple[str, str, str]:
    return cell.dataset, cell.label, cell.classifier


@pause_gc()
def load_results(path: StorePath | Path | str) -> Results:
    """Read the results of a run from its folder or address, for the photos in its current plan.

    Raises
    ------
    UsageError
        If the folder is not a run.
    RunError
        If a line of its files is damaged, or written by a newer version.
    """
    run = read_run(path)
    plan = reread_plan(run.plan)
    return make_results(
        run.cells(),
        run.records(),
        run.predictions(),
        run.qualities(),
        transformed=run.transformed(),
        groups=run.groups(),
        squeezers=plan.squeezers,
        transformations=plan.robustness,
        false_positive_rate=plan.false_positive_rate,
        label_classes={dataset.name: dataset.num_classes for dataset in plan.datasets},
        kinds={dataset.name: dataset.kind for dataset in plan.datasets},
        networks={
            (dataset.name, entry.title): entry.name
            for dataset in plan.datasets
            for entry in plan.networks
            if entry.datasets is None or dataset.name in entry.datasets
        },
        selected=run.selected(),
    )


def make_results(
    cells: Mapping[str, Cell],
    records: Iterable[Record],
    predictions: Iterable[Prediction],
    qualities: Iterable[Quality],
    *,
    transformed: Iterable[TransformedClasses] = (),
    groups: Iterable[ClassGroups] = (),
    squeezers: Sequence[str],
    transformations: Sequence[str] = (),
    false_positive_rate: float,
    label_classes: Mapping[str, int | None],
    kinds: Mapping[str, str] | None = None,
    networks: Mapping[tuple[str, str], str] | None = None,
    selected: Mapping[str, Collection[str]] | None = None,
) -> Results:
    """Sort records and measurements by cell and image.

    Measurements of files that were replaced later are left out. So are images that are not in ``selected``, for the
    cells that it contains.
    """
    records, qualities = list(records), list(qualities)
    kept = [record for record in records if record.image in (selected or {}).get(record.cell, {record.image})]
    attacked: dict[str, list[Record]] = defaultdict(list)
    errors: dict[str, list[Record]] = defaultdict(list)
    files: dict[tuple[str | None, str, str], str | None] = {}
    for record in sorted(add_distances(kept, qualities), key=lambda record: record.image):
        (errors if record.error else attacked)[record.cell].append(record)
        if not record.error:
            files[None, record.dataset, record.image] = record.original_png
            files[record.cell, record.dataset, record.image] = record.png
    answers: dict[tuple[str | None, str, str], dict[str, Prediction]] = defaultdict(dict)
    for line in predictions:
        if files.get((line.cell, line.dataset, line.image)) == line.png:
            answers[line.cell, line.dataset, line.fingerprint][line.image] = line
    distances: dict[str, dict[str, Quality]] = defaultdict(dict)
    for quality in qualities:
        cell = cells.get(quality.cell)
        if cell and files.get((quality.cell, cell.dataset, quality.image)) == quality.png:
            distances[quality.cell][quality.image] = quality
    after: dict[tuple[str | None, str, str], dict[str, TransformedClasses]] = defaultdict(dict)
    for found in transformed:
        if files.get((found.cell, found.dataset, found.image)) == found.png:
            after[found.cell, found.dataset, found.fingerprint][found.image] = found
    plan = (squeezers, false_positive_rate, label_classes, kinds or {}, networks or {}, transformations)
    left_out = len(records) - len(kept)
    known = groups_by_fingerprint(groups)
    return Results(cells, attacked, errors, *plan, left_out, answers, distances, after, known)
