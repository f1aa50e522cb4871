"""Robust EdgeFool for full photos: attacked at a small size, changed at full resolution, within bounds."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgefool.attacks import ActiveBatch, AttackResult, RobustEdgeFool, Sample
from edgefool.classifiers import Ensemble, load_classifier
from edgefool.errors import unknown
from edgefool.execution.photo_records import image_seed
from edgefool.images import MIN_SIDE, check_images, read_image
from edgefool.images.decode import image_errors
from edgefool.images.read import upright_levels
from edgefool.images.tensors import from_levels
from edgefool.memory import release_memory
from edgefool.protection.bounds import BOUNDS, Quality, measure, shrink, shrink_to_measure
from edgefool.protection.full_resolution import add_lightness, lightness_change
from edgefool.protection.metadata import MetadataPolicy
from edgefool.protection.photo_file import PhotoFile

Strength = Literal["subtle", "natural", "vivid"]
"""How much details are enhanced; see `edgefool.RobustEdgeFool`."""

ENSEMBLE = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
"""The classifiers that are attacked by default; they need no download."""

SIZE = 448
"""Longer side in pixels at which photos are attacked."""

STEPS = 20
"""Steps of the attack; 30 were no better on full photos (docs/decisions/0008-robust-edgefool.md)."""

_TRIES = 5  # to stay within the bounds
_MARGIN = 0.97  # of the share that should do
_LARGE = 10_000_000  # pixels; to change and encode more takes longer than to try the change on a small copy

R = TypeVar("R")
Pixels = NDArray[np.uint8]

Watch = Callable[[int, int, Callable[[], Pixels]], None]
"""Called after each step with the number of steps taken, the most there may be, and what returns the image as it is.

