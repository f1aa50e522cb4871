"""Runs a plan in this process."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from edgefool.attacks import Attack, AttackResult, Sample
from edgefool.classifiers import Classifier
from edgefool.datasets import Photo
from edgefool.errors import ImageError, UsageError
from edgefool.experiments.memory import BatchSize, free_memory
from edgefool.experiments.plan import Plan
from edgefool.experiments.run_folder import Record, RunFolder
from edgefool.images import encode_png, read_image, resize_image
from edgefool.measures import psnr, ssim

A = TypeVar("A")
B = TypeVar("B")
_THREADS = min(os.cpu_count() or 1, 8)
_MOST_UNSAVED = 4 * _THREADS  # images whose attack is over; they wait in memory


@dataclass(frozen=True)
class _Job:
    """A photo that is being attacked."""

    photo: Photo
    sha256: str
    image: Tensor
    seed: int
    original: tuple[int, float]  # class and probability


class LocalRun:
    """The photos of a run, attacked as a full batch; iterate to get each record once it is durable.

    Other threads read photos ahead of the attack and judge and write its images behind it; they, too, call the
    classifier.

    Parameters
    ----------
    plan, run
        What to do and the open run folder.
    photos
        Those still to do.
    classifier, attack
        What the plan names.
    batch_size
        How many images are attacked at a time; by default as many as the free memory takes.
    """

    def __init__(
        self,
        plan: Plan,
        run: RunFolder,
        photos: Sequence[Photo],
        classifier: Classifier,
        attack: Attack,
        batch_size: int | None = None,
    ):
        self._plan, self._run, self._photos = plan, run, photos
        self._classifier, self._attack, self._batch_size = classifier, attack, batch_size
        self._device = next(iter(classifier.buffers())).device
        self._jobs: dict[int, _Job] = {}
        self._errors: deque[Record] = deque()

    def __iter__(self) -> Iterator[Record]:
        batch_size = self._batch_size or BatchSize(self._attack, self._classifier, self._device)
        saving: deque[Future[Record]] = deque()
        with ThreadPoolExecutor(_THREADS, "edgefool") as pool:
            for index, result in self._attack.stream(self._classifier, self._samples(pool), batch_size):
                saving.append(pool.submit(self._save, self._jobs.pop(index), result))
                while saving and (saving[0].done() or len(saving) > _MOST_UNSAVED):
                    yield saving.popleft().result()
                yield from self._drain()
            yield from (record.result() for record in saving)
            yield from self._drain()

    def _drain(self) -> Iterator[Record]:
        while self._errors:
            yield self._errors.popleft()

    def _samples(self, pool: ThreadPoolExecutor) -> Iterator[Sample]:
        """Hand photos over as the attack asks for them; those that cannot be read become error records."""
        numbers = count()
        for reading in _ahead(pool, self._read, self._photos):
            job = reading.result()
            if isinstance(job, Record):
                self._errors.append(job)
            else:
                self._jobs[next(numbers)] = job
                yield Sample(job.image.to(self._device), job.seed)

    def _read(self, photo: Photo) -> _Job | Record:
        try:
            image = resize_image(read_image(photo.path), None if self._plan.size == "native" else self._plan.size)
            _check_memory(image, self._attack.bytes_per_pixel * (self._batch_size or 1), self._device)
            sha256 = _sha256(photo.path)
            return _Job(photo, sha256, image, image_seed(self._plan.seed, sha256), self._decide(image[None]))
        except (ImageError, OSError) as error:
            return self._fail(photo, str(error))

    def _fail(self, photo: Photo, reason: str, sha256: str | None = None) -> Record:
        record = Record(**self._names(photo), sha256=sha256, error=reason)
        self._run.save(record, {})
        return record

    def _save(self, job: _Job, result: AttackResult) -> Record:
        try:
            record, images = self._judge(job, result)
        except ImageError as error:
            return self._fail(job.photo, str(error), job.sha256)
        self._run.save(record, images)
        return record

    def _judge(self, job: _Job, result: AttackResult) -> tuple[Record, dict[Path, bytes]]:
        """Judge the adversarial image as the file will hold it; return its record and all its files."""
        if not result.adversarial.isfinite().all():
            raise ImageError("the attack diverged: its image has values that are not finite numbers")
        original, png = job.image[None], encode_png(result.adversarial[0].cpu())
        adversarial = read_image(png)[None]
        before, after = job.original, self._decide(adversarial)
        record = Record(
            **self._names(job.photo),
            sha256=job.sha256,
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
        images = {self._run.image_path("originals", job.photo.name): encode_png(job.image)}
        if record.success:
            if "structure" in result.details:
                structure = result.details["structure"][0].cpu().clamp(0, 1)
                images[self._run.image_path("structure", record.image, record)] = encode_png(structure)
            images[self._run.image_path("images", record.image, record)] = png
        return record, images

    def _names(self, photo: Photo) -> dict[str, Any]:
        return {
            "image": photo.name,
            "source": source_text(photo.path),
            "method": self._plan.method,
            "classifier": self._plan.classifier,
        }

    @torch.no_grad()
    def _decide(self, image: Tensor) -> tuple[int, float]:
        """Return the class of an image (1, 3, H, W) and its probability (Eqs. 2 and 3)."""
        try:
            probabilities = self._classifier(image.to(self._device)).softmax(1)[0]
        except Exception as error:  # the classifier may be anybody's code
            size, reason = f"{image.shape[3]} x {image.shape[2]}", str(error).partition("\n")[0]
            raise ImageError(f"the classifier cannot take {size} pixels: {reason}") from error
        if not probabilities.isfinite().all():
            raise ImageError("the classifier's logits for it are not finite numbers")
        best = int(probabilities.argmax())
        return best, float(probabilities[best])


def done_before(photos: Sequence[Photo], records: Sequence[Record], retry: bool = False) -> dict[str, Record]:
    """Return the records of those photos that need not be attacked again, by name.

    With ``retry`` photos that gave an error count as not done.

    Raises
    ------
    UsageError
        If a photo that was attacked has other bytes now.
    """
    known = {record.image: record for record in records if not (retry and record.error)}
    done = {photo.name: known[photo.name] for photo in photos if photo.name in known}
    for photo in photos:
        record = done.get(photo.name)
        if record and not record.error and _has_changed(photo, record):
            raise UsageError(f"{photo.path} has changed since this run attacked it; name a new folder")
    return done


def source_text(path: Path) -> str:
    r"""Return a path as records hold it: bytes that are not UTF-8 become ``\xff``."""
    return os.fsencode(path).decode(errors="backslashreplace")


def image_seed(seed: int, sha256: str) -> int:
    """Return an image's own seed, in [0, 2^63): from the run's seed and the SHA-256 of the photo's bytes."""
    digest = hashlib.sha256(f"{seed}:{sha256}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_changed(photo: Photo, record: Record) -> bool:
    try:
        return _sha256(photo.path) != record.sha256
    except OSError:  # what cannot be read cannot be attacked again either
        return False


def _check_memory(image: Tensor, bytes_per_pixel: int, device: torch.device) -> None:
    """Refuse an image that, in a batch of its like, would have the process killed."""
    need, have = image.shape[1] * image.shape[2] * bytes_per_pixel, free_memory(device)
    if need > have:
        raise ImageError(
            f"{image.shape[2]} x {image.shape[1]} pixels need about {need / 2**30:.1f} GiB of memory and "
            f"{have / 2**30:.1f} are free; use a smaller --batch-size or --size"
        )


def _ahead(pool: ThreadPoolExecutor, function: Callable[[A], B], items: Iterable[A]) -> Iterator[Future[B]]:
    """Have the pool call a function for items, some ahead of the consumer, and return what it makes of them."""
    futures: deque[Future[B]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) > _THREADS:
            yield futures.popleft()
    yield from futures
