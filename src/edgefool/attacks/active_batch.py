"""A batch of images that are attacked together; each enters and leaves on its own."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from edgefool.attacks.criteria import BY_DEFAULT, Criterion, Misclassification, Targeted, check_support
from edgefool.attacks.functional import classes_of
from edgefool.attacks.result import AttackResult
from edgefool.attacks.state import State
from edgefool.attacks.tensor_struct import TensorStruct
from edgefool.classifiers import Ensemble, SafeClassifier, SafeEnsemble, member_logits
from edgefool.errors import UsageError
from edgefool.images import check_images, round_to_8_bits

S = TypeVar("S", bound=State)


class Sample(NamedTuple):
    """One image to attack, (3, H, W) in [0, 1], the seed of its own random numbers, and an id for the caller.

    The criterion is that of this one image.
    """

    image: Tensor
    seed: int
    id: Any
    criterion: Criterion = BY_DEFAULT


class SteppedAttack(Protocol[S]):
    """What a batch needs of an attack; see `edgefool.attacks.attack.IterativeAttack`."""

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> S:
        """Prepare images (N, 3, H, W) for their first step."""
        ...

    def step(self, classifier: nn.Module, state: S) -> None:
        """Take one iteration with every image."""
        ...

    def current(self, state: S) -> Tensor:
        """Return what the images (N, 3, H, W) are after the last step."""
        ...

    def details(self, state: S) -> dict[str, Tensor]:
        """Return attack-specific tensors (N, ...)."""
        ...


class ActiveBatch(Generic[S]):
    """Images of one size that are attacked together. The caller owns the loop: it admits images and takes steps.

    Parameters
    ----------
    attack, classifier
        The attack, and the classifier that it attacks: any module from images to logits (see `SafeClassifier`), or an
        `Ensemble`.
    batch_size : int or callable
        Maximum number of images, or a function that returns it for a shape (3, H, W).

    Raises
    ------
    UsageError
        If ``batch_size`` is below 1, or the attack does not attack ensembles.

    Examples
    --------
    >>> from edgefool.attacks import NFGSM
    >>> batch = ActiveBatch(NFGSM(max_iterations=2), nn.Sequential(nn.Flatten(), nn.Linear(12, 5)))
    >>> batch.admit([Sample(torch.rand(3, 2, 2), seed=0, id="cat")])
    >>> while len(batch):
    ...     for name, result in batch.step():
    ...         print(name, int(result.iterations))
    cat 2
    """

    def __init__(
        self, attack: SteppedAttack[S], classifier: nn.Module, batch_size: int | Callable[[torch.Size], int] = 16
    ):
        if isinstance(batch_size, int) and batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}")
        check_support(attack, ensemble=isinstance(classifier, Ensemble))
        safe = SafeEnsemble(classifier) if isinstance(classifier, Ensemble) else SafeClassifier(classifier)
        self._attack, self._classifier, self._batch_size = attack, safe, batch_size
        self._state: S | None = None  # None without images
        self._ids: list[Any] = []

    def __len__(self) -> int:
        return len(self._ids)

    def room(self, shape: torch.Size) -> int:
        """Return how many images of a shape (3, H, W) can be admitted now; none while others have another shape."""
        if self._state is not None and self._state.images.shape[1:] != shape:
            return 0
        limit = self._batch_size(shape) if callable(self._batch_size) else self._batch_size
        if (largest := getattr(self._attack, "largest_batch", None)) is not None:
            limit = min(limit, largest)
        return max(0, limit - len(self))

    def admit(self, samples: Sequence[Sample]) -> None:
        """Add images, all of one size, and prepare them for their first step.

        Raises
        ------
        UsageError
            If there is no room for them, they are not images in [0, 1], or a criterion does not fit.
        """
        if not samples:
            return
        start = time.perf_counter()
        shapes = {sample.image.shape for sample in samples}
        if len(shapes) > 1 or len(samples) > self.room(next(iter(shapes))):
            sizes = ", ".join(str(tuple(shape)) for shape in shapes)
            raise UsageError(f"the batch of {len(self)} images has no room for {len(samples)} more of shape {sizes}")
        with self._classifier.in_use(samples[0].image.device.type):
            images = torch.stack([sample.image for sample in samples]).detach()
            check_images(images)
            criteria = [sample.criterion for sample in samples]
            check_support(self._attack, targeted=any(isinstance(criterion, Targeted) for criterion in criteria))
            state = self._attack.begin(self._classifier, images, [sample.seed for sample in samples])
            if any(not isinstance(criterion, Misclassification) for criterion in criteria):
                state.aim(criteria, self._classifier.num_classes)
            state.seconds += (time.perf_counter() - start) / len(samples)
            self._state = state if self._state is None else TensorStruct.join([self._state, state])
        self._ids += [sample.id for sample in samples]

    def step(self) -> list[tuple[Any, AttackResult]]:
        """Take one step with every image.

        Returns
        -------
        list of (id, AttackResult)
            The images that finished, each with N = 1; they have left the batch.
        """
        if (state := self._state) is None:
            return []
        with self._classifier.in_use(state.images.device.type):
            start = time.perf_counter()
            self._attack.step(self._classifier, state)
            state.seconds += (time.perf_counter() - start) / len(state)
            finished = state.finished
            if not finished.any():
                return []
            results = self._judge(state if finished.all() else state.select(finished))
            ids = [self._ids[row] for row in finished.nonzero()[:, 0].tolist()]
            self._ids = [self._ids[row] for row in (~finished).nonzero()[:, 0].tolist()]
            self._state = state.select(~finished) if self._ids else None
            return [(name, results.select(slice(row, row + 1))) for row, name in enumerate(ids)]

    def current(self) -> dict[Any, Tensor]:
        """Return each image in the batch as it is after the last step, (3, H, W) on the 8-bit grid, by id.

        No result depends on whether it is called.
        """
        if self._state is None:
            return {}
        with torch.no_grad():
            images = round_to_8_bits(self._attack.current(self._state))
        return dict(zip(self._ids, images, strict=True))

    def _judge(self, state: S) -> AttackResult:
        """Classify the final images before and after rounding to 8 bits."""
        start = time.perf_counter()
        rounded = round_to_8_bits(state.adversarial)
        with torch.no_grad():
            both = member_logits(self._classifier, torch.cat([state.adversarial, rounded]))
        floats, logits = (tuple(half) for half in zip(*(member.chunk(2) for member in both), strict=True))
        seconds = state.seconds + (time.perf_counter() - start) / len(state)
        return AttackResult(
            adversarial=rounded,
            original_class=state.original_class,
            adversarial_class=classes_of(self._classifier, logits),
            logits=logits if isinstance(self._classifier, Ensemble) else logits[0],
            success=state.goal.is_met(logits),
            success_float=state.goal.is_met(floats),
            success_before=state.goal.is_met_by(state.original_class),
            converged=state.converged,
            lost_gradient=state.lost_gradient,
            iterations=state.iterations,
            forward_passes=state.forward_passes + 2,
            backward_passes=state.backward_passes,
            seconds=seconds.to(rounded.device),
            details=self._attack.details(state),
        )
