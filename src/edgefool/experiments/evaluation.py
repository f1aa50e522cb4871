"""Measures the images of a run as its files hold them: what every classifier says of them, squeezed or not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from edgefool.classifiers import Classifier
from edgefool.errors import UsageError
from edgefool.experiments.local import device_of
from edgefool.experiments.run_folder import Prediction, Quality, Record, RunFolder
from edgefool.images import read_image
from edgefool.measures import changed_pixels, ciede2000, linf, squeezing_scores


@dataclass(frozen=True)
class _Subject:
    """One PNG of the run; ``cell`` is None for an original."""

    record: Record
    cell: str | None
    png: str

    @property
    def key(self) -> tuple[str | None, str, str]:
        return self.cell, self.record.dataset, self.record.image


class Evaluation:
    """What is known of the images of a run, and what computes the rest.

    An answer counts as long as its image's hash is the one in the image's record.

    Parameters
    ----------
    run
        The open run folder.
    classifiers
        By dataset, those that judge its images.
    squeezers
        By which images are squeezed: the originals for every classifier, adversarial ones for that which was attacked.
    pool
        Threads that read images.
    lpips
        From images and originals (N, 3, H, W) to distances (N,), if it is wanted.
    batch_size
        Images that are measured together; those of different sizes are not.

    Attributes
    ----------
    problems : list of str
        A line for each classifier that failed at images of some size, or whose answers were not finite numbers; these
        images have none of its answers.
    """

    def __init__(
        self,
        run: RunFolder,
        classifiers: Mapping[str, Sequence[Classifier]],
        squeezers: Sequence[str],
        pool: ThreadPoolExecutor,
        lpips: nn.Module | None = None,
        batch_size: int = 16,
    ):
        self._run, self._classifiers, self._squeezers = run, classifiers, squeezers
        self._pool, self._lpips, self._batch_size = pool, lpips, batch_size
        self._predictions = {line.key: line for line in run.prediction_lines.read()}
        self._qualities = {line.key: line for line in run.quality_lines.read()}
        self.problems: list[str] = []

    def originals(self, records: Iterable[Record]) -> Iterator[int]:
        """Measure the originals of records; yield how many images each batch had."""
        subjects = {(r.dataset, r.image): _Subject(r, None, r.original_png) for r in records if r.original_png}
        wanting = [
            s for s in subjects.values() if any(self._lacks(s, c, "") for c in self._classifiers[s.record.dataset])
        ]
        yield from self._measure(wanting, "")

    def adversarial(self, records: Iterable[Record], fingerprint: str) -> Iterator[int]:
        """Measure the adversarial images of a cell, which attacked the classifier of this fingerprint."""
        subjects = [_Subject(record, record.cell, record.png) for record in records if record.png]
        wanting = [
            s
            for s in subjects
            if self._lacks_quality(s)
            or any(self._lacks(s, c, fingerprint) for c in self._classifiers[s.record.dataset])
        ]
        yield from self._measure(wanting, fingerprint)

    def _wanted(self, subject: _Subject, classifier: Classifier, source: str) -> tuple[str, ...]:
        attacked = subject.cell is None or classifier.fingerprint == source
        return tuple(self._squeezers) if attacked else ()

    def _lacks(self, subject: _Subject, classifier: Classifier, source: str) -> bool:
        known = self._predictions.get((*subject.key, classifier.fingerprint))
        wanted = self._wanted(subject, classifier, source)
        return known is None or known.png != subject.png or not set(wanted) <= known.scores.keys()

    def _lacks_quality(self, subject: _Subject) -> bool:
        known = self._qualities.get((subject.record.cell, subject.record.image))
        return known is None or known.png != subject.png or (self._lpips is not None and known.lpips is None)

    def _measure(self, subjects: Sequence[_Subject], source: str) -> Iterator[int]:
        for batch in _batches(subjects, self._batch_size):
            images = torch.stack(list(self._pool.map(self._read, batch)))
            predictions: list[Prediction] = []
            for classifier in self._classifiers[batch[0].record.dataset]:
                lacking = [k for k, subject in enumerate(batch) if self._lacks(subject, classifier, source)]
                if lacking:
                    predictions += self._predict([batch[k] for k in lacking], images[lacking], classifier, source)
            found = self._compare(batch, images) if batch[0].cell else []
            qualities = [line for line in found if line != self._qualities.get(line.key)]  # LPIPS may fail each time
            self._run.save_measures(predictions, qualities)
            self._predictions |= {line.key: line for line in predictions}
            self._qualities |= {line.key: line for line in qualities}
            yield len(batch)

    def _read(self, subject: _Subject) -> Tensor:
        kind = subject.record.kind if subject.cell else "originals"
        return read_image(self._run.image_path(kind, subject.record))

    def _predict(
        self, subjects: Sequence[_Subject], images: Tensor, classifier: Classifier, source: str
    ) -> list[Prediction]:
        squeezers = self._wanted(subjects[0], classifier, source)
        size = f"{images.shape[3]} x {images.shape[2]} pixels"
        try:
            probabilities, scores = squeezing_scores(classifier, images.to(device_of(classifier)), squeezers)
        except Exception as error:  # the classifier may be anybody's code
            reason = str(error).partition("\n")[0]
            self._note(f"{classifier.name} cannot take {size}: {reason}")
            return []
        finite = probabilities.isfinite().all(1) & scores.isfinite().all(1)
        if not finite.all():
            self._note(f"{classifier.name}: the logits for some images of {size} are not finite numbers")
        best, classes = probabilities.max(1)
        return [
            Prediction(
                cell=subject.cell,
                dataset=subject.record.dataset,
                image=subject.record.image,
                png=subject.png,
                classifier=classifier.name,
                fingerprint=classifier.fingerprint,
                predicted=predicted,
                probability=probability,
                scores=dict(zip(squeezers, row, strict=True)),
            )
            for subject, known, predicted, probability, row in zip(
                subjects, finite.tolist(), classes.tolist(), best.tolist(), scores.tolist(), strict=True
            )
            if known
        ]

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _compare(self, batch: Sequence[_Subject], images: Tensor) -> list[Quality]:
        chosen = [k for k, subject in enumerate(batch) if self._lacks_quality(subject)]
        if not chosen:
            return []
        images = images[chosen]
        paths = [self._run.image_path("originals", batch[k].record) for k in chosen]
        originals = torch.stack(list(self._pool.map(read_image, paths)))
        distances = self._distances(images, originals)
        return [
            Quality(
                cell=batch[k].record.cell,
                image=batch[k].record.image,
                png=batch[k].png,
                **{name: float(values[row]) for name, values in distances.items()},
            )
            for row, k in enumerate(chosen)
        ]

    def _distances(self, images: Tensor, originals: Tensor) -> dict[str, Tensor]:
        distances = {measure.__name__: measure(images, originals) for measure in (ciede2000, linf, changed_pixels)}
        if self._lpips is not None:
            device = next(self._lpips.parameters()).device
            try:
                with torch.no_grad():
                    distances["lpips"] = self._lpips(images.to(device), originals.to(device))
            except UsageError as error:  # images too small for its network
                self._note(f"LPIPS: {error}")
        return distances


def _batches(subjects: Iterable[_Subject], most: int) -> Iterator[list[_Subject]]:
    """Cut subjects into batches of images of one dataset and size."""

    def kin(subject: _Subject) -> tuple[str, int | None, int | None]:
        return subject.record.dataset, subject.record.width, subject.record.height

    for _, group in groupby(sorted(subjects, key=kin), key=kin):
        alike = list(group)
        for start in range(0, len(alike), most):
            yield alike[start : start + most]
