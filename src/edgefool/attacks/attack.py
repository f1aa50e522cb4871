"""What all attacks share: their result, the margin loss and the loop over a batch that is kept full."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, Self, TypeAlias, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from edgefool.errors import UsageError
from edgefool.images import check_images, round_to_8_bits


@dataclass(frozen=True)
class AttackResult:
    """What an attack did to N images.

    Attributes
    ----------
    adversarial : Tensor
        (N, 3, H, W), RGB on the 8-bit grid k / 255. Where the classifier was never misled: the last image tried.
    original_class, adversarial_class : Tensor
        (N,), int64: the classifier's decision on the original and on ``adversarial`` (Eq. 3).
    success : Tensor
        (N,), bool: they differ (Eq. 1).
    success_float : Tensor
        (N,), bool: the classifier was misled before rounding to 8 bits.
    converged : Tensor
        (N,), bool: the attack met its own stopping rule; else it ran out of iterations.
    lost_gradient : Tensor
        (N,), bool: a gradient was zero, so that the attack had nothing to follow, or not finite, so that it stopped.
    iterations, forward_passes, backward_passes : Tensor
        (N,), int64: spent on the image; the passes are the classifier's.
    seconds : Tensor
        (N,), float64: the image's share of the wall time; shares add up to the total.
    details : dict[str, Tensor]
        What the attack itself reports, each (N, ...).
    """

    adversarial: Tensor
    original_class: Tensor
    adversarial_class: Tensor
    success: Tensor
    success_float: Tensor
    converged: Tensor
    lost_gradient: Tensor
    iterations: Tensor
    forward_passes: Tensor
    backward_passes: Tensor
    seconds: Tensor
    details: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.adversarial)

    @classmethod
    def join(cls, results: Sequence["AttackResult"]) -> Self:
        """Put results of images of one size behind each other."""
        names = [f.name for f in fields(cls) if f.name != "details"]
        joined = {name: torch.cat([getattr(result, name) for result in results]) for name in names}
        details = {key: torch.cat([result.details[key] for result in results]) for key in results[0].details}
        return cls(**joined, details=details)


class Sample(NamedTuple):
    """One image to attack, (3, H, W) in [0, 1], and the seed of its own random numbers."""

    image: Tensor
    seed: int


@dataclass(kw_only=True)
class State:
    """What the loop knows of an image while it is attacked; attacks add their own.

    ``adversarial`` is what the attack has to offer, before rounding to 8 bits; first the image itself.
    """

    image: Tensor
    original_class: Tensor
    adversarial: Tensor = field(init=False)
    index: int = field(init=False)
    finished: bool = False
    converged: bool = False
    lost_gradient: bool = False
    iterations: int = 0
    forward_passes: int = 1  # the clean image's
    backward_passes: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.adversarial = self.image


S = TypeVar("S", bound=State)

# Ranges of the attacks' fields.
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Level = Annotated[float, Field(gt=0, le=1)]  # of images in [0, 1]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class IterativeAttack(ABC, Generic[S]):
    """An attack that takes steps with a batch of images, each of which may finish at any step.

    Finished images leave the batch and waiting ones take their places. No image's result depends on its company.
    """

    name: ClassVar[str]
    bytes_per_pixel: ClassVar[int]  # memory that one image takes in the batch, roughly
    typical_steps: ClassVar[int]  # that an image takes with the default constants, to foretell a run's time

    @abstractmethod
    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> list[S]:
        """Prepare images (N, 3, H, W) for their first step."""

    @abstractmethod
    def step(self, classifier: nn.Module, active: list[S]) -> None:
        """Take one iteration with every active image and mark the finished ones."""

    def details(self, state: S) -> dict[str, Tensor]:
        """Return what the attack itself reports of a finished image; every image has the same names."""
        return {}

    def __call__(
        self,
        classifier: nn.Module,
        images: Tensor,
        *,
        seeds: Sequence[int] | None = None,
        batch_size: int = 16,
        progress: Callable[[int, int], None] | None = None,
    ) -> AttackResult:
        """Attack images.

        Parameters
        ----------
        classifier : nn.Module
            Maps images in [0, 1] to logits (N, D); `edgefool.load_classifier` makes one.
        images : Tensor
            (N, 3, H, W), RGB in [0, 1].
        seeds : sequence of int, optional
            One per image; by default 0, 1, 2, …
        batch_size : int
            How many images are attacked at a time.
        progress : callable, optional
            Called with the number of images done and N after each image.

        Returns
        -------
        AttackResult
            In the order of ``images``.

        Raises
        ------
        UsageError
            If ``images`` or ``seeds`` do not fit.
        """
        check_images(images)
        seeds = range(len(images)) if seeds is None else seeds
        if len(seeds) != len(images):
            raise UsageError(f"there are {len(images)} images and {len(seeds)} seeds")
        results: dict[int, AttackResult] = {}
        samples = (Sample(image, seed) for image, seed in zip(images, seeds, strict=True))
        for index, result in self.stream(classifier, samples, batch_size):
            results[index] = result
            if progress:
                progress(len(results), len(images))
        return AttackResult.join([results[index] for index in range(len(images))])

    def stream(
        self,
        classifier: nn.Module,
        samples: Iterable[Sample],
        batch_size: int | Callable[[torch.Size], int] = 16,
    ) -> Iterator[tuple[int, AttackResult]]:
        """Attack samples as they come and yield (position, result with N = 1) as soon as an image is finished.

        Only ``batch_size`` samples are held at a time, or as many as it says for images (3, H, W); images of
        different sizes never share a batch. Where ``samples`` is an iterator that has none for now, it is asked again
        after each step, until no image is left.
        """
        waiting = _Waiting(samples)
        active: list[S] = []
        while True:
            start = time.perf_counter()
            shape = active[0].image.shape if active else waiting.shape()
            if shape is None:
                return
            room = (batch_size(shape) if callable(batch_size) else batch_size) - len(active)
            if newcomers := waiting.take(room, shape):
                images = torch.stack([sample.image for _, sample in newcomers])
                states = self.begin(classifier, images, [sample.seed for _, sample in newcomers])
                for state, (index, _) in zip(states, newcomers, strict=True):
                    state.index = index
                active += states
            self.step(classifier, active)
            share = (time.perf_counter() - start) / len(active)
            for state in active:
                state.seconds += share
            finished = [state for state in active if state.finished]
            active = [state for state in active if not state.finished]
            if finished:
                yield from zip([state.index for state in finished], self._judge(classifier, finished), strict=True)

    def _judge(self, classifier: nn.Module, finished: list[S]) -> list[AttackResult]:
        """Ask the classifier for the final images, as they are and as their files will hold them."""
        start = time.perf_counter()
        floats = torch.stack([state.adversarial for state in finished])
        rounded = round_to_8_bits(floats)
        original = torch.stack([state.original_class for state in finished])
        with torch.no_grad():
            logits = classifier(torch.cat([floats, rounded]))
        classes = logits.argmax(1).view(2, -1)
        misled = (classes != original) & logits.isfinite().all(1).view(2, -1)
        share = (time.perf_counter() - start) / len(finished)

        def one(value: float, dtype: torch.dtype) -> Tensor:
            return torch.tensor([value], dtype=dtype, device=floats.device)

        return [
            AttackResult(
                adversarial=rounded[i : i + 1],
                original_class=original[i : i + 1],
                adversarial_class=classes[1, i : i + 1],
                success=misled[1, i : i + 1],
                success_float=misled[0, i : i + 1],
                converged=one(state.converged, torch.bool),
                lost_gradient=one(state.lost_gradient, torch.bool),
                iterations=one(state.iterations, torch.int64),
                forward_passes=one(state.forward_passes + 2, torch.int64),
                backward_passes=one(state.backward_passes, torch.int64),
                seconds=one(state.seconds + share, torch.float64),
                details=self.details(state),
            )
            for i, state in enumerate(finished)
        ]


Attack: TypeAlias = IterativeAttack[Any]


class _Waiting:
    """Samples that have not entered the batch yet, numbered in the order in which they come."""

    def __init__(self, samples: Iterable[Sample]):
        self._samples = enumerate(samples)
        self._next: tuple[int, Sample] | None = None

    def shape(self) -> torch.Size | None:
        """Return the shape of the next sample, None if there is none."""
        self._next = self._next or next(self._samples, None)
        return self._next[1].image.shape if self._next else None

    def take(self, count: int, shape: torch.Size) -> list[tuple[int, Sample]]:
        """Return up to ``count`` next samples, as long as they have this shape."""
        taken: list[tuple[int, Sample]] = []
        while len(taken) < count and self.shape() == shape and self._next:
            taken.append(self._next)
            self._next = None
        return taken


@torch.no_grad()
def clean_logits(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (N, D) of original images, whose largest tell their classes y (Eq. 3).

    Raises
    ------
    UsageError
        If a logit is not a finite number.
    """
    logits: Tensor = classifier(images)
    if not logits.isfinite().all():
        raise UsageError("the classifier's logits for the original image are not finite numbers")
    return logits


