"""What is known of the images of a run, and what is still to be found out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from edgefool.classifiers import Classifier
from edgefool.execution.measurer import Answer, Question, Subject
from edgefool.runs import Record, RunFolder


class Evaluation:
    """The questions that a run leaves open, each asked once, and what was answered.

    An answer counts as long as its image's hash is the one in the image's record.

    Parameters
    ----------
    run
        The open run folder.
    classifiers
        By dataset, those that judge its images.
    squeezers
        By which images are squeezed: the originals for every classifier, adversarial ones for that which was attacked.
    lpips
        Whether LPIPS is wanted.
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
        *,
        lpips: bool = False,
        batch_size: int = 16,
    ):
        self._run, self._squeezers = run, tuple(squeezers)
        self._fingerprints = {name: [c.fingerprint for c in judges] for name, judges in classifiers.items()}
        self._lpips, self._batch_size = lpips, batch_size
        self._predictions = {line.key: line for line in run.predictions()}
        self._qualities = {line.key: line for line in run.qualities()}
        self._asked: set[tuple[str | None, str, str, str]] = set()  # images by key and hash
        self.problems: list[str] = []

    def originals(self, records: Iterable[Record]) -> Iterator[Question]:
        """Return what is to be found out of the originals of records."""
        subjects = {(r.dataset, r.image): Subject(r, None, r.original_png) for r in records if r.original_png}
        yield from self._ask(subjects.values(), "")

    def adversarial(self, records: Iterable[Record], fingerprint: str) -> Iterator[Question]:
        """Return what is to be found out of a cell's images, which attacked the classifier of this fingerprint."""
        yield from self._ask(
            [Subject(record, record.cell, record.png) for record in records if record.png], fingerprint
        )

    def save(self, answer: Answer) -> None:
        """Write down what was found out; raise as `RunFolder.save` does."""
        # Where LPIPS fails, the rest of an image's quality is found out again each time.
        qualities = [line for line in answer.qualities if line != self._qualities.get(line.key)]
        self._run.save_measures(answer.predictions, qualities)
        self._predictions |= {line.key: line for line in answer.predictions}
        self._qualities |= {line.key: line for line in qualities}
        self.problems += [problem for problem in answer.problems if problem not in self.problems]

    def _ask(self, subjects: Iterable[Subject], source: str) -> Iterator[Question]:
        open_ones = [s for s in subjects if (*s.key, s.png) not in self._asked and self._is_open(s, source)]
        self._asked |= {(*subject.key, subject.png) for subject in open_ones}
        for batch in _batches(open_ones, self._batch_size):
            asked = {}
            for fingerprint in self._fingerprints[batch[0].record.dataset]:
                chosen = tuple(k for k, subject in enumerate(batch) if self._lacks(subject, fingerprint, source))
                if chosen:
                    asked[fingerprint] = (self._wanted(batch[0], fingerprint, source), chosen)
            compared = tuple(k for k, subject in enumerate(batch) if self._lacks_quality(subject))
            yield Question(tuple(batch), asked, compared)

    def _is_open(self, subject: Subject, source: str) -> bool:
        judges = self._fingerprints[subject.record.dataset]
        return self._lacks_quality(subject) or any(self._lacks(subject, judge, source) for judge in judges)

    def _wanted(self, subject: Subject, fingerprint: str, source: str) -> tuple[str, ...]:
        return self._squeezers if subject.cell is None or fingerprint == source else ()

    def _lacks(self, subject: Subject, fingerprint: str, source: str) -> bool:
        known = self._predictions.get((*subject.key, fingerprint))
        wanted = self._wanted(subject, fingerprint, source)
        return known is None or known.png != subject.png or not set(wanted) <= known.scores.keys()

    def _lacks_quality(self, subject: Subject) -> bool:
        if subject.cell is None:
            return False
        known = self._qualities.get((subject.cell, subject.record.image))
        return known is None or known.png != subject.png or (self._lpips and known.lpips is None)


def _batches(subjects: Iterable[Subject], most: int) -> Iterator[list[Subject]]:
    """Cut subjects into batches of images of one dataset and size."""

    def kin(subject: Subject) -> tuple[str, int | None, int | None]:
        return subject.record.dataset, subject.record.width, subject.record.height

    for _, group in groupby(sorted(subjects, key=kin), key=kin):
        alike = list(group)
        for start in range(0, len(alike), most):
            yield alike[start : start + most]
