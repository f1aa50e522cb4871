"""What classifiers say about photos: decoded in the background, classified in batches."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgefool.classifiers import Classifier
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.datasets import Photo
from edgefool.errors import ImageError, UsageError
from edgefool.execution.judge import device_of
from edgefool.images import read_image


class _Decoded(NamedTuple):
    """A photo resized for each `Preprocessing`, or why it cannot be read. Not tensors, which need shared memory."""

    images: list[NDArray[np.float32]]
    error: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Classification:
    """What a classifier says about a photo.

    Attributes
    ----------
    photo : Photo
        The photo.
    classifier : str
        Name of the classifier.
    classes : tuple of int
        The most likely classes, most likely first. Empty if there is an error.
    names : tuple of str
        Their names.
    probabilities : tuple of float
        Their probabilities (Eq. 2).
    error : str or None
        Why the photo has no classes.
    warnings : tuple of str
        What was unusual about the photo's file.
    """

    photo: Photo
    classifier: str
    classes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()

    def hits(self, top: int) -> bool:
        """Return whether the photo's true class is among the ``top`` most likely ones."""
        return self.photo.label in self.classes[:top]


def classify(
    photos: Sequence[Photo],
    classifiers: Sequence[Classifier],
    *,
    top: int = 5,
    batch_size: int = 32,
    num_workers: int | None = None,
    max_megapixels: float | None = None,
) -> Iterator[Classification]:
    """Classify photos at full size, each as the classifier preprocesses it.

    Parameters
    ----------
    photos
        See `edgefool.datasets.find_photos`.
    classifiers
        Several may share a device.
    top : int
        Number of classes to return for each photo.
    batch_size : int
        Number of photos in memory at a time, and of images in a forward pass.
    num_workers : int, optional
        Processes that decode photos; 0: this one. By default one for each CPU core, at most 4; none for fewer than 16
        photos.
    max_megapixels : float, optional
        See `edgefool.images.read_image`.

    Yields
    ------
    Classification
        For each photo, in order, one for each classifier, in order.

    Raises
    ------
    UsageError
        If ``top`` or ``batch_size`` is below 1.
    """
    if top < 1 or batch_size < 1:
        raise UsageError(f"top and batch_size must be at least 1, not {top} and {batch_size}")
    if num_workers is None:
        # One for each core, as all of them are idle until the first batch is decoded.
        num_workers = 0 if len(photos) < 16 else min(4, os.cpu_count() or 1)
    kinds = list(dict.fromkeys(classifier.preprocessing for classifier in classifiers))
    # A batch is a list, as its photos may differ in size.
    loader = DataLoader(_Decoder(photos, kinds, max_megapixels), batch_size, num_workers=num_workers, collate_fn=list)
    for number, batch in enumerate(loader):
        group = photos[number * batch_size :][: len(batch)]
        rows = [_classify_batch(c, kinds.index(c.preprocessing), group, batch, top) for c in classifiers]
        for answers in zip(*rows, strict=True):
            yield from answers


class _Decoder(Dataset[_Decoded]):
    """Reads and resizes photos, perhaps in another process."""

    def __init__(self, photos: Sequence[Photo], kinds: Sequence[Preprocessing], max_megapixels: float | None):
        self._photos, self._kinds, self._max_megapixels = photos, kinds, max_megapixels

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, row: int) -> _Decoded:
        found: list[str] = []
        path = self._photos[row].path
        try:
            image = read_image(path, max_megapixels=self._max_megapixels, on_warning=found.append)[None]
        except ImageError as error:
            return _Decoded([], str(error), tuple(found))
        return _Decoded([kind.resize(image)[0].numpy() for kind in self._kinds], None, tuple(found))


def _classify_batch(
    classifier: Classifier, kind: int, photos: Sequence[Photo], batch: Sequence[_Decoded], top: int
) -> list[Classification]:
    """Return the answers for a batch, in its order; images of different sizes are classified apart."""
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    answers: dict[int, Classification] = {}
    for row, decoded in enumerate(batch):
        if decoded.error:
            answers[row] = Classification(photos[row], classifier.name, error=decoded.error)
        else:
            by_shape[decoded.images[kind].shape].append(row)
    for rows in by_shape.values():
        images = torch.from_numpy(np.stack([batch[row].images[kind] for row in rows]))
        found = _classify_images(classifier, images, [photos[row] for row in rows], top)
        answers |= zip(rows, found, strict=True)
    return [replace(answers[row], warnings=decoded.warnings) for row, decoded in enumerate(batch)]


@torch.no_grad()
def _classify_images(classifier: Classifier, images: Tensor, photos: Sequence[Photo], top: int) -> list[Classification]:
    try:
        logits = classifier.classify_resized(images.to(device_of(classifier)))
    except Exception as error:  # classifiers may be users' code
        reason = str(error).partition("\n")[0]
        return [Classification(p, classifier.name, error=f"{classifier.name} cannot take it: {reason}") for p in photos]
    # By logits, as the argmax, since probabilities may tie.
    best = logits.argsort(dim=1, descending=True, stable=True)[:, :top]
    likely = best.tolist(), logits.softmax(1).gather(1, best).tolist(), logits.isfinite().all(1).tolist()
    answers = []
    for photo, classes, probabilities, is_finite in zip(photos, *likely, strict=True):
        if is_finite:
            names = tuple(classifier.classes[index] for index in classes)
            answers.append(Classification(photo, classifier.name, tuple(classes), names, tuple(probabilities)))
        else:
            reason = f"the logits of {classifier.name} are not finite numbers"
            answers.append(Classification(photo, classifier.name, error=reason))
    return answers
