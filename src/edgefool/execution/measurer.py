"""Measures images of a run as its files hold them: what classifiers say of them, squeezed or not."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from edgefool.classifiers import Classifier
from edgefool.errors import UsageError
from edgefool.execution.cell_attack import device_of
from edgefool.images import read_image
from edgefool.measures import changed_pixels, ciede2000, linf, squeezing_scores
from edgefool.runs import Prediction, Quality, Record, RunFolder


@dataclass(frozen=True)
class Subject:
    """One PNG of the run; ``cell`` is None for an original."""

    record: Record
    cell: str | None
    png: str

    @property
    def key(self) -> tuple[str | None, str, str]:
        """Which image it is."""
        return self.cell, self.record.dataset, self.record.image


@dataclass(frozen=True)
class Question:
    """What is to be found out of images of one dataset and size, of one cell or all originals.

    Attributes
    ----------
    subjects : tuple of Subject
        The images.
    asked : dict
        By a classifier's fingerprint, the squeezers, and those of ``subjects`` that it is shown, by their numbers.
    compared : tuple of int
        Those whose distance to the original is wanted.
    """

    subjects: tuple[Subject, ...]
    asked: dict[str, tuple[tuple[str, ...], tuple[int, ...]]]
    compared: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.subjects)


@dataclass
class Answer:
    """What was found out; ``problems`` says why something is missing."""

    predictions: list[Prediction] = field(default_factory=list)
    qualities: list[Quality] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Meter:
    """Answers questions.

    Parameters
    ----------
    run
        The run folder.
    classifiers
        Those that are asked.
    pool
        Threads that read images.
    lpips
        From images and originals (N, 3, H, W) to distances (N,), if it is wanted.
    """

    def __init__(
        self,
        run: RunFolder,
        classifiers: Iterable[Classifier],
        pool: ThreadPoolExecutor,
        lpips: nn.Module | None = None,
    ):
        self._run, self._pool, self._lpips = run, pool, lpips
        self._classifiers = {classifier.fingerprint: classifier for classifier in classifiers}

    def __call__(self, question: Question) -> Answer:
        """Return what can be found out; a classifier that fails answers nothing."""
        answer, subjects = Answer(), question.subjects
        images = torch.stack(list(self._pool.map(self._read, subjects)))
        for fingerprint, (squeezers, chosen) in question.asked.items():
            shown = [subjects[k] for k in chosen]
            self._predict(answer, self._classifiers[fingerprint], squeezers, shown, images[list(chosen)])
        if question.compared:
            self._compare(answer, [subjects[k] for k in question.compared], images[list(question.compared)])
        return answer

    def _read(self, subject: Subject) -> Tensor:
        kind = subject.record.kind if subject.cell else "originals"
        return read_image(self._run.image_path(kind, subject.record))

    def _predict(
        self,
        answer: Answer,
        classifier: Classifier,
        squeezers: Sequence[str],
        subjects: Sequence[Subject],
        images: Tensor,
    ) -> None:
        size = f"{images.shape[3]} x {images.shape[2]} pixels"
        try:
            probabilities, scores = squeezing_scores(classifier, images.to(device_of(classifier)), squeezers)
        except Exception as error:  # the classifier may be anybody's code
            reason = str(error).partition("\n")[0]
            answer.problems.append(f"{classifier.name} cannot take {size}: {reason}")
            return
        finite = probabilities.isfinite().all(1) & scores.isfinite().all(1)
        if not finite.all():
            answer.problems.append(f"{classifier.name}: the logits for some images of {size} are not finite numbers")
        best, classes = probabilities.max(1)
        answer.predictions += [
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

    def _compare(self, answer: Answer, subjects: Sequence[Subject], images: Tensor) -> None:
        paths = map(partial(self._run.image_path, "originals"), (subject.record for subject in subjects))
        originals = torch.stack(list(self._pool.map(read_image, paths)))
        distances = {measure.__name__: measure(images, originals) for measure in (ciede2000, linf, changed_pixels)}
        if self._lpips is not None:
            device = next(self._lpips.parameters()).device
            try:
                with torch.no_grad():
                    distances["lpips"] = self._lpips(images.to(device), originals.to(device))
            except UsageError as error:  # images too small for its network
                answer.problems.append(f"LPIPS: {error}")
        answer.qualities += [
            Quality(
                cell=subject.record.cell,
                image=subject.record.image,
                png=subject.png,
                **{name: float(values[row]) for name, values in distances.items()},
            )
            for row, subject in enumerate(subjects)
        ]
