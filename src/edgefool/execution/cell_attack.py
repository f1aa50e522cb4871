"""Attacks the photos of a cell, from file to file."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgefool.attacks import Attack, AttackResult, Sample
from edgefool.classifiers import Classifier
from edgefool.datasets import Photo
from edgefool.errors import AttackError, EdgeFoolError, ImageError, RunError
from edgefool.execution.batch_size import free_memory
from edgefool.images import encode_png, read_image, resize_image
from edgefool.measures import psnr, ssim
from edgefool.runs import Record, RunFolder
from edgefool.runs.cell import Cell
from edgefool.runs.records import sha256, source_text
from edgefool.storage import StorePath

THREADS = min(os.cpu_count() or 1, 8)
"""As many as are worth having to read, judge and write images."""
_MOST_UNSAVED = 4 * THREADS  # images whose attack is over; they wait in memory


@dataclass(frozen=True)
class _Job:
    """A photo that is being attacked."""

    photo: Photo
    sha256: str
    png: bytes  # of the image as attacked
    image: Tensor
    seed: int
    original: tuple[int, float]  # class and probability
    is_new: bool  # the original is not in the run yet


class Wanted(NamedTuple):
    """A photo to attack, and a record of this dataset from which its original is known to be in the run already."""

    photo: Photo
    known: Record | None = None


class CellAttack:
    """The photos of a cell, attacked as a full batch; iterate to get each record once it is saved.

    Parameters
    ----------
    run, folder, cell
        The run folder and the cell, with its folder there.
    photos
        Those to attack, as long as there are any: an iterator that has none for now may have some later, as long as
        others are still being attacked.
    classifier, attack
        What the cell names.
    batch_size
        How many images are attacked at a time, or a function that says it for images (3, H, W).
    pool
        Threads that read photos ahead of the attack and judge and save its images behind it; they, too, call the
        classifier.
    save
        Called in these threads with each record and its files; by default it makes both durable.
    share
        Of the free memory that may be used.
    idle
        Called with the seconds that the attack had to wait for a photo to be read.

    Raises
    ------
    RunError
        If images cannot be saved, or originals of the run not read.
    AttackError
        If the attack, or the classifier in it, raises anything.
    """

    def __init__(
        self,
        run: RunFolder,
        folder: str,
        cell: Cell,
        photos: Iterable[Wanted],
        classifier: Classifier,
        attack: Attack,
        batch_size: int | Callable[[torch.Size], int],
        pool: ThreadPoolExecutor,
        save: Callable[[Record, Mapping[StorePath, bytes]], None] | None = None,
        share: float = 1.0,
        idle: Callable[[float], None] = lambda seconds: None,
    ):
        self._run, self._folder, self._cell, self._photos = run, folder, cell, iter(photos)
        self._classifier, self._attack, self._batch_size = classifier, attack, batch_size
        self._pool, self._keep, self._share, self._idle = pool, save or run.save, share, idle
        self._device = device_of(classifier)
        self._numbers = count()
        self._reading: deque[Future[_Job | Record]] = deque()
        self._jobs: dict[int, _Job] = {}
        self._errors: deque[Record] = deque()

    def __iter__(self) -> Iterator[Record]:
        saving: deque[Future[Record]] = deque()
        # The attack takes a `Sample` whenever it has room for one.
        samples = _Samples(self._next_sample)
        for index, result in self._attacked(samples):
            saving.append(self._pool.submit(self._save, self._jobs.pop(index), result))
            while saving and (saving[0].done() or len(saving) > _MOST_UNSAVED):
                yield saving.popleft().result()
            yield from self._drain()
        yield from (record.result() for record in saving)
        yield from self._drain()

    def _attacked(self, samples: Iterable[Sample]) -> Iterator[tuple[int, AttackResult]]:
        try:
            yield from self._attack.stream(self._classifier, samples, self._batch_size)
        except EdgeFoolError:
            raise
        except Exception as error:  # the classifier may be anybody's code
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise AttackError(f"{self._attack.name} on {self._classifier.name} failed: {reason}") from error

    def _drain(self) -> Iterator[Record]:
        while self._errors:
            yield self._errors.popleft()

    def _next_sample(self) -> Sample | None:
        """Return the next photo; those that cannot be read become error records."""
        while True:
            while len(self._reading) <= THREADS and (wanted := next(self._photos, None)):
                self._reading.append(self._pool.submit(self._read, wanted))
            if not self._reading:
                return None
            start = time.monotonic()
            job = self._reading.popleft().result()
            self._idle(time.monotonic() - start)
            if isinstance(job, Record):
                self._errors.append(job)
            else:
                self._jobs[next(self._numbers)] = job
                return Sample(job.image.to(self._device), job.seed)

    def _read(self, wanted: Wanted) -> _Job | Record:
        photo = wanted.photo
        try:
            digest, png, image = self._original(wanted)
            batch = self._batch_size if isinstance(self._batch_size, int) else 1
            need, have = image[0].numel() * self._attack.bytes_per_pixel * batch, free_memory(self._device, self._share)
            _check_memory(image, need, have)
            own = image_seed(self._cell.seed, digest)
            return _Job(photo, digest, png, image, own, decide(self._classifier, image), wanted.known is None)
        except (ImageError, OSError) as error:
            return self._fail(photo, str(error))

    def _original(self, wanted: Wanted) -> tuple[str, bytes, Tensor]:
        """Return the photo's hash, and the image as attacked: as PNG and as a tensor."""
        path = wanted.photo.path
        if known := wanted.known:
            own = self._run.image_path("originals", known)
            try:
                png = own.read()
            except OSError as error:  # the run's fault and not the photo's, which gets no error record
                raise RunError(f"cannot read {own}: {error.strerror or error}; repeat the command") from error
            return str(known.sha256), png, read_image(png)
        size = None if self._cell.size == "native" else self._cell.size
        image = resize_image(read_image(path), size)
        return sha256(path.read()), encode_png(image), image

    def _fail(self, photo: Photo, reason: str, digest: str | None = None) -> Record:
        record = error_record(self._folder, self._cell, photo, reason, digest)
        self._keep(record, {})
        return record

    def _save(self, job: _Job, result: AttackResult) -> Record:
        try:
            record, images = self._judge(job, result)
        except ImageError as error:
            return self._fail(job.photo, str(error), job.sha256)
        self._keep(record, images)
        return record

    def _judge(self, job: _Job, result: AttackResult) -> tuple[Record, dict[StorePath, bytes]]:
        """Judge the adversarial image as the file will hold it; return its record and all its files."""
        if not result.adversarial.isfinite().all():
            raise ImageError("the attack diverged: its image has values that are not finite numbers")
        original, png = job.image[None], encode_png(result.adversarial[0].cpu())
        adversarial = read_image(png)[None]
        before, after = job.original, decide(self._classifier, adversarial[0])
        structure = None
        if "structure" in result.details and before[0] != after[0]:
            structure = encode_png(result.details["structure"][0].cpu().clamp(0, 1))
        record = Record(
            **_names(self._folder, self._cell, job.photo),
            sha256=job.sha256,
            original_png=sha256(job.png),
            png=sha256(png),
            structure_png=sha256(structure) if structure else None,
            width=original.shape[3],
            height=original.shape[2],
            seed=job.seed,
            original_class=before[0],
            original_name=self._classifier.classes[before[0]],
            original_probability=before[1],
            adversarial_class=after[0],
            adversarial_name=self._classifier.classes[after[0]],
            adversarial_probability=after[1],
            success=before[0] != after[0],
            success_float=bool(result.success_float),
            converged=bool(result.converged) and before[0] != after[0],
            lost_gradient=bool(result.lost_gradient),
            iterations=int(result.iterations),
            forward_passes=int(result.forward_passes),
            backward_passes=int(result.backward_passes),
            seconds=float(result.seconds),
            smoothing_loss=float(result.details["smoothing_loss"]) if "smoothing_loss" in result.details else None,
            psnr=float(psnr(adversarial, original)),
            ssim=float(ssim(adversarial, original)),
        )
        images = {self._run.image_path("originals", record): job.png} if job.is_new else {}
        if structure:
            images[self._run.image_path("structure", record)] = structure
        images[self._run.image_path(record.kind, record)] = png
        return record, images


