"""Attacks the photos of a cell: reads, attacks, judges and saves them."""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgefool.attacks import ActiveBatch, Attack, AttackResult, Criterion, Sample
from edgefool.classifiers import Victim
from edgefool.datasets import Photo
from edgefool.errors import AttackError, EdgeFoolError, ImageError, RunError, describe_failure
from edgefool.execution.judge import Decision, decide_all, device_of, judge
from edgefool.execution.photo_records import error_record, image_seed, photo_fields
from edgefool.images import encode_png, read_image, resize_image
from edgefool.memory import free_memory
from edgefool.runs import Cell, Quality, Record, RunFolder
from edgefool.runs.records import ImageKind, sha256
from edgefool.storage import StorePath

THREADS = min(os.cpu_count() or 1, 8)
"""How many threads read, judge and write images."""
_MAX_UNSAVED = 4 * THREADS  # finished images waiting in memory to be saved


class Outcome(NamedTuple):
    """The result for a photo.

    Attributes
    ----------
    record : Record
        Its record.
    quality : Quality or None
        The distances of its adversarial image; None: an error.
    warnings : tuple of str
        What could not be used in its file; see `edgefool.read_image`.
    """

    record: Record
    quality: Quality | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PendingImage:
    """A photo that was read and is waiting to be attacked or under attack."""

    photo: Photo
    sha256: str
    png: bytes  # of the image as attacked
    image: Tensor
    seed: int
    decisions: tuple[Decision, ...]  # on the original
    criterion: Criterion
    is_new: bool  # the original is not in the run yet
    warnings: tuple[str, ...]


