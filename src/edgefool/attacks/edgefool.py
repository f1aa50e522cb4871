"""EdgeFool: an adversarial image enhancement filter (Shamsabadi, Oh and Cavallaro, ICASSP 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar, Literal

import torch
from kornia.color import rgb_to_lab
from pydantic import Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import AttackResult, IterativeAttack, State, margin, predict
from edgefool.attacks.learner import FromIdentity, FromSmoother, Learner
from edgefool.filters.detail_enhancement import V1, V2, V3, enhance_lab
from edgefool.filters.fcnn import fcnn
from edgefool.filters.guided_filter import guided_filter
from edgefool.filters.l0_smoothing import l0_smooth
from edgefool.images import round_to_8_bits

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LEARNERS: dict[str, type[Learner]] = {"smoother": FromSmoother, "identity": FromIdentity}


@plain_dataclass
class Iterate:
    """An adversarial image on the way: what is kept of the best one."""

    enhanced: Tensor
    rounded: Tensor
    structure: Tensor
    smoothing_loss: float
    adversarial_class: Tensor


@plain_dataclass(kw_only=True)
class EdgeFoolState(State):
    """An image, its target I_g, its network and the best iterate so far."""

    lab: Tensor
    target: Tensor
    learner: Learner
    best: Iterate | None = None
    last: Iterate | None = None
    converged: bool = False


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

    alpha: Positive = 10.0
    tau: Positive = 5e-4
    kappa: Annotated[float, Field(ge=0)] = 0.0
    start: Literal["smoother", "identity"] = "smoother"
    learning_rate: Positive = Field(default=None, validate_default=True)
    max_gradient_norm: Positive = 0.01
    max_iterations: Annotated[int, Field(ge=1)] = 5000
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
        labs = rgb_to_lab(images)
        return [
            EdgeFoolState(image, y, lab=lab, target=target, learner=self._learner(image, int(seed)))
            for image, lab, target, y, seed in zip(
                images, labs, targets, predict(classifier, images), seeds, strict=True
            )
        ]

    def _learner(self, image: Tensor, seed: int) -> Learner:
        if self.start == "identity":
            return FromIdentity(image, seed, self.learning_rate, self.max_gradient_norm)
        return FromSmoother(image, self.learning_rate)

    def step(self, classifier: nn.Module, active: list[EdgeFoolState]) -> None:
        """Judge the images of the networks as they are, then train those networks that are not finished."""
        images = torch.stack([state.image for state in active])
        classes = torch.stack([state.original_class for state in active])
        structures = fcnn(torch.stack([state.learner.parameters for state in active]), images)
        if self.guide:
            structures = guided_filter(structures, images).clamp(0, 1)
        targets = torch.stack([state.target for state in active])
        smoothing_losses = (structures - targets).square().mean((1, 2, 3))  # Eq. 6 as a mean, which τ needs
        labs = torch.stack([state.lab for state in active])
        enhanced = enhance_lab(labs, structures, self.v1, self.v2, self.v3, literal=self.literal_sigmoid)
        rounded = enhanced + (round_to_8_bits(enhanced) - enhanced).detach()
        logits = classifier(rounded)

        self._judge(active, enhanced, structures, smoothing_losses, logits)
        unfinished = [index for index, state in enumerate(active) if not state.finished]
        if unfinished:
            adversarial_losses = margin(logits, classes).clamp_min(-self.kappa)
            losses = self.alpha * smoothing_losses + adversarial_losses  # Eq. 5
            parameters = [active[index].learner.parameters for index in unfinished]
            gradients = torch.autograd.grad(losses[unfinished].sum(), parameters)
            for index, gradient in zip(unfinished, gradients, strict=True):
                active[index].learner.learn(gradient)
                active[index].backward_passes += 1

    def _judge(
        self, active: list[EdgeFoolState], enhanced: Tensor, structures: Tensor, losses: Tensor, logits: Tensor
    ) -> None:
        predicted, valid = logits.argmax(1), (logits.isfinite().all(1) & losses.isfinite()).tolist()
        rounded = round_to_8_bits(enhanced.detach())
        for i, (state, loss) in enumerate(zip(active, losses.tolist(), strict=True)):
            state.iterations += 1
            state.forward_passes += 1
            misled = valid[i] and bool(predicted[i] != state.original_class)
            state.converged = misled and loss < self.tau
            diverged = not valid[i]
            state.finished = state.converged or diverged or state.iterations >= self.max_iterations
            better = misled and (state.converged or state.best is None or loss < state.best.smoothing_loss)
            if better or state.finished:
                iterate = Iterate(_copy(enhanced[i]), _copy(rounded[i]), _copy(structures[i]), loss, predicted[i])
                state.best = iterate if better else state.best
                state.last = iterate

    @torch.no_grad()
    def finish(self, classifier: nn.Module, state: EdgeFoolState) -> AttackResult:
        """Return the converged iterate, else the misled one of lowest L_s, else the last."""
        iterate = state.best or state.last
        if iterate is None:
            raise RuntimeError("finish was called before step")
        device = state.image.device
        float_class = classifier(iterate.enhanced[None]).argmax(1)

        def one(value: float, dtype: torch.dtype) -> Tensor:
            return torch.tensor([value], dtype=dtype, device=device)

        return AttackResult(
            adversarial=iterate.rounded[None],
            original_class=state.original_class[None],
            adversarial_class=iterate.adversarial_class[None],
            success=one(state.best is not None, torch.bool),
            success_float=float_class != state.original_class,
            converged=one(state.converged, torch.bool),
            iterations=one(state.iterations, torch.int64),
            forward_passes=one(state.forward_passes + 1, torch.int64),
            backward_passes=one(state.backward_passes, torch.int64),
            seconds=one(state.seconds, torch.float64),
            details={
                "smoothing_loss": one(iterate.smoothing_loss, torch.float64),
                "structure": iterate.structure[None],
            },
        )


def _copy(image: Tensor) -> Tensor:
    """Take one image out of a batch, so that it does not keep the batch in memory."""
    return image.detach().clone()
