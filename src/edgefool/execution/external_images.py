"""Takes in adversarial images that some other tool made, so that they are measured like our own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import PurePosixPath

from torch import Tensor, nn

from edgefool.classifiers import Classifier
from edgefool.datasets import Folder, Photo, find_photos
from edgefool.errors import ImageError, UsageError
from edgefool.execution.cell_attack import THREADS, decide
from edgefool.execution.evaluation import Evaluation
from edgefool.execution.measurer import Meter
from edgefool.images import encode_png, read_image, resize_image
from edgefool.measures import psnr, ssim
from edgefool.runs import Record, RunFolder
from edgefool.runs.cell import Cell, Size
from edgefool.runs.records import sha256, source_text
from edgefool.storage import StorePath


class ForeignImages:
    """Originals and the adversarial images of the same names, in two folders.

    Parameters
    ----------
    clean
        The folder of originals, perhaps with labels.
    adversarial
        The folder of adversarial images. Names are compared without suffixes, with subfolders.
    size
        Side in pixels that the originals are resized to, as `edgefool attack` does, or ``"native"``.

    Attributes
    ----------
    pairs : list of (Photo, Path)
        Originals and their adversarial images.
    unpaired : int
        How many originals have none; they are left out.

    Raises
    ------
    UsageError
        If a folder is missing or empty, two images of a folder have the same name, or an adversarial image has no
        original.
    """

    def __init__(self, clean: Folder, adversarial: StorePath, size: Size = "native"):
        for folder in (clean.path[0], adversarial):
            if folder.kind() != "folder":
                raise UsageError(f"{folder} is not a folder")
        self.dataset, self.size = clean.name, size
        self._method = source_text(adversarial.resolve().name)
        originals = _by_name(clean.find())
        others = _by_name(find_photos([adversarial]))
        if lost := [name for name in others if name not in originals]:
            raise UsageError(
                f"{len(lost)} of {len(others)} images in {adversarial} have no original of the same name in "
                f"{clean.path[0]}: {', '.join(lost[:3])}{', ...' if len(lost) > 3 else ''}"
            )
        self.pairs = [(photo, others[name].path) for name, photo in originals.items() if name in others]
        self.unpaired = len(originals) - len(self.pairs)

    def cell(self, classifier: Classifier) -> Cell:
        """Return the cell of the images, taken as made for this classifier."""
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
        self, run: RunFolder, classifiers: Sequence[Classifier], squeezers: Sequence[str], lpips: nn.Module | None
    ) -> Iterator[int]:
        """Take the images in for each classifier and measure them; yield how many images each step was about."""
        folders = run.enter([self.cell(classifier) for classifier in classifiers])
        with ThreadPoolExecutor(THREADS) as pool:
            evaluation = Evaluation(run, {self.dataset: classifiers}, squeezers, lpips=lpips is not None)
            meter = Meter(run, classifiers, pool, lpips)
            for classifier, folder in zip(classifiers, folders, strict=True):
                records = []
                for record in self._take_in(run, folder, classifier):
                    records.append(record)
                    yield 1
                for question in chain(
                    evaluation.adversarial(records, classifier.fingerprint), evaluation.originals(records)
                ):
                    evaluation.save(meter(question))
                    yield len(question)

    def _take_in(self, run: RunFolder, folder: str, classifier: Classifier) -> Iterator[Record]:
        """Write the images into a cell's folder of a run and yield their records."""
        for photo, path in self.pairs:
            names = {
                "cell": folder,
                "dataset": self.dataset,
                "image": photo.name,
                "source": source_text(path),
                "label": photo.label,
                "method": self._method,
                "classifier": classifier.name,
            }
            try:
                original, adversarial = self._read(photo, path)
                before, after = decide(classifier, original), decide(classifier, adversarial)
                digest = sha256(path.read())
            except (ImageError, OSError) as error:
                record = Record.model_validate({**names, "error": str(error)})
                run.save(record, {})
            else:
                pngs = [encode_png(original), encode_png(adversarial)]
                misled = before[0] != after[0]
                record = Record.model_validate(
                    {
                        **names,
                        "sha256": digest,
                        "original_png": sha256(pngs[0]),
                        "png": sha256(pngs[1]),
                        "width": original.shape[2],
                        "height": original.shape[1],
                        "original_class": before[0],
                        "original_name": classifier.classes[before[0]],
                        "original_probability": before[1],
                        "adversarial_class": after[0],
                        "adversarial_name": classifier.classes[after[0]],
                        "adversarial_probability": after[1],
                        "success": misled,
                        "success_float": misled,
                        "psnr": float(psnr(adversarial[None], original[None])),
                        "ssim": float(ssim(adversarial[None], original[None])),
                    }
                )
                paths = [run.image_path("originals", record), run.image_path(record.kind, record)]
                run.save(record, dict(zip(paths, pngs, strict=True)))
            yield record

    def _read(self, photo: Photo, path: StorePath) -> Sequence[Tensor]:
        try:
            original = resize_image(read_image(photo.path), None if self.size == "native" else self.size)
        except ImageError as error:
            raise ImageError(f"its original {source_text(photo.path)}: {error}") from error
        adversarial = read_image(path)
        if original.shape != adversarial.shape:
            sizes = [f"{image.shape[2]}x{image.shape[1]}" for image in (original, adversarial)]
            raise ImageError(f"the original has {sizes[0]} pixels, the adversarial image {sizes[1]}; give --size")
        return original, adversarial


def _by_name(photos: Sequence[Photo]) -> dict[str, Photo]:
    """Return photos by their keys without suffixes."""
    named: dict[str, Photo] = {}
    for photo in photos:
        name = PurePosixPath(photo.key).with_suffix("").as_posix()
        if name in named:
            raise UsageError(f"{named[name].path} and {photo.path} have the same name")
        named[name] = photo
    return named
