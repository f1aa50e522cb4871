"""The null method: EdgeFool's detail enhancement without an attack."""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import ClassVar

from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import AboveOne, IterativeAttack, Lightness, Positive
from edgefool.attacks.functional import decide
from edgefool.attacks.state import State
from edgefool.filters import DetailEnhancement, EnhancementFilter
from edgefool.filters.detail_enhancement import V1, V2, V3
from edgefool.filters.l0_smoothing import BETA_MAX, KAPPA, LAMBDA


@plain_dataclass(kw_only=True)
class EnhanceState(State):
    """Images and their I_s."""

    structure: Tensor


@dataclass(frozen=True)
class Enhance(IterativeAttack[EnhanceState]):
    """Enhance details with the L0 filter's image as I_s (Eq. 7), to see how often that alone changes the class.

    Parameters
    ----------
    lam, l0_kappa, beta_max, v1, v2, v3, literal_sigmoid
        As in `edgefool.EdgeFool`.

    Examples
    --------
    >>> Enhance().v1
    56.0
    """

    name: ClassVar[str] = "enhance"
    bytes_per_pixel: ClassVar[int] = 500
    takes_ensembles: ClassVar[bool] = True
    typical_steps: ClassVar[int] = 1

    lam: Positive = LAMBDA
    l0_kappa: AboveOne = KAPPA
    beta_max: Positive = BETA_MAX
    v1: Lightness = V1
    v2: Positive = V2
    v3: Positive = V3
    literal_sigmoid: bool = False

    @property
    def enhancement(self) -> EnhancementFilter:
        """The filter."""
        return DetailEnhancement(
            self.lam, self.l0_kappa, self.beta_max, self.v1, self.v2, self.v3, self.literal_sigmoid
        )

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> EnhanceState:
        """Smooth the images; nothing is random."""
        classes = decide(classifier, images)
        return EnhanceState.start(images, classes, structure=self.enhancement.smooth(images))

    def step(self, classifier: nn.Module, state: EnhanceState) -> None:
        """Enhance the images, which finishes them."""
        state.adversarial = self.enhancement.enhance(self.enhancement.prepare(state.images), state.structure)
        state.iterations += 1
        state.converged, state.finished = ~state.converged, ~state.finished

    def details(self, state: EnhanceState) -> dict[str, Tensor]:
        """Return I_s."""
        return {"structure": state.structure}
