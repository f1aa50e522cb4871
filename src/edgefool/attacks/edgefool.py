"""EdgeFool: an adversarial image enhancement filter (Shamsabadi, Oh and Cavallaro, ICASSP 2020)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field as plain_field
from typing import Annotated, ClassVar, Literal

import torch
from kornia.color import rgb_to_lab
from pydantic import Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import Count, IterativeAttack, Positive, State, clean_logits, margin
from edgefool.attacks.learner import FromIdentity, FromSmoother, Learner, Weights
from edgefool.filters.detail_enhancement import V1, V2, V3, enhance_lab
from edgefool.filters.fcnn import fcnn
from edgefool.filters.guided_filter import guided_filter
from edgefool.filters.l0_smoothing import l0_smooth
from edgefool.images import round_to_8_bits

LEARNERS: dict[str, type[Learner]] = {"smoother": FromSmoother, "identity": FromIdentity}


@plain_dataclass(kw_only=True)
class EdgeFoolState(State):
    """An image, its target I_g and its network; of the best iterate so far I_s and L_s."""

    lab: Tensor
    target: Tensor
    weights: Weights
    misled: bool = False
    structure: Tensor = plain_field(init=False)
    smoothing_loss: float = math.inf


@dataclass(frozen=True)
class EdgeFool(IterativeAttack[EdgeFoolState]):
    """Enhance the details of images so that a classifier gets them wrong (Secs. 2 and 3 of the paper).

    For each image a network learns the structure I_s by steps on Eq. 5, α L_s + L_adv, until the detail-enhanced
    image misleads the classifier and L_s < τ. The classifier always sees that image rounded to 8 bits, as the file
    will hold it; the rounding's gradient is taken as that of the identity.

    Parameters
    ----------
    alpha : float
        Weight α of the smoothing loss, Eq. 5.
    tau : float
        Threshold τ of the smoothing loss, in squared units of [0, 1] images.
    kappa : float
        L_adv is max(margin, -κ), in logits. Infinity is Eq. 8 as printed, which was measured not to reach τ.
    start : "smoother" or "identity"
        Where each network starts and how it learns. ``"smoother"``: from a network trained as a general L0 filter,
        by Muon for its 3 x 3 kernels and Adam for the rest, on gradients scaled to length 1. ``"identity"``, the
        paper's: from identity kernels and a random last layer, by Adam; needs tens of times the iterations.
    learning_rate : float
        By default 2e-3 from the smoother (of Muon; Adam's is a quarter of it) and 1e-3 from the identity.
    max_gradient_norm : float
        From the identity each network's gradient is scaled down to this L2 norm (authors' code).
    max_iterations : int
        An image that is misled but not under τ by then keeps its misled iterate of lowest L_s.
    lam, l0_kappa, beta_max : float
        Of the L0 filter that makes the target I_g; see `edgefool.filters.l0_smooth`.
    v1, v2, v3 : float
        Of the detail enhancement, Eq. 7; see `edgefool.filters.enhance_details`.
    literal_sigmoid : bool
        Take the sigmoid of Eq. 7 as printed instead of the authors' rescaled one.
    guide : bool
        Pass the network's output through a 3 x 3 guided filter and clip it to [0, 1], as the authors' code does.

    Examples
    --------
    >>> EdgeFool(alpha=5).tau
    0.0005
    """

    name: ClassVar[str] = "edgefool"
    bytes_per_pixel: ClassVar[int] = 2500
    typical_steps: ClassVar[int] = 7

    alpha: Positive = 10.0
    tau: Positive = 5e-4
    kappa: Annotated[float, Field(ge=0)] = 0.0
    start: Literal["smoother", "identity"] = "smoother"
    learning_rate: Positive = Field(default=None, validate_default=True)
    max_gradient_norm: Positive = 0.01
    max_iterations: Count = 5000
    lam: Positive = 0.02
    l0_kappa: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    beta_max: Positive = 1e5
    v1: Annotated[float, Field(ge=0, le=100)] = V1
    v2: Positive = V2
    v3: Positive = V3
    literal_sigmoid: bool = False
    guide: bool = False

    @field_validator("learning_rate", mode="before")
    @classmethod
    def _choose_learning_rate(cls, value: object, info: ValidationInfo) -> object:
        learner = LEARNERS.get(info.data.get("start", ""))  # none where the start was refused
        return learner.default_rate if value is None and learner else value

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> list[EdgeFoolState]:
        """Smooth the images, convert them to Lab and start their networks."""
        targets = l0_smooth(images, self.lam, self.l0_kappa, self.beta_max)
        classes, labs, learner = clean_logits(classifier, images).argmax(1), rgb_to_lab(images), self._learner
        return [
            EdgeFoolState(
                image=image,
                original_class=classes[i],
                lab=labs[i],
                target=targets[i],
                weights=learner.start(image, int(seeds[i])),
            )
            for i, image in enumerate(images)
        ]

    @property
    def _learner(self) -> Learner:
        if self.start == "identity":
            return FromIdentity(self.learning_rate, self.max_gradient_norm)
        return FromSmoother(self.learning_rate)

    def step(self, classifier: nn.Module, active: list[EdgeFoolState]) -> None:
        """Judge the images of the networks as they are, then train those networks that are not finished."""
        images = torch.stack([state.image for state in active])
        classes = torch.stack([state.original_class for state in active])
        # A tensor for each network: no gradients are computed for those that are finished.
        parameters = [state.weights.parameters.detach().requires_grad_() for state in active]
        structures = fcnn(torch.stack(parameters), images)
        if self.guide:
            structures = guided_filter(structures, images).clamp(0, 1)
        targets = torch.stack([state.target for state in active])
        smoothing_losses = (structures - targets).square().mean((1, 2, 3))  # Eq. 6 as a mean, which τ needs
        labs = torch.stack([state.lab for state in active])
        enhanced = enhance_lab(labs, structures, self.v1, self.v2, self.v3, literal=self.literal_sigmoid)
        rounded = enhanced + (round_to_8_bits(enhanced) - enhanced).detach()
        logits = classifier(rounded)

        self._keep_the_best(active, enhanced.detach(), structures.detach(), smoothing_losses.detach(), logits.detach())
        unfinished = [index for index, state in enumerate(active) if not state.finished]
        if unfinished:
            adversarial_losses = margin(logits, classes).clamp_min(-self.kappa)
            losses = self.alpha * smoothing_losses + adversarial_losses  # Eq. 5
            gradients = torch.autograd.grad(losses[unfinished].sum(), [parameters[index] for index in unfinished])
            self._learner.learn([active[index].weights for index in unfinished], torch.stack(gradients))
            for index in unfinished:
                active[index].backward_passes += 1

    def _keep_the_best(
        self, active: list[EdgeFoolState], enhanced: Tensor, structures: Tensor, losses: Tensor, logits: Tensor
    ) -> None:
        """Keep the converged iterate, else the misled one of lowest L_s, else the last; mark who is finished."""
        classes = torch.stack([state.original_class for state in active])
        valid = logits.isfinite().all(1) & losses.isfinite()
        misled = valid & (logits.argmax(1) != classes)
        values = torch.stack([losses.double(), valid, misled]).tolist()  # the step's only wait for the device
        for i, (state, loss, is_valid, is_misled) in enumerate(zip(active, *values, strict=True)):
            state.iterations += 1
            state.forward_passes += 1
            state.lost_gradient = not is_valid
            state.converged = bool(is_misled) and loss < self.tau
            state.finished = state.converged or not is_valid or state.iterations >= self.max_iterations
            better = is_misled and (state.converged or not state.misled or loss < state.smoothing_loss)
            if better or (state.finished and not state.misled):
                # Copies, as views would keep the whole batch in memory.
                state.adversarial, state.structure = enhanced[i].clone(), structures[i].clone()
                state.smoothing_loss = loss
            state.misled = state.misled or bool(is_misled)

    def details(self, state: EdgeFoolState) -> dict[str, Tensor]:
        """Return L_s and I_s."""
        loss = torch.tensor([state.smoothing_loss], dtype=torch.float64, device=state.image.device)
        return {"smoothing_loss": loss, "structure": state.structure[None]}