After the last step the two numbers are equal, also where the attack ends early."""


@dataclass(frozen=True)
class Outcome:
    """What was done to a photo.

    Attributes
    ----------
    factor
        By what the change was multiplied to stay within the bounds of its strength and of the file's size; 1 if it
        was not weakened.
    quality
        Distances from the original.
    within_bounds
        Whether they are within the bounds; a file that is itself saved with loss may leave no room.
    before, after
        What each classifier of the ensemble says about the original and the result, both at the size at which they
        are compared: names of classes.
    """

    factor: float
    quality: Quality
    within_bounds: bool
    before: tuple[str, ...]
    after: tuple[str, ...]


class Protector:
    """Changes photos so that classifiers get them wrong; holds the loaded classifiers.

    Parameters
    ----------
    strength : "subtle", "natural" or "vivid"
        How much details are enhanced.
    classifiers : sequence of str or nn.Module, optional
        The ensemble to attack: names for `edgefool.load_classifier`, or classifiers. By default `ENSEMBLE`.
    device : str
        Of the classifiers that are loaded by name.

    Raises
    ------
    UsageError
        If the strength is unknown, or a classifier cannot be loaded.
    """

    def __init__(
        self,
        strength: Strength = "natural",
        classifiers: Sequence[str | nn.Module] | None = None,
        *,
        device: str = "cpu",
    ):
        if strength not in get_args(Strength):
            raise unknown("strength", strength, get_args(Strength))
        members = [
            load_classifier(member, device=device) if isinstance(member, str) else member
            for member in (ENSEMBLE if classifiers is None else classifiers)
        ]
        self.strength, self.device = strength, device
        self.ensemble = Ensemble(members)
        self._attack = RobustEdgeFool(strength=strength, max_iterations=STEPS, spare_faces=True)  # type: ignore[arg-type]  # a name
        self._bounds = BOUNDS[strength]

    def protect_image(self, image: Tensor) -> tuple[Tensor, Outcome]:
        """Return an image (3, H, W), RGB in [0, 1], protected at its full size, on the 8-bit grid, and what was done.

        Raises
        ------
        UsageError
            If the image has another shape, type or range.
        """
        check_images(image[None])
        pixels = _to_pixels(image)

        def change(lightness: NDArray[np.float32], factor: float) -> tuple[Pixels, Pixels, float]:
            changed = add_lightness(pixels, lightness, factor)
            return changed, changed, math.inf

        changed, outcome = self._protect(pixels, change)
        return from_levels(torch.from_numpy(changed).permute(2, 0, 1)).to(image), outcome

    def protect_photo(
        self, photo: PhotoFile, metadata: MetadataPolicy = "private", *, watch: Watch | None = None
    ) -> tuple[bytes, Outcome]:
        """Return a photo as a protected file in its own format, and what was done.

        Parameters
        ----------
        photo
            As `edgefool.protection.open_photo` reads it.
        metadata
            Which metadata stay; `edgefool.protection.MetadataPolicy`.
        watch
            Called after each step; see `Watch`. The image is the upright photo, (h, w, 3), uint8, at the size at which
            it is attacked. What it raises ends the work.

        Raises
        ------
        ImageError
            If it cannot be encoded.
        """

        def change(lightness: NDArray[np.float32], factor: float) -> tuple[bytes, Pixels, float]:
            stored = np.ascontiguousarray(photo.to_stored(lightness))
            data = photo.encode(add_lightness(photo.pixels, stored, factor), self.mark, metadata)
            share = self._share_by_size(photo, len(data), metadata)
            release_memory()
            with image_errors():
                return data, upright_levels(data, math.inf, lambda _: None), share

        return self._protect(photo.upright(), change, watch)

    @property
    def mark(self) -> str:
        """What a file says about its protection."""
        from edgefool import __version__

        return f"{__version__} {self.strength}"

    def _protect(
        self,
        upright: Pixels,
        change: Callable[[NDArray[np.float32], float], tuple[R, Pixels, float]],
        watch: Watch | None = None,
    ) -> tuple[R, Outcome]:
        """Attack a photo, and weaken the change until the photo as it is read again stays within the bounds."""
        original = shrink_to_measure(upright)
        is_large = upright.shape[0] * upright.shape[1] > _LARGE
        lightness = self._attack_small(shrink(upright, attack_size(*upright.shape[:2])), watch)
        del upright
        release_memory()
        factor = self._expected_factor(original, lightness) if is_large else 1.0
        for _ in range(_TRIES):
            result, pixels, share_by_size = change(lightness, factor)
            protected = shrink_to_measure(pixels)
            del pixels
            quality = measure(protected, original)
            share = min(self._bounds.allowed_share(quality), share_by_size)
            if share >= 1:
                break
            last, factor = factor, factor * share * _MARGIN
        else:
            factor = last
        outcome = Outcome(factor, quality, share >= 1, self._decide(original), self._decide(protected))
        return result, outcome

    def _share_by_size(self, photo: PhotoFile, size: int, metadata: MetadataPolicy) -> float:
        """Return by what the change of a photo is to be multiplied to make a file of ``size`` bytes small enough."""
        if size <= photo.max_bytes:
            return math.inf
        least = len(photo.encode(photo.pixels, self.mark, metadata))
        return (photo.max_bytes - least) / (size - least) if least < photo.max_bytes else math.inf

    def _expected_factor(self, original: Tensor, lightness: NDArray[np.float32]) -> float:
        """Return the factor that should keep a photo within the bounds, judged by a small copy."""
        changed = add_lightness(_to_pixels(original[0]), lightness)
        quality = measure(from_levels(torch.from_numpy(changed).permute(2, 0, 1)[None]), original)
        return min(1.0, _MARGIN * self._bounds.allowed_share(quality))

    def _attack_small(self, small: Pixels, watch: Watch | None) -> NDArray[np.float32]:
        """Return the change of L*, (h, w), that fools the ensemble; the random numbers depend on the pixels alone."""
        seed = image_seed(0, hashlib.sha256(small.tobytes()).hexdigest())
        image = from_levels(torch.tensor(small).permute(2, 0, 1)).to(self.device)
        batch = ActiveBatch(self._attack, self.ensemble)
        batch.admit([Sample(image, seed, "photo")])
        finished: dict[str, AttackResult] = {}
        steps = 0

        def image_now() -> Pixels:
            return _to_pixels(finished["photo"].adversarial[0] if finished else batch.current()["photo"])

        while not finished:
            finished, steps = dict(batch.step()), steps + 1
            if watch:
                watch(steps, steps if finished else self._attack.max_iterations, image_now)
        return lightness_change(image, finished["photo"].adversarial[0])

    def _decide(self, image: Tensor) -> tuple[str, ...]:
        classes = self.ensemble.classes(image.to(self.device))[0].tolist()
        names = [getattr(member, "classes", None) for member in self.ensemble.members]
        return tuple(str(known[k]) if known else str(k) for known, k in zip(names, classes, strict=True))


def _to_pixels(image: Tensor) -> Pixels:
    return (image * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def attack_size(height: int, width: int) -> tuple[int, int]:
    """Return the size at which a photo is attacked, (height, width).

    The longer side has at most `SIZE` pixels; that of a panorama more, so that it has as many pixels as one of 2:1.

    >>> attack_size(3000, 4000), attack_size(1000, 10_000), attack_size(120, 160)
    ((336, 448), (100, 1002), (120, 160))
    """
    scale = min(1, max(SIZE / max(height, width), SIZE / math.sqrt(2 * height * width)))
    return max(round(height * scale), MIN_SIDE), max(round(width * scale), MIN_SIDE)


def protect(
    image: Tensor | str | Path,
    strength: Strength = "natural",
    classifiers: Sequence[str | nn.Module] | None = None,
    *,
    device: str = "cpu",
) -> Tensor:
    """Change a photo at its full resolution so that classifiers get it wrong.

    This is no protection against people, against classifiers trained on such photos, or against face recognition, which
    was not tested. To keep the format and the metadata of a file, use ``edgefool protect``; for several photos, a
    `Protector`, which loads the classifiers once.

    Parameters
    ----------
    image : Tensor or path
        (3, H, W), RGB in [0, 1], or a file that `edgefool.read_image` can read.
    strength, classifiers, device
        As in `Protector`.

    Returns
    -------
    Tensor
        (3, H, W), on the 8-bit grid.

    Raises
    ------
    UsageError
        If an argument is invalid.
    ImageError
        If the file cannot be read.
    """
    if not isinstance(image, Tensor):
        image = read_image(image)
    return Protector(strength, classifiers, device=device).protect_image(image)[0]
