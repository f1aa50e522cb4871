"""The null method: EdgeFool's detail enhancement without an attack."""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import IterativeAttack, Positive, State, clean_logits
from edgefool.filters.detail_enhancement import V1, V2, V3, enhance_details
from edgefool.filters.l0_smoothing import l0_smooth


@plain_dataclass(kw_only=True)
class EnhanceState(State):
    """An image and its I_s."""

    structure: Tensor


@dataclass(frozen=True)
class Enhance(IterativeAttack[EnhanceState]):
    """Enhance details with the L0 filter's image as I_s (Eq. 7), to see how much that alone misleads.

    Parameters
    ----------
    lam, l0_kappa, beta_max, v1, v2, v3, literal_sigmoid
        As those of `edgefool.EdgeFool`.

    Examples
    --------
    >>> Enhance().v1
    56.0
    """

    name: ClassVar[str] = "enhance"
    bytes_per_pixel: ClassVar[int] = 500
    typical_steps: ClassVar[int] = 1

    lam: Positive = 0.02
    l0_kappa: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    beta_max: Positive = 1e5
    v1: Annotated[float, Field(ge=0, le=100)] = V1
    v2: Positive = V2
    v3: Positive = V3
    literal_sigmoid: bool = False

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> list[EnhanceState]:
        """Smooth the images; nothing is random."""
        classes = clean_logits(classifier, images).argmax(1)
        structures = l0_smooth(images, self.lam, self.l0_kappa, self.beta_max)
        return [
            EnhanceState(image=image, original_class=classes[i], structure=structures[i])
            for i, image in enumerate(images)
        ]

    def step(self, classifier: nn.Module, active: list[EnhanceState]) -> None:
        """Enhance; that is all."""
        images = torch.stack([state.image for state in active])
        structures = torch.stack([state.structure for state in active])
        enhanced = enhance_details(images, structures, self.v1, self.v2, self.v3, literal=self.literal_sigmoid)
        for state, image in zip(active, enhanced, strict=True):
            state.adversarial = image
            state.iterations, state.finished, state.converged = 1, True, True

    def details(self, state: EnhanceState) -> dict[str, Tensor]:
        """Return I_s."""
        return {"structure": state.structure[None]}
