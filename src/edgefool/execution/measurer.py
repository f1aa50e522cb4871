"""Measures the saved images of a run: decisions of classifiers, squeezed and transformed or not, and distances."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgefool.classifiers import Classifier, SafeClassifier
from edgefool.errors import UsageError
from edgefool.execution.cell_attack import read_png
from edgefool.execution.judge import device_of
from edgefool.images import read_image, resize_image
from edgefool.metrics import distances, squeezing_scores, transform
from edgefool.runs import Prediction, Quality, Record, RunFolder, TransformedClasses


@dataclass(frozen=True)
class ImageRef:
    """One PNG of the run, and its SHA-256; ``cell`` is None for an original."""

    record: Record
    cell: str | None
    png: str

    @property
    def key(self) -> tuple[str | None, str, str]:
        """The cell, the dataset and the image."""
        return self.cell, self.record.dataset, self.record.image


@dataclass(frozen=True)
class MeasureRequest:
    """What to measure for images of one dataset and size: adversarial images of one cell, or originals.

    Attributes
    ----------
    images : tuple of ImageRef
        The images.
    predictions : dict
        By a classifier's fingerprint, the squeezers, and the positions in ``images`` of the images to classify.
    compared : tuple of int
        The positions of the images whose distance to the original to measure.
    transformed : dict
        By a transformation and a classifier's fingerprint, the positions of the images to transform and classify.
    """

    images: tuple[ImageRef, ...]
    predictions: dict[str, tuple[tuple[str, ...], tuple[int, ...]]]
    compared: tuple[int, ...]
    transformed: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def cell(self) -> str | None:
        """The cell of the images, None for originals."""
        return self.images[0].cell


@dataclass
class Measurements:
    """Measured lines; ``problems`` says why some are missing."""

    predictions: list[Prediction] = field(default_factory=list)
    qualities: list[Quality] = field(default_factory=list)
    transformed: list[TransformedClasses] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Scored(NamedTuple):
    """Logits (N, D), scores (N, S) as `squeezing_scores` returns them, and which of the N images have finite ones."""

    logits: Tensor
    scores: Tensor
    finite: list[bool]


class _Compared(NamedTuple):
    """An image and its original, (3, H, W), and all distances between them but LPIPS, (1,)."""

    image: Tensor
    original: Tensor
    distances: dict[str, Tensor]


class Measurer:
    """Carries out requests.

    Parameters
    ----------
    run
        The run folder.
    classifiers
        Those of the requests.
    pool
        Threads that read images.
    lpips
        From images and originals (N, 3, H, W) to distances (N,); None: LPIPS is not measured.
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
        self._safe = {fingerprint: SafeClassifier(known) for fingerprint, known in self._classifiers.items()}

    def __call__(self, request: MeasureRequest) -> Measurements:
        """Return the measurements; a classifier that fails gives no predictions."""
        measured = Measurements()
        images = torch.stack(list(self._pool.map(self._read, request.images)))
        # Threads compare images while classifiers, perhaps on a GPU, judge them.
        compared = [request.images[row] for row in request.compared]
        pairs = self._pool.map(self._compare, compared, images[list(request.compared)])
        for fingerprint, (squeezers, rows) in request.predictions.items():
            refs = [request.images[row] for row in rows]
            self._predict(measured, self._classifiers[fingerprint], squeezers, refs, images[list(rows)])
        self._transform(measured, request, images)
        self._add_distances(measured, compared, list(pairs))
        return measured

    def _read(self, ref: ImageRef) -> Tensor:
        png = read_png(self._run.image_path(ref.record.kind if ref.cell else "originals", ref.record))
        return read_image(png, max_megapixels=math.inf)

    def _transform(self, measured: Measurements, request: MeasureRequest, images: Tensor) -> None:
        """Classify transformed images: each is made once for all classifiers, for one transformation at a time."""
        found: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        for name in dict.fromkeys(name for name, _ in request.transformed):
            wanted = {fingerprint: rows for (other, fingerprint), rows in request.transformed.items() if other == name}
            distinct = sorted({row for rows in wanted.values() for row in rows})
            made = dict(zip(distinct, self._pool.map(partial(transform, name=name), images[distinct]), strict=True))
            for fingerprint, rows in wanted.items():
                classifier = self._classifiers[fingerprint]
                fitting = [_fit(made[row], classifier, images.shape[2:]) for row in rows]
                if scored := self._score(measured, classifier, (), torch.stack(fitting)):
                    for row, index, finite in zip(rows, scored.logits.argmax(1).tolist(), scored.finite, strict=True):
                        if finite:
                            found[fingerprint, row][name] = index
        for (fingerprint, row), classes in found.items():
            ref = request.images[row]
            cell, dataset, image = ref.key
            measured.transformed.append(
                TransformedClasses(
                    cell=cell, dataset=dataset, image=image, png=ref.png, fingerprint=fingerprint, classes=classes
                )
            )

    def _score(
        self, measured: Measurements, classifier: Classifier, squeezers: Sequence[str], images: Tensor
    ) -> _Scored | None:
        """Return what a classifier gives images; None if it fails. Problems are added to the measurements."""
        size = f"{images.shape[3]} x {images.shape[2]} pixels"
        try:
            safe = self._safe[classifier.fingerprint]
            logits, scores = squeezing_scores(safe, images.to(device_of(classifier)), squeezers)
        except Exception as error:  # classifiers may be users' code
            reason = str(error).partition("\n")[0]
            measured.problems.append(f"{classifier.name} cannot take {size}: {reason}")
            return None
        logits, scores = logits.cpu(), scores.cpu()
        finite = logits.isfinite().all(1) & scores.isfinite().all(1)
        if not finite.all():
            measured.problems.append(f"{classifier.name}: the logits for some images of {size} are not finite numbers")
        return _Scored(logits, scores, finite.tolist())

    def _predict(
        self,
        measured: Measurements,
        classifier: Classifier,
        squeezers: Sequence[str],
        refs: Sequence[ImageRef],
        images: Tensor,
    ) -> None:
        scored = self._score(measured, classifier, squeezers, images)
        if scored is None:
            return
        logits, scores, finite = scored
        classes = logits.argmax(1)
        probabilities = logits.softmax(1).gather(1, classes[:, None])[:, 0]
        measured.predictions += [
            Prediction(
                cell=ref.cell,
                dataset=ref.record.dataset,
                image=ref.record.image,
                png=ref.png,
                classifier=classifier.name,
                fingerprint=classifier.fingerprint,
                predicted=int(classes[row]),
                probability=float(probabilities[row]),
                scores=dict(zip(squeezers, scores[row].tolist(), strict=True)),
                num_classes=classifier.num_classes,
            )
            for row, ref in enumerate(refs)
            if finite[row]
        ]

    def _compare(self, ref: ImageRef, image: Tensor) -> _Compared:
        original = self._read(ImageRef(ref.record, None, str(ref.record.original_png)))
        return _Compared(image, original, distances(image[None], original[None]))

    def _add_distances(self, measured: Measurements, refs: Sequence[ImageRef], pairs: Sequence[_Compared]) -> None:
        values = [{name: float(value) for name, value in pair.distances.items()} for pair in pairs]
        if self._lpips is not None and pairs:
            device = next(self._lpips.parameters()).device
            images, originals = (torch.stack(batch).to(device) for batch in list(zip(*pairs, strict=True))[:2])
            try:
                with torch.no_grad():
                    for row, value in zip(values, self._lpips(images, originals).tolist(), strict=True):
                        row["lpips"] = value
            except UsageError as error:  # images too small for its network
                measured.problems.append(f"LPIPS: {error}")
        measured.qualities += [
            Quality(cell=ref.record.cell, image=ref.record.image, png=ref.png, **row)
            for ref, row in zip(refs, values, strict=True)
        ]


def _fit(image: Tensor, classifier: Classifier, size: Sequence[int]) -> Tensor:
    """Return a transformed image as a classifier takes it: one that does not resize images gets them at their size."""
    height, width = size
    resizes = classifier.preprocessing.input_size is not None
    return image if resizes or image.shape[1:] == (height, width) else resize_image(image, (height, width))