class CellAttack:
    """The attack of a cell on its photos, from files to records.

    Threads read photos before the attack, and judge and save its images after it. The caller owns the loop: it admits
    photos as long as there is room and takes steps until none is left.

    Parameters
    ----------
    run, folder, cell
        The run folder and the cell, with its folder there.
    classifier, attack
        Those of the cell.
    batch_size
        How many images to attack at a time, or a function that returns it for images (3, H, W).
    pool
        The threads; they call the classifier too.
    save
        Called in these threads with each outcome and its files to make both durable.
    memory_share
        Share of the free memory that may be used.
    on_idle
        Called with the seconds that the attack had to wait for a photo to be read.
    clock
        As `time.monotonic`.
    max_megapixels
        As for `edgefool.read_image`.
    """

    def __init__(
        self,
        run: RunFolder,
        folder: str,
        cell: Cell,
        classifier: Victim,
        attack: Attack,
        batch_size: int | Callable[[torch.Size], int],
        pool: ThreadPoolExecutor,
        save: Callable[[Outcome, Mapping[StorePath, bytes]], None],
        memory_share: float = 1.0,
        on_idle: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
        max_megapixels: float | None = None,
    ):
        self._run, self._folder, self._cell = run, folder, cell
        self._classifier, self._attack, self._batch_size = classifier, attack, batch_size
        self._pool, self._make_durable, self._memory_share = pool, save, memory_share
        self._on_idle, self._clock, self._max_megapixels = on_idle, clock, max_megapixels
        self._device = device_of(classifier)
        self._batch = ActiveBatch(attack, classifier, batch_size)
        self._shape = torch.Size()  # of the images most recently in the batch
        self._reading: deque[Future[PendingImage | Outcome]] = deque()
        self._saving: deque[Future[Outcome]] = deque()
        self._failed: list[Outcome] = []

    def __len__(self) -> int:
        """Return how many photos were admitted but not yet returned."""
        return len(self._reading) + len(self._batch) + len(self._saving) + len(self._failed)

    def room(self) -> int:
        """Return how many photos to admit before the next step: enough to fill the batch and read a few ahead."""
        ahead = THREADS + 1 - len(self._reading) + (len(self._batch) // 4 if self._device.type == "cuda" else 0)
        if ahead > 0:
            return ahead
        with self._explain():
            if len(self._batch):
                return max(0, ahead + self._batch.room(self._shape))
            head = self._first_read()
            return ahead + self._batch.room(head.image.shape) if head else THREADS + 1

    def admit(self, photo: Photo, known_original: Record | None = None) -> None:
        """Start to read a photo, or its original in the run if a record of its dataset says that it exists."""
        self._reading.append(self._pool.submit(self._read, photo, known_original))

    def step(self) -> list[Outcome]:
        """Fill the batch, waiting for photos that are being read, and take one step of the attack.

        Returns
        -------
        list of Outcome
            Those saved since the last step.

        Raises
        ------
        RunError
            If images cannot be saved, or originals of the run cannot be read.
        AttackError
            If the attack, or the classifier in it, raises an exception.
        """
        with self._explain():
            self._fill()
            for image, result in self._batch.step():  # copied now, while the device is idle: threads would wait for it
                self._saving.append(self._pool.submit(self._save, image, result.cpu()))
            outcomes, self._failed = self._failed, []
            is_last = not self._reading and not len(self._batch)
            while self._saving and (is_last or self._saving[0].done() or len(self._saving) > _MAX_UNSAVED):
                outcomes.append(self._saving.popleft().result())
        return outcomes

    def _fill(self) -> None:
        """Move photos into the batch as long as they have the size of its images."""
        shape, samples = self._shape if len(self._batch) else None, list[Sample]()
        while shape is None or len(samples) < self._batch.room(shape):
            head = self._first_read()
            if head is None or shape not in (None, head.image.shape):
                break
            self._reading.popleft()
            samples.append(Sample(head.image.to(self._device), head.seed, head, head.criterion))
            self._shape = shape = head.image.shape
        self._batch.admit(samples)

    def _first_read(self) -> PendingImage | None:
        """Wait for the first photo that can be read, and return it without removing it."""
        while self._reading:
            start = self._clock()
            image = self._reading[0].result()
            self._on_idle(self._clock() - start)
            if isinstance(image, PendingImage):
                return image
            self._failed.append(image)
            self._reading.popleft()
        return None

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except EdgeFoolError:
            raise
        except (Exception, SystemExit) as error:  # classifiers may be users' code
            what = f"{self._attack.name} on {self._classifier.name}"
            raise AttackError(f"{what} failed: {describe_failure(error)}") from error

    def _read(self, photo: Photo, known: Record | None) -> PendingImage | Outcome:
        lines: list[str] = []
        try:
            digest, png, image = self._known_original(known) if known else self._new_original(photo, lines.append)
            self._check_memory(image)
            seed, decisions = image_seed(self._cell.seed, digest), decide_all(self._classifier, image)
            criterion = self._cell.criterion_for(photo.label)
        except (ImageError, OSError) as error:
            return self._fail(photo, str(error))
        return PendingImage(photo, digest, png, image, seed, decisions, criterion, known is None, tuple(lines))

    def _new_original(self, photo: Photo, warn: Callable[[str], None]) -> tuple[str, bytes, Tensor]:
        """Return the photo's hash, and the image as attacked: as PNG and as a tensor."""
        image = read_image(photo.path, max_megapixels=self._max_megapixels, on_warning=warn)
        image = resize_image(image, None if self._cell.size == "native" else self._cell.size)
        return sha256(photo.path.read()), encode_png(image), image

    def _known_original(self, known: Record) -> tuple[str, bytes, Tensor]:
        png = read_png(self._run.image_path("originals", known))
        return str(known.sha256), png, read_image(png, max_megapixels=math.inf)

    def _check_memory(self, image: Tensor) -> None:
        """Refuse an image if a batch of its size would exhaust the memory; an attack saves some if it has all of it."""
        batch = self._batch_size if isinstance(self._batch_size, int) else 1
        each = self._attack.least_bytes_per_pixel if self._memory_share == 1 else self._attack.bytes_per_pixel
        need = image[0].numel() * each * batch
        have = free_memory(self._device, self._memory_share)
        if need > have:
            raise ImageError(
                f"{image.shape[2]} x {image.shape[1]} pixels need about {need / 2**30:.1f} GiB of memory and "
                f"{have / 2**30:.1f} are free; use a smaller batch_size or size"
            )

    def _save(self, image: PendingImage, result: AttackResult) -> Outcome:
        try:
            outcome, files = self._judge(image, result)
        except ImageError as error:
            return self._fail(image.photo, str(error), image.sha256)
        self._make_durable(outcome, files)
        return outcome

    def _fail(self, photo: Photo, reason: str, digest: str | None = None) -> Outcome:
        outcome = Outcome(error_record(self._folder, self._cell, photo, reason, digest))
        self._make_durable(outcome, {})
        return outcome

    def _judge(self, image: PendingImage, result: AttackResult) -> tuple[Outcome, dict[StorePath, bytes]]:
        """Judge the adversarial image as its file will hold it; return the outcome and all its files."""
        adversarial = result.adversarial[0]
        if not adversarial.isfinite().all():
            raise ImageError("the attack diverged: its image has values that are not finite numbers")
        png = encode_png(adversarial)
        read_back = read_image(png, max_megapixels=math.inf)
        logits = result.logits if isinstance(result.logits, tuple) else (result.logits,)
        judgement = judge(
            image.image,
            read_back,
            self._classifier,
            criterion=image.criterion,
            original_decisions=image.decisions,
            adversarial_logits=[member[0] for member in logits] if torch.equal(read_back, adversarial) else None,
        )
        intermediates = _intermediate_images(result.details) if judgement.success else {}
        hashes: dict[str, Any] = {f"{kind}_png": sha256(data) for kind, data in intermediates.items()}
        record = Record(
            **photo_fields(self._folder, self._cell, image.photo),
            **judgement.record_fields(),
            **hashes,
            sha256=image.sha256,
            original_png=sha256(image.png),
            png=sha256(png),
            seed=image.seed,
            success_float=bool(result.success_float),
            converged=bool(result.converged) and judgement.success,
            lost_gradient=bool(result.lost_gradient),
            iterations=int(result.iterations),
            forward_passes=int(result.forward_passes),
            backward_passes=int(result.backward_passes),
            seconds=float(result.seconds),
            smoothing_loss=float(result.details["smoothing_loss"]) if "smoothing_loss" in result.details else None,
        )
        files = {self._run.image_path("originals", record): image.png} if image.is_new else {}
        files |= {self._run.image_path(kind, record): data for kind, data in intermediates.items()}
        files[self._run.image_path(record.kind, record)] = png
        return Outcome(record, judgement.quality(record), image.warnings), files


def _intermediate_images(details: Mapping[str, Tensor]) -> dict[ImageKind, bytes]:
    """Return the PNGs of what an attack has of the structure and the mask, which is scaled to its maximum."""
    images: dict[ImageKind, bytes] = {}
    if "structure" in details:
        images["structure"] = encode_png(details["structure"][0].clamp(0, 1))
    if "mask" in details:
        images["mask"] = encode_png(details["mask"][0] / details["mask"].amax())
    return images


def read_png(path: StorePath) -> bytes:
    """Return a PNG of the run; raise `RunError`, not an error of its photo, if it cannot be read."""
    try:
        return path.read()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}; repeat the command") from error
