"""Adds adversarial images of other tools to a run, to measure them like our own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from torch import Tensor, nn

from edgefool.classifiers import Classifier
from edgefool.datasets import Folder, Photo, find_photos, pair_photos
from edgefool.datasets.pairs import stem_of
from edgefool.errors import ImageError, UsageError
from edgefool.execution.cell_attack import THREADS
from edgefool.execution.evaluation import Evaluation
from edgefool.execution.judge import judge
from edgefool.execution.measurer import Measurements, Measurer
from edgefool.execution.photo_records import photo_fields
from edgefool.images import encode_png, read_image, resize_image
from edgefool.runs import Cell, Record, RunFolder, Size
from edgefool.runs.records import sha256, source_text
from edgefool.storage import StorePath


class ExternalImages:
    """Originals and the adversarial images of the same names, in two folders.

    Parameters
    ----------
    clean
        The folder of originals, perhaps with labels.
    adversarial
        The folder of adversarial images, paired by `edgefool.datasets.pair_photos`.
    size
        Side in pixels to which the originals are resized, as for an attack, or ``"native"``.
    max_megapixels
        As for `edgefool.read_image`.

    Attributes
    ----------
    pairs : list of (Photo, StorePath)
        Originals and their adversarial images.
    unpaired : int
        How many originals have no adversarial image; they are left out.
    warnings : list of str
        A line for each image of which a part could not be used; `measure` adds them.

    Raises
    ------
    UsageError
        If a folder is missing or empty, two images in a folder have the same name, or an adversarial image has no
        original.
    """

    def __init__(
        self, clean: Folder, adversarial: StorePath, size: Size = "native", *, max_megapixels: float | None = None
    ):
        for folder in (clean.path[0], adversarial):
            if folder.kind() != "folder":
                raise UsageError(f"{folder} is not a folder")
        self.dataset, self.size, self._max_megapixels = clean.name, size, max_megapixels
        self.warnings: list[str] = []
        self._method = source_text(adversarial.resolve().name)
        originals, others = clean.find(), find_photos([adversarial])
        found = pair_photos(originals, others)
        for photos, alone in ((originals, found.missing), (others, found.extra)):
            _refuse_namesakes(photos, alone)
        if found.extra:
            strays = [stem_of(photo) for photo in found.extra]
            raise UsageError(
                f"{len(strays)} of {len(others)} images in {adversarial} have no original of the same name in "
                f"{clean.path[0]}: {', '.join(strays[:3])}{', ...' if len(strays) > 3 else ''}"
            )
        self.pairs = [(photo, result.path) for photo, result in found.pairs]
        self.unpaired = len(found.missing)

    def cell(self, classifier: Classifier) -> Cell:
        """Return the cell of the images with this classifier as the attacked one."""
        return Cell(
            dataset=self.dataset,
            method=self._method,
            constants={},
            fingerprint=classifier.fingerprint,
            size=self.size,
            seed=0,
            label=self._method,
            classifier=classifier.name,
            num_classes=classifier.num_classes,
        )

    def measure(
        self,
        run: RunFolder,
        classifiers: Sequence[Classifier],
        squeezers: Sequence[str],
        lpips: nn.Module | None,
        transformations: Sequence[str] = (),
    ) -> Iterator[int]:
        """Record the images for each classifier and measure them; yield the number of images of each step."""
        cells = [self.cell(classifier) for classifier in classifiers]
        folders = run.enter(cells)
        run.keep_groups(classifiers)
        with ThreadPoolExecutor(THREADS) as pool:
            evaluation = Evaluation(
                run, {self.dataset: classifiers}, squeezers, transformations, lpips=lpips is not None
            )
            measurer = Measurer(run, classifiers, pool, lpips)
            for classifier, cell, folder in zip(classifiers, cells, folders, strict=True):
                records = []
                for photo, path in self.pairs:
                    fields = photo_fields(folder, cell, photo) | {"source": source_text(path)}
                    records.append(self._record(run, evaluation, classifier, fields, photo, path))
                    yield 1
                requests = evaluation.adversarial(records, [classifier.fingerprint]), evaluation.originals(records)
                for request in chain(*requests):
                    evaluation.save(measurer(request))
                    yield len(request)

    def _record(
        self,
        run: RunFolder,
        evaluation: Evaluation,
        classifier: Classifier,
        fields: dict[str, Any],
        photo: Photo,
        path: StorePath,
    ) -> Record:
        """Judge an image, and save it, its original and a record with these fields in a run."""
        try:
            original, adversarial = self._read(photo, path)
            judgement, digest = judge(original, adversarial, classifier), sha256(path.read())
        except (ImageError, OSError) as error:
            record = Record(**fields, error=str(error))
            run.save(record, {})
            return record
        pngs = [encode_png(original), encode_png(adversarial)]
        record = Record(
            **fields,
            **judgement.record_fields(),
            sha256=digest,
            original_png=sha256(pngs[0]),
            png=sha256(pngs[1]),
            success_float=judgement.success,
        )
        paths = [run.image_path("originals", record), run.image_path(record.kind, record)]
        evaluation.save(Measurements(qualities=[judgement.quality(record)]))
        run.save(record, dict(zip(paths, pngs, strict=True)))
        return record

    def _read(self, photo: Photo, path: StorePath) -> Sequence[Tensor]:
        try:
            original = resize_image(self._read_image(photo.path), None if self.size == "native" else self.size)
        except ImageError as error:
            raise ImageError(f"its original {source_text(photo.path)}: {error}") from error
        adversarial = self._read_image(path)
        if original.shape != adversarial.shape:
            sizes = [f"{image.shape[2]}x{image.shape[1]}" for image in (original, adversarial)]
            raise ImageError(f"the original has {sizes[0]} pixels, the adversarial image {sizes[1]}; set size")
        return original, adversarial

    def _read_image(self, path: StorePath) -> Tensor:
        def warn(line: str) -> None:
            if (text := f"{source_text(path)}: {line}") not in self.warnings:  # read again for each classifier
                self.warnings.append(text)

        return read_image(path, max_megapixels=self._max_megapixels, on_warning=warn)


def _refuse_namesakes(photos: Sequence[Photo], alone: Sequence[Photo]) -> None:
    """Refuse a photo without a partner whose name is that of another one, but for the suffix."""
    stems = {stem_of(photo) for photo in alone}
    known: dict[str, Photo] = {}
    for photo in photos:
        if (stem := stem_of(photo)) in stems and (other := known.setdefault(stem, photo)) is not photo:
            raise UsageError(f"{other.path} and {photo.path} have the same name")
