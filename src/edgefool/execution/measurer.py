"""Measures the saved images of a run: classifiers' decisions, squeezed or not, and distances."""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from edgefool.classifiers import Classifier
from edgefool.errors import UsageError
from edgefool.execution.cell_attack import read_png
from edgefool.execution.judge import device_of
from edgefool.images import read_image
from edgefool.metrics import distances, squeezing_scores
from edgefool.runs import Prediction, Quality, Record, RunFolder


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
    """

    images: tuple[ImageRef, ...]
    predictions: dict[str, tuple[tuple[str, ...], tuple[int, ...]]]
    compared: tuple[int, ...]

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
    problems: list[str] = field(default_factory=list)


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

    def __call__(self, request: MeasureRequest) -> Measurements:
        """Return the measurements; a classifier that fails gives no predictions."""
        measured = Measurements()
        images = torch.stack(list(self._pool.map(self._read, request.images)))
        for fingerprint, (squeezers, rows) in request.predictions.items():
            refs = [request.images[row] for row in rows]
            self._predict(measured, self._classifiers[fingerprint], squeezers, refs, images[list(rows)])
        if rows := request.compared:
            self._compare(measured, [request.images[row] for row in rows], images[list(rows)])
        return measured

    def _read(self, ref: ImageRef) -> Tensor:
        png = read_png(self._run.image_path(ref.record.kind if ref.cell else "originals", ref.record))
        return read_image(png, max_megapixels=math.inf)

    def _predict(
        self,
        measured: Measurements,
        classifier: Classifier,
        squeezers: Sequence[str],
        refs: Sequence[ImageRef],
        images: Tensor,
    ) -> None:
        size = f"{images.shape[3]} x {images.shape[2]} pixels"
        try:
            logits, scores = squeezing_scores(classifier, images.to(device_of(classifier)), squeezers)
        except Exception as error:  # classifiers may be users' code
            reason = str(error).partition("\n")[0]
            measured.problems.append(f"{classifier.name} cannot take {size}: {reason}")
            return
        finite = logits.isfinite().all(1) & scores.isfinite().all(1)
        if not finite.all():
            measured.problems.append(f"{classifier.name}: the logits for some images of {size} are not finite numbers")
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

    def _compare(self, measured: Measurements, refs: Sequence[ImageRef], images: Tensor) -> None:
        unchanged = [ImageRef(ref.record, None, str(ref.record.original_png)) for ref in refs]
        originals = torch.stack(list(self._pool.map(self._read, unchanged)))
        values = distances(images, originals)
        if self._lpips is not None:
            device = next(self._lpips.parameters()).device
            try:
                with torch.no_grad():
                    values["lpips"] = self._lpips(images.to(device), originals.to(device))
            except UsageError as error:  # images too small for its network
                measured.problems.append(f"LPIPS: {error}")
        measured.qualities += [
            Quality(
                cell=ref.record.cell,
                image=ref.record.image,
                png=ref.png,
                **{name: float(value[row]) for name, value in values.items()},
            )
            for row, ref in enumerate(refs)
        ]
