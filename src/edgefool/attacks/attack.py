"""The base class of all attacks, and the ranges of their fields."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Generic, TypeAlias

from pydantic import Field
from torch import Tensor, nn

from edgefool.attacks.active_batch import ActiveBatch, S, Sample
from edgefool.attacks.criteria import BY_DEFAULT, Criterion
from edgefool.attacks.result import AttackResult
from edgefool.attacks.tensor_struct import TensorStruct
from edgefool.errors import UsageError
from edgefool.images import check_images

# Ranges of the attacks' fields.
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveOne = Annotated[float, Field(gt=1, allow_inf_nan=False)]
Level = Annotated[float, Field(gt=0, le=1)]  # of images in [0, 1]
Lightness = Annotated[float, Field(ge=0, le=100)]  # L of CIELAB
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class AbsentValue:
    """Marks a field that was added to an attack later, with the value that keeps the attack's earlier behaviour.

    A field with this value is left out of the attack's `settings`, so that older results still belong to the attack.

    >>> Smooth = Annotated[bool, AbsentValue(False)]
    """

    value: bool | int | float | str


@dataclass(frozen=True)
class IterativeAttack(ABC, Generic[S]):
    """An attack that advances a batch of images step by step; each image may finish at any step.

    Its fields are its hyper-parameters. No image's result depends on the other images in the batch.
    """

    name: ClassVar[str]
    bytes_per_pixel: ClassVar[int]  # approximate memory of one image in the batch
    takes_ensembles: ClassVar[bool] = False
    takes_targets: ClassVar[bool] = False  # the criterion `Targeted`
    in_one_step: ClassVar[bool] = False  # its only step is the whole attack
    typical_steps: ClassVar[int]  # of one image at the defaults, to estimate the duration of a run

    @property
    def least_bytes_per_pixel(self) -> int:
        """Memory of one image where little is free; less than `bytes_per_pixel` for attacks that can save some."""
        return self.bytes_per_pixel

    @property
    def largest_batch(self) -> int | None:
        """Number of images that can be attacked together; None: as many as fit in memory."""
        return None

    def hyperparameters(self) -> dict[str, bool | int | float | str]:
        """Return the hyper-parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def check(self, classifier: nn.Module) -> None:  # most attacks need no more than their fields say
        """Raise `UsageError` if something that the attack needs is missing, or it cannot attack the classifier."""

    @abstractmethod
    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> S:
        """Prepare images (N, 3, H, W) for their first step; `State.aim` sets a criterion other than the default."""

    @abstractmethod
    def step(self, classifier: nn.Module, state: S) -> None:
        """Take one iteration with every image, in place, and mark the finished ones."""

    def current(self, state: S) -> Tensor:
        """Return what the images (N, 3, H, W) are after the last step, before rounding; to watch an attack."""
        return state.adversarial

    def details(self, state: S) -> dict[str, Tensor]:
        """Return attack-specific tensors (N, ...) of finished images, always under the same names."""
        return {}

    def __call__(
        self,
        classifier: nn.Module,
        images: Tensor,
        *,
        criterion: Criterion = BY_DEFAULT,
        seeds: Sequence[int] | None = None,
        batch_size: int = 16,
        progress: Callable[[int, int], None] | None = None,
    ) -> AttackResult:
        """Attack images.

        Parameters
        ----------
        classifier : nn.Module
            Maps images in [0, 1] to logits (N, D), see `edgefool.load_classifier`; or an `edgefool.Ensemble`.
        images : Tensor
            (N, 3, H, W), RGB in [0, 1].
        criterion : Criterion
            `Misclassification`, `FromLabels` or `Targeted`: when the attack succeeds.
        seeds : sequence of int, optional
            One per image; 0, 1, 2, … by default.
        batch_size : int
            Maximum number of images attacked together.
        progress : callable, optional
            Called after each image with the number of finished images and N.

        Returns
        -------
        AttackResult
            In the order of ``images``.

        Raises
        ------
        UsageError
            If ``images``, ``seeds``, ``criterion`` or ``batch_size`` are invalid, or the attack takes no ensemble or
            no target.
        """
        check_images(images)
        seeds = range(len(images)) if seeds is None else seeds
        if len(seeds) != len(images):
            raise UsageError(f"there are {len(images)} images and {len(seeds)} seeds")
        criteria: Sequence[Criterion] = criterion.split(len(images))
        rows = zip(images, seeds, range(len(images)), criteria, strict=True)
        samples = [Sample(*row) for row in rows]
        batch = ActiveBatch(self, classifier, batch_size)
        results: dict[int, AttackResult] = {}
        while samples or len(batch):
            room = batch.room(images.shape[1:])
            batch.admit(samples[:room])
            del samples[:room]
            for row, result in batch.step():
                results[row] = result
                if progress:
                    progress(len(results), len(images))
        return TensorStruct.join([results[row] for row in range(len(images))])


Attack: TypeAlias = IterativeAttack[Any]