def error_record(folder: str, cell: Cell, photo: Photo, reason: str, sha256: str | None = None) -> Record:
    """Return the record of a photo that could not be attacked."""
    return Record(**_names(folder, cell, photo), sha256=sha256, error=reason)


def _names(folder: str, cell: Cell, photo: Photo) -> dict[str, Any]:
    return {
        "cell": folder,
        "dataset": cell.dataset,
        "image": photo.name,
        "source": source_text(photo.key),
        "label": photo.label,
        "method": cell.label,
        "classifier": cell.classifier,
    }


@torch.no_grad()
def decide(classifier: Classifier, image: Tensor) -> tuple[int, float]:
    """Return the class of an image (3, H, W) and its probability (Eqs. 2 and 3).

    Raises
    ------
    ImageError
        If the classifier fails, or its answer is not a finite number.
    """
    try:
        probabilities = classifier(image[None].to(device_of(classifier))).softmax(1)[0]
    except Exception as error:  # the classifier may be anybody's code
        size, reason = f"{image.shape[2]} x {image.shape[1]}", str(error).partition("\n")[0]
        raise ImageError(f"the classifier cannot take {size} pixels: {reason}") from error
    if not probabilities.isfinite().all():
        raise ImageError("the classifier's logits for it are not finite numbers")
    best = int(probabilities.argmax())
    return best, float(probabilities[best])


def device_of(classifier: Classifier) -> torch.device:
    """Return where a classifier is."""
    return next(classifier.buffers()).device


def image_seed(seed: int, sha256: str) -> int:
    """Return an image's own seed, in [0, 2^63): from the run's seed and the SHA-256 of the photo's bytes."""
    digest = hashlib.sha256(f"{seed}:{sha256}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _check_memory(image: Tensor, need: int, have: int) -> None:
    """Refuse an image that, in a batch of its like, would have the process killed."""
    if need > have:
        raise ImageError(
            f"{image.shape[2]} x {image.shape[1]} pixels need about {need / 2**30:.1f} GiB of memory and "
            f"{have / 2**30:.1f} are free; use a smaller --batch-size or --size"
        )


class _Samples:
    """Photos for the attack; it may have none for now and some later, as generators may not."""

    def __init__(self, take: Callable[[], Sample | None]):
        self._take = take

    def __iter__(self) -> Iterator[Sample]:
        return self

    def __next__(self) -> Sample:
        if (sample := self._take()) is None:
            raise StopIteration
        return sample
