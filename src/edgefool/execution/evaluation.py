"""The measurements of a run, existing and missing."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from edgefool.classifiers import Classifier
from edgefool.execution.measurer import ImageRef, Measurements, MeasureRequest
from edgefool.runs import Record, RunFolder, TransformedClasses


class Evaluation:
    """The measurements of a run, and requests for the missing ones, each made once.

    A measurement is valid if its image's hash is the one in the image's record.

    Parameters
    ----------
    run
        The open run folder.
    classifiers
        By dataset, those that classify its images.
    squeezers
        Applied to originals for every classifier, and to adversarial images for the attacked classifiers.
    transformations
        Every classifier classifies originals and adversarial images after each of them.
    lpips
        Whether to measure LPIPS.
    predict
        Whether the classifiers classify the images themselves.
    batch_size
        How many images of one size to measure together.

    Attributes
    ----------
    problems : list of str
        A line for each classifier that failed at images of some size, or whose logits were not finite numbers; it has
        no predictions for these images.
    """

    def __init__(
        self,
        run: RunFolder,
        classifiers: Mapping[str, Sequence[Classifier]],
        squeezers: Sequence[str],
        transformations: Sequence[str] = (),
        *,
        lpips: bool = False,
        predict: bool = True,
        batch_size: int = 16,
    ):
        self._run, self._squeezers, self._transformations = run, tuple(squeezers), tuple(transformations)
        self._fingerprints = {name: [c.fingerprint for c in judges] for name, judges in classifiers.items()}
        self._lpips, self._predict, self._batch_size = lpips, predict, batch_size
        self._predictions = {line.key: line for line in run.predictions()}
        self._qualities = {line.key: line for line in run.qualities()}
        self._transformed = {line.key: line for line in run.transformed()}
        self._seen: set[tuple[str | None, str, str, str]] = set()  # images by key and hash
        self.problems: list[str] = []

    def originals(self, records: Iterable[Record]) -> Iterator[MeasureRequest]:
        """Return requests for the missing measurements of the originals of records."""
        refs = {(r.dataset, r.image): ImageRef(r, None, r.original_png) for r in records if r.original_png}
        yield from self._request(refs.values(), ())

    def adversarial(self, records: Iterable[Record], attacked: Collection[str]) -> Iterator[MeasureRequest]:
        """Return requests for those of a cell's images; ``attacked`` are the fingerprints of what it attacked."""
        refs = [ImageRef(record, record.cell, record.png) for record in records if record.png]
        yield from self._request(refs, attacked)

    def save(self, measured: Measurements) -> None:
        """Save measurements; raise as `RunFolder.save` does."""
        # If LPIPS fails, the other distances of an image are measured again each time.
        qualities = [line for line in measured.qualities if line != self._qualities.get(line.key)]
        transformed = [self._with_known(line) for line in measured.transformed]
        self._run.save_measures(measured.predictions, qualities, transformed)
        self._predictions |= {line.key: line for line in measured.predictions}
        self._qualities |= {line.key: line for line in qualities}
        self._transformed |= {line.key: line for line in transformed}
        self.problems = list(dict.fromkeys(self.problems + measured.problems))

    def _request(self, refs: Iterable[ImageRef], attacked: Collection[str]) -> Iterator[MeasureRequest]:
        new = {key: ref for ref in refs if (key := (*ref.key, ref.png)) not in self._seen}
        self._seen.update(new)
        missing = [ref for ref in new.values() if self._lacks_any(ref, attacked)]
        for batch in _batches(missing, self._batch_size):
            predictions = {}
            for fingerprint in self._fingerprints[batch[0].record.dataset]:
                rows = tuple(row for row, ref in enumerate(batch) if self._lacks(ref, fingerprint, attacked))
                if rows:
                    predictions[fingerprint] = (self._squeezers_for(batch[0], fingerprint, attacked), rows)
            compared = tuple(row for row, ref in enumerate(batch) if self._lacks_quality(ref))
            yield MeasureRequest(tuple(batch), predictions, compared, self._to_transform(batch))

    def _lacks_any(self, ref: ImageRef, attacked: Collection[str]) -> bool:
        fingerprints = self._fingerprints[ref.record.dataset]
        return self._lacks_quality(ref) or any(
            self._lacks(ref, fingerprint, attacked) or self._untransformed(ref, fingerprint)
            for fingerprint in fingerprints
        )

    def _to_transform(self, batch: Sequence[ImageRef]) -> dict[tuple[str, str], tuple[int, ...]]:
        """Return which images of a batch to transform, by transformation and classifier."""
        missing: dict[tuple[str, str], list[int]] = defaultdict(list)
        for fingerprint in self._fingerprints[batch[0].record.dataset]:
            for row, ref in enumerate(batch):
                for name in self._untransformed(ref, fingerprint):
                    missing[name, fingerprint].append(row)
        return {key: tuple(rows) for key, rows in missing.items()}

    def _untransformed(self, ref: ImageRef, fingerprint: str) -> list[str]:
        """Return the transformations after which a classifier has not classified an image."""
        if not self._transformations:
            return []
        known = self._transformed.get((*ref.key, fingerprint))
        done = known.classes if known and known.png == ref.png else {}
        return [name for name in self._transformations if name not in done]

    def _with_known(self, line: TransformedClasses) -> TransformedClasses:
        """Return a line with what is known of the same file, as it replaces the earlier line."""
        known = self._transformed.get(line.key)
        if known is None or known.png != line.png:
            return line
        return line.model_copy(update={"classes": known.classes | line.classes})

    def _squeezers_for(self, ref: ImageRef, fingerprint: str, attacked: Collection[str]) -> tuple[str, ...]:
        return self._squeezers if ref.cell is None or fingerprint in attacked else ()

    def _lacks(self, ref: ImageRef, fingerprint: str, attacked: Collection[str]) -> bool:
        if not self._predict:
            return False
        known = self._predictions.get((*ref.key, fingerprint))
        squeezers = self._squeezers_for(ref, fingerprint, attacked)
        return known is None or known.png != ref.png or not set(squeezers) <= known.scores.keys()

    def _lacks_quality(self, ref: ImageRef) -> bool:
        if ref.cell is None:
            return False
        known = self._qualities.get((ref.cell, ref.record.image))
        return known is None or known.png != ref.png or (self._lpips and known.lpips is None)


def _batches(refs: Iterable[ImageRef], batch_size: int) -> Iterator[list[ImageRef]]:
    """Split into batches of images of one dataset and size."""

    def group_key(ref: ImageRef) -> tuple[str, int | None, int | None]:
        return ref.record.dataset, ref.record.width, ref.record.height

    for _, group in groupby(sorted(refs, key=group_key), key=group_key):
        alike = list(group)
        for start in range(0, len(alike), batch_size):
            yield alike[start : start + batch_size]
