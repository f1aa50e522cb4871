"""EdgeFool: an adversarial image enhancement filter (Shamsabadi, Oh and Cavallaro, ICASSP 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from itertools import compress
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.aim import Aim, aim_is_reached, aimed_margins
from edgefool.attacks.attack import AboveOne, AbsentValue, Count, IterativeAttack, Lightness, Positive
from edgefool.attacks.functional import decide
from edgefool.attacks.learner import Weights, clipped_adam, muon_and_adam
from edgefool.attacks.state import State
from edgefool.classifiers import member_logits
from edgefool.filters import (
    DetailEnhancement,
    EnhancementFilter,
    fcnn,
    guided_filter,
    identity_parameters,
    smoother_parameters,
)
from edgefool.filters.detail_enhancement import V1, V2, V3
from edgefool.filters.l0_smoothing import BETA_MAX, KAPPA, LAMBDA
from edgefool.images import round_to_8_bits
from edgefool.memory import free_memory, release_large_blocks

_LEAST_BYTES_PER_PIXEL = 1100

LEARNING_RATES = {"smoother": 2e-3, "identity": 1e-3}
"""Defaults, by where the networks start."""


@plain_dataclass(kw_only=True)
class EdgeFoolState(State):
    """Images and what their filter needs of them; targets I_g and networks; the best iterate's I_s and L_s.

    ``fooled``: an iterate has fooled the classifier. ``saves_memory``: the network's maps do not fit; on the CPU.
    """

    prepared: Tensor
    target: Tensor
    weights: Weights
    saves_memory: Tensor
    fooled: Tensor
    structure: Tensor
    smoothing_loss: Tensor


@dataclass(frozen=True)
class EdgeFool(IterativeAttack[EdgeFoolState]):
    """Enhance the details of images so that a classifier changes its decision (Secs. 2 and 3 of the paper).

    For each image a network learns the structure I_s by steps on Eq. 5, α L_s + L_adv, until the detail-enhanced
    image fools the classifier and L_s < τ. The classifier always sees this image rounded to 8 bits, as it is
    saved; the gradient passes straight through the rounding.

    On an ensemble, L_adv is the mean over the members, and the image must fool all of them. Towards a target t, the
    margin is max over i ≠ t of z_i - z_t.

    Parameters
    ----------
    alpha : float
        Weight α of the smoothing loss, Eq. 5.
    tau : float
        Threshold τ of the smoothing loss, in squared units of [0, 1] images.
    kappa : float
        L_adv is max(margin, -κ), in logits. Infinity is Eq. 8 as printed, which did not reach τ when measured.
    start : "smoother" or "identity"
        Where each network starts and how it learns. ``"smoother"``: from a network trained as a general L0 filter,
        by Muon for its 3 x 3 kernels and Adam for the rest, on gradients scaled to length 1. ``"identity"``, the
        paper's: from identity kernels and a random last layer, by Adam; takes tens of times as many iterations.
    learning_rate : float
        By default 2e-3 from the smoother (for Muon; Adam uses a quarter of it) and 1e-3 from the identity.
    max_gradient_norm : float
        Each network's gradient is clipped to this L2 norm, as in the authors' code; only from the identity.
    max_iterations : int
        If no iterate fools the classifier with L_s < τ by then, the one of lowest L_s that fools it is kept.
    lam, l0_kappa, beta_max : float
        Parameters of the L0 filter that makes the target I_g; see `edgefool.filters.l0_smooth`.
    v1, v2, v3 : float
        Parameters of the detail enhancement, Eq. 7; see `edgefool.filters.enhance_details`.
    literal_sigmoid : bool
        Use the sigmoid of Eq. 7 as printed instead of the authors' rescaled one.
    guide : bool
        Pass the network's output through a 3 x 3 guided filter and clip it to [0, 1], as the authors' code does.
    aim : "class" or "group"
        What the image is to leave: its class, or the semantic group of its class where the classes have groups.

    Examples
    --------
    >>> EdgeFool(alpha=5).tau
    0.0005
    """

    name: ClassVar[str] = "edgefool"
    bytes_per_pixel: ClassVar[int] = 2500
    takes_ensembles: ClassVar[bool] = True
    takes_targets: ClassVar[bool] = True
    typical_steps: ClassVar[int] = 7

    alpha: Positive = 10.0
    tau: Positive = 5e-4
    kappa: Annotated[float, Field(ge=0)] = 0.0
    start: Literal["smoother", "identity"] = "smoother"
    learning_rate: Positive = Field(default=None, validate_default=True)
    max_gradient_norm: Positive = 0.01
    max_iterations: Count = 5000
    lam: Positive = LAMBDA
    l0_kappa: AboveOne = KAPPA
    beta_max: Positive = BETA_MAX
    v1: Lightness = V1
    v2: Positive = V2
    v3: Positive = V3
    literal_sigmoid: bool = False
    guide: bool = False
    aim: Annotated[Aim, AbsentValue("class")] = "class"

    @field_validator("learning_rate", mode="before")
    @classmethod
    def _choose_learning_rate(cls, value: object, info: ValidationInfo) -> object:
        # An invalid start is not in the data; its own error comes first.
        return LEARNING_RATES.get(info.data.get("start", "")) if value is None else value

    @property
    def least_bytes_per_pixel(self) -> int:
        """Memory of one image if `fcnn` saves it, which is done where less than `bytes_per_pixel` is free."""
        return _LEAST_BYTES_PER_PIXEL

    @property
    def enhancement(self) -> EnhancementFilter:
        """The filter."""
        return DetailEnhancement(
            self.lam, self.l0_kappa, self.beta_max, self.v1, self.v2, self.v3, self.literal_sigmoid
        )

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> EdgeFoolState:
        """Smooth the images, prepare them for their filter and start their networks."""
        if is_short := self.bytes_per_pixel * images[:, 0].numel() > free_memory(images.device):
            release_large_blocks()
        return EdgeFoolState.start(
            images,
            decide(classifier, images),
            prepared=self.enhancement.prepare(images),
            target=self.enhancement.smooth(images),
            saves_memory=torch.full((len(images),), is_short),
            weights=Weights.start(torch.stack([self._initial_parameters(int(seed)) for seed in seeds]).to(images)),
            fooled=torch.zeros(len(images), dtype=torch.bool, device=images.device),
            structure=images.clone(),
            smoothing_loss=torch.full((len(images),), torch.inf, dtype=torch.float64, device=images.device),
        )

    def _initial_parameters(self, seed: int) -> Tensor:
        return identity_parameters(seed) if self.start == "identity" else smoother_parameters()

    def _learn(self, weights: Weights, gradients: Tensor) -> None:
        if self.start == "identity":
            clipped_adam(weights, gradients, self.learning_rate, self.max_gradient_norm)
        else:
            muon_and_adam(weights, gradients, self.learning_rate)

    def step(self, classifier: nn.Module, state: EdgeFoolState) -> None:
        """Classify the images of the networks, then train the networks that are not finished."""
        # One tensor per network, so that finished networks need no gradients.
        parameters = [row.requires_grad_() for row in state.weights.parameters.detach().unbind()]
        structures = fcnn(torch.stack(parameters), state.images, save_memory=bool(state.saves_memory.any()))
        if self.guide:
            structures = guided_filter(structures, state.images).clamp(0, 1)
        smoothing_losses = (structures - state.target).square().mean((1, 2, 3))  # Eq. 6, as the mean to which τ refers
        enhanced = self.enhancement.enhance(state.prepared, structures)
        rounded = enhanced + (round_to_8_bits(enhanced) - enhanced).detach()
        logits = member_logits(classifier, rounded)
        margins = aimed_margins(self.aim, classifier, logits, state.goal)
        state.forward_passes += 1

        valid = torch.stack([member.isfinite().all(1) for member in logits]).all(0) & smoothing_losses.isfinite()
        fools = valid & aim_is_reached(self.aim, logits, state.goal, margins)
        self._keep_the_best(state, enhanced.detach(), structures.detach(), smoothing_losses.detach(), valid, fools)
        active = ~state.finished
        if active.any():
            adversarial_losses = margins.clamp_min(-self.kappa).mean(1)
            losses = self.alpha * smoothing_losses + adversarial_losses  # Eq. 5
            gradients = torch.autograd.grad(losses[active].sum(), list(compress(parameters, active.tolist())))
            with state.weights.subset(active) as weights:
                self._learn(weights, torch.stack(gradients))
            state.backward_passes += active.to(state.backward_passes.device)

    def _keep_the_best(
        self,
        state: EdgeFoolState,
        enhanced: Tensor,
        structures: Tensor,
        losses: Tensor,
        valid: Tensor,
        fools: Tensor,
    ) -> None:
        """Keep the converged iterate, else the one of lowest L_s that fools the classifier, else the last."""
        losses = losses.double()
        state.iterations += 1
        state.lost_gradient = ~valid
        state.converged = fools & (losses < self.tau)
        finished = state.converged | ~valid | (state.iterations >= self.max_iterations)
        better = fools & (state.converged | ~state.fooled | (losses < state.smoothing_loss))
        kept = better | (finished & ~state.fooled)
        state.smoothing_loss = torch.where(kept, losses, state.smoothing_loss)
        state.fooled = state.fooled | fools
        state.finished, rows = torch.stack([finished, kept]).cpu()  # the only wait for the device
        state.adversarial[rows], state.structure[rows] = enhanced[rows], structures[rows]

    def details(self, state: EdgeFoolState) -> dict[str, Tensor]:
        """Return L_s and I_s."""
        return {"smoothing_loss": state.smoothing_loss, "structure": state.structure}
