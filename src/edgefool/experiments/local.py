"""Runs a plan in this process."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from edgefool.attacks import AttackResult, EdgeFool, Sample
from edgefool.classifiers import Classifier
from edgefool.datasets import Photo
from edgefool.errors import ImageError, UsageError
from edgefool.experiments.plan import Plan
from edgefool.experiments.run_folder import Record, RunFolder
from edgefool.images import encode_png, read_image, resize_image
from edgefool.measures import psnr, ssim


@dataclass(frozen=True)
class _Job:
    """A photo that is being attacked."""

    photo: Photo
    sha256: str
    image: Tensor
    seed: int


class LocalRun:
    """The photos of a run, attacked one batch after the other; iterate to get each record once it is durable.

    Parameters
    ----------
    plan, run
        What to do and the open run folder.
    photos
        Those still to do.
    classifier, attack
        What the plan names.
    batch_size
        How many images are attacked at a time.
    """

    def __init__(
        self,
        plan: Plan,
        run: RunFolder,
        photos: Sequence[Photo],
        classifier: Classifier,
        attack: EdgeFool,
        batch_size: int = 4,
    ):
        self._plan, self._run, self._photos = plan, run, photos
        self._classifier, self._attack, self._batch_size = classifier, attack, batch_size
        self._device = next(iter(classifier.buffers())).device
        self._jobs: dict[int, _Job] = {}
        self._errors: deque[Record] = deque()

    def __iter__(self) -> Iterator[Record]:
        for index, result in self._attack.stream(self._classifier, self._samples(), self._batch_size):
            yield from self._drain()
            yield self._save(self._jobs.pop(index), result)
        yield from self._drain()

    def _drain(self) -> Iterator[Record]:
        while self._errors:
            yield self._errors.popleft()

    def _samples(self) -> Iterator[Sample]:
        """Read photos as the attack asks for them; those that cannot be read become error records."""
        count = 0
        for photo in self._photos:
            digest = None
            try:
                data = photo.path.read_bytes()
                digest = hashlib.sha256(data).hexdigest()
                image = resize_image(read_image(data), None if self._plan.size == "native" else self._plan.size)
                _check_memory(image, self._attack.bytes_per_pixel)
            except (ImageError, OSError) as error:
                reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                record = Record(**self._names(photo), sha256=digest, error=reason)
                self._run.save(record, {})
                self._errors.append(record)
                continue
            job = _Job(photo, digest, image, image_seed(self._plan.seed, digest))
            self._jobs[count] = job
            count += 1
            yield Sample(image.to(self._device), job.seed)

    def _save(self, job: _Job, result: AttackResult) -> Record:
        """Judge the adversarial image as the file holds it and make it and its record durable."""
        original, png = job.image[None], encode_png(result.adversarial[0].cpu())
        adversarial = read_image(png)[None]
        before, after = self._decide(original), self._decide(adversarial)
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
            iterations=int(result.iterations),
            forward_passes=int(result.forward_passes),
            backward_passes=int(result.backward_passes),
            seconds=float(result.seconds),
            smoothing_loss=float(result.details["smoothing_loss"]),
            psnr=float(psnr(adversarial, original)),
            ssim=float(ssim(adversarial, original)),
        )
        images = {self._run.image_path("originals", job.photo.name): encode_png(job.image)}
        if record.success:
            structure = result.details["structure"][0].cpu().clamp(0, 1)
            images[self._run.image_path("structure", record.image, record)] = encode_png(structure)
            images[self._run.image_path("images", record.image, record)] = png
        self._run.save(record, images)
        return record

    def _names(self, photo: Photo) -> dict[str, Any]:
        return {
            "image": photo.name,
            "source": os.fsencode(photo.path).decode(errors="replace"),
            "method": self._plan.method,
            "classifier": self._plan.classifier,
        }

    @torch.no_grad()
    def _decide(self, image: Tensor) -> tuple[int, float]:
        probabilities = self._classifier(image.to(self._device)).softmax(1)[0]
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
        if record and not record.error and hashlib.sha256(photo.path.read_bytes()).hexdigest() != record.sha256:
            raise UsageError(f"{photo.path} has changed since this run attacked it; name a new folder")
    return done


def image_seed(seed: int, sha256: str) -> int:
    """Return an image's own seed, in [0, 2^63): from the run's seed and the SHA-256 of the photo's bytes."""
    digest = hashlib.sha256(f"{seed}:{sha256}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _check_memory(image: Tensor, bytes_per_pixel: int) -> None:
    """Refuse an image that would have the process killed."""
    need = image.shape[1] * image.shape[2] * bytes_per_pixel
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > 0.8 * have:
        raise ImageError(
            f"{image.shape[2]} x {image.shape[1]} pixels need about {need / 2**30:.0f} GiB of memory and this machine "
            f"has {have / 2**30:.0f}; use --size"
        )