def image_gradients(losses: Tensor, images: Tensor, states: Sequence[State], *, retain_graph: bool = False) -> Tensor:
    """Return the gradient of each image's loss, shape (N, 3, H, W), and count a backward pass of the unfinished ones.

    A gradient that is zero is noted in the image's state. One that is not finite is noted, too, finishes the image
    and is returned as zeros, so that the other images go on.
    """
    if losses.requires_grad:
        (gradients,) = torch.autograd.grad(
            losses.sum(), images, retain_graph=retain_graph, allow_unused=True, materialize_grads=True
        )
    else:  # a classifier whose logits do not depend on the image at all
        gradients = torch.zeros_like(images)
    largest = gradients.abs().flatten(1).amax(1)
    for state, size in zip(states, largest.tolist(), strict=True):
        if not state.finished:
            state.backward_passes += 1
            state.lost_gradient = state.lost_gradient or not 0 < size < math.inf
            state.finished = not math.isfinite(size)
    return torch.where(largest.isfinite()[:, None, None, None], gradients, 0)


def l2_distance(state: State) -> Tensor:
    """Return the L2 distance of what the attack offers, before rounding, to the image, shape (1,)."""
    distance: Tensor = torch.linalg.vector_norm(state.adversarial - state.image)
    return distance[None]


def project(images: Tensor, originals: Tensor, epsilon: float) -> Tensor:
    """Bring images to within an L∞ distance of their originals and to [0, 1]."""
    return images.clamp(originals - epsilon, originals + epsilon).clamp(0, 1)


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """Return z_y - max over i ≠ y of z_i, Eq. 8: (N, D) and (N,) to (N,); negative once the class has changed.

    >>> margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
    tensor([1.])
    """
    others = logits.scatter(1, classes[:, None], -torch.inf)
    difference: Tensor = logits.gather(1, classes[:, None])[:, 0] - others.max(1).values
    return difference
