"""Robust EdgeFool: detail enhancement that fools classifiers it never saw and survives JPEG and resizing."""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.aim import Aim, aimed_margins
from edgefool.attacks.attack import AbsentValue, Count, IterativeAttack, Positive
from edgefool.attacks.functional import decide, image_gradient, per_image
from edgefool.attacks.leaky_gradients import LeakyGradients
from edgefool.attacks.state import State
from edgefool.attacks.transforms import RandomTransforms
from edgefool.classifiers import Ensemble, SafeClassifier
from edgefool.filters import DetailEnhancement, EnhancementFilter, face_mask, texture_mask
from edgefool.images import round_to_8_bits

STRENGTHS = {"subtle": 5.0, "natural": 7.0, "vivid": 15.0}
"""Values of v3 by name; the paper's is 15."""

_MILDEST = STRENGTHS["subtle"]
_IN_FACES = 0.3  # of the mask elsewhere; a step moves r by its square
_WITHIN = 0.98  # of τ: L_s stays below it after rounding errors

Share = Annotated[float, Field(gt=0, le=1)]


@plain_dataclass(kw_only=True)
class RobustEdgeFoolState(State):
    """Images, what their filter needs of them, I_g, the mask M, and the change r of the structure with its momentum."""

    seeds: Tensor
    prepared: Tensor
    target: Tensor
    mask: Tensor
    bound: Tensor  # √(0.98 τ'), (N,)
    change: Tensor
    momentum: Tensor
    average: Tensor
    streak: Tensor  # steps in a row that fooled all members


@dataclass(frozen=True)
class RobustEdgeFool(IterativeAttack[RobustEdgeFoolState]):
    """Enhance the details of images so that unseen classifiers change their decision, even after JPEG and resizing.

    The structure is I_s = I_g + r, without a network: r is learned under the paper's bound L_s < τ by steps on random
    transforms T of the enhanced image, redrawn for each member of the ensemble::

        r, g = 0, 0
        for each of max_iterations steps:
            x = Eq. 7 of I_g + move(r, momentum step_size), rounded to 8 bits (the gradient passes straight through)
            d = M ∇_r mean over members m of (margin_m(T_m(x)) + group margin_m(T_m(x))) / 2
            g = momentum g + d / mean |d|
            r = move(r, step_size)
            r̄ = averaging r̄ + (1 - averaging) r

        move(r, s):
            r = r - s b M g / RMS(g), with b = √(0.98 τ')
            r = r b / RMS(r) if RMS(r) > b

    Gradients are taken where the momentum leads (Lin et al., ICLR 2020), and a part of them passes where a ReLU of the
    classifier is off (`edgefool.attacks.leaky_gradients`). The result has r̄ RMS(r) / RMS(r̄) for r: what the last
    steps have in common fools more classifiers than the last step. The group margin is that between the group of the
    class and all other classes, if the aim is the group, else the margin; both are smooth
    (`edgefool.attacks.functional.margin_of_sets`). M says where the photo hides a change
    (`edgefool.filters.texture_mask` with e = min(1, (5 / v3)^1.75): the stronger the enhancement, the less a single
    edge hides).
    τ' = τ min(1, mean M² / min_texture); then M is scaled to mean M² = 1.

    Parameters
    ----------
    strength : float, or "subtle" (5), "natural" (7) or "vivid" (15)
        v3 of Eq. 7: how much details are enhanced, and how much a change of the structure is seen.
    aim : "group" or "class"
        What the image is to leave: the semantic group of its class, where the classes have groups
        (`edgefool.classifiers.groups_of`), or only the class.
    tau : float
        The bound τ on L_s, in squared units of [0, 1] images.
    mask : "texture" or "none"
        M; without it all pixels may change alike.
    spare_faces : bool
        Whether M falls to 0.3 of itself in faces, where people notice every change, and on skin around them
        (`edgefool.filters.face_mask`). Their details are enhanced like others. The rest is changed as much as if there
        were no faces: τ' is multiplied by the new mean M².
    min_texture : float
        The mean square of M that lets L_s reach τ: a photo that hides less is changed less.
    max_iterations : int
        Number of steps.
    patience : int
        Stop an image once all members, each with its own transform, are where the aim wants them for this many steps in
        a row; 0: take all steps.
    step_size : float
        In units of √(0.98 τ').
    momentum : float
        Share of the earlier gradients that a step keeps (Dong et al., CVPR 2018).
    temperature : float
        Of the smooth margins; 0: only the largest logits count.
    relu_slope : float
        Share of the gradient that passes where a ReLU is off; 0: none. TorchScript networks always pass none.
    averaging : float
        Share of the earlier changes that the mean of the changes keeps; 0: only the last change counts.
    transform_probability : float
        Of shrinking, of a crop, of a lower resolution and of a lower brightness, for each image, member and step.
    min_size, min_crop : float
        The smallest share of its sides to which an image is shrunk, and that a crop of it keeps.
    min_resolution : float
        The smallest share of its sides to which an image is shrunk and from which it is enlarged again.
    min_brightness : float
        The smallest factor.
    blocks : int
        Each side of an image is cut into so many blocks, which are shuffled; 1: none.
    flip_probability : float
        Of a mirror image.

    Examples
    --------
    >>> RobustEdgeFool(strength="subtle").strength
    5.0
    """

    name: ClassVar[str] = "robust-edgefool"
    bytes_per_pixel: ClassVar[int] = 600
    takes_ensembles: ClassVar[bool] = True
    takes_targets: ClassVar[bool] = True
    typical_steps: ClassVar[int] = 30

    strength: Positive = STRENGTHS["natural"]
    aim: Aim = "group"
    tau: Positive = 5e-4
    mask: Literal["texture", "none"] = "texture"
    spare_faces: Annotated[bool, AbsentValue(False)] = False
    min_texture: Share = 0.2
    max_iterations: Count = 30
    patience: Annotated[int, Field(ge=0)] = 0
    step_size: Positive = 0.2
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    temperature: Annotated[float, Field(ge=0)] = 0.5
    relu_slope: Annotated[float, Field(ge=0, lt=1)] = 0.1
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.8
    transform_probability: Annotated[float, Field(ge=0, le=1)] = 0.7
    min_size: Share = 0.7
    min_crop: Share = 0.67
    min_resolution: Share = 0.45
    min_brightness: Share = 0.3
    blocks: Count = 2
    flip_probability: Annotated[float, Field(ge=0, le=1)] = 0.5

    @field_validator("strength", mode="before")
    @classmethod
    def _look_up_strength(cls, value: object) -> object:
        return STRENGTHS.get(value, value) if isinstance(value, str) else value

    @property
    def enhancement(self) -> EnhancementFilter:
        """The filter."""
        return DetailEnhancement(v3=self.strength)

    @property
    def transforms(self) -> RandomTransforms:
        """What each member sees."""
        return RandomTransforms(
            self.transform_probability,
            self.min_size,
            self.min_crop,
            self.min_resolution,
            self.min_brightness,
            self.blocks,
            self.flip_probability,
        )

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> RobustEdgeFoolState:
        """Smooth the images and find where they hide changes."""
        target = self.enhancement.smooth(images)
        mask = self._mask(images, target)
        room = mask.square().mean((1, 2, 3))
        mask, tau = mask / per_image(room.sqrt()), self.tau * (room / self.min_texture).clamp(max=1)
        if self.spare_faces:
            mask = mask * (1 - (1 - _IN_FACES) * face_mask(images))
            tau = tau * mask.square().mean((1, 2, 3))
        return RobustEdgeFoolState.start(
            images,
            decide(classifier, images),
            seeds=torch.tensor([int(seed) for seed in seeds]),
            prepared=self.enhancement.prepare(images),
            target=target,
            mask=mask,
            bound=(_WITHIN * tau).sqrt(),
            change=torch.zeros_like(images),
            momentum=torch.zeros_like(images),
            average=torch.zeros_like(images),
            streak=torch.zeros(len(images), dtype=torch.int64, device=images.device),
        )

    def _mask(self, images: Tensor, target: Tensor) -> Tensor:
        if self.mask == "none":
            return torch.ones_like(images[:, :1])
        return texture_mask(images, target, edges=min(1.0, (_MILDEST / self.strength) ** 1.75))

    def step(self, classifier: nn.Module, state: RobustEdgeFoolState) -> None:
        """Take one step with each image."""
        change = self._move(state, self.momentum * self.step_size).requires_grad_()
        enhanced = self.enhancement.enhance(state.prepared, state.target + change)
        rounded = enhanced + (round_to_8_bits(enhanced) - enhanced).detach()
        with LeakyGradients(self.relu_slope):
            logits = self._transformed_logits(classifier, rounded, state)
        margins = aimed_margins(self.aim, classifier, logits, state.goal, self.temperature)
        margins = margins + state.goal.margins(logits, self.temperature)
        gradient = image_gradient(margins.mean(1) / 2, change)
        self._follow(state, gradient.values)

        state.note(gradient)
        state.forward_passes += 1
        state.iterations += 1
        fooled = (aimed_margins(self.aim, classifier, logits, state.goal) < 0).all(1)
        state.streak = torch.where(fooled, state.streak + 1, 0)
        state.converged = (state.streak >= self.patience) if self.patience else state.iterations == self.max_iterations
        finished = state.converged | state.stuck | (state.iterations == self.max_iterations)
        state.finished = finished.cpu()
        if state.finished.any():
            with torch.no_grad():
                state.adversarial = self.current(state)

    def _transformed_logits(
        self, classifier: nn.Module, images: Tensor, state: RobustEdgeFoolState
    ) -> tuple[Tensor, ...]:
        """Return each member's logits of its own random transforms of the images."""
        members = classifier.members if isinstance(classifier, Ensemble) else [classifier]
        keys = list(zip(state.seeds.tolist(), state.iterations.tolist(), strict=True))
        return tuple(self._logits(member, images, [(*key, m) for key in keys]) for m, member in enumerate(members))

    def _logits(self, member: nn.Module, images: Tensor, keys: Sequence[tuple[int, ...]]) -> Tensor:
        """Return the logits of transformed images, which are never larger than the member resizes them to."""
        if isinstance(member, SafeClassifier) and (resizing := member.resize_matrices(images)):
            return member.classify_resized(self.transforms(images, keys, resizing))
        logits: Tensor = member(self.transforms(images, keys))
        return logits

    def _follow(self, state: RobustEdgeFoolState, gradients: Tensor) -> None:
        """Take the step of these gradients."""
        directions, tiny = gradients * state.mask, torch.finfo(gradients.dtype).tiny
        size = directions.abs().mean((1, 2, 3)).clamp_min(tiny)
        state.momentum = self.momentum * state.momentum + directions / per_image(size)
        state.change = self._move(state, self.step_size)
        state.average = self.averaging * state.average + (1 - self.averaging) * state.change

    def _move(self, state: RobustEdgeFoolState, size: float) -> Tensor:
        """Return r after a step along the momentum, scaled to its bound."""
        bound, tiny = per_image(state.bound), torch.finfo(state.change.dtype).tiny
        steps = state.mask * state.momentum / per_image(_rms(state.momentum).clamp_min(tiny))
        change = state.change - size * bound * steps
        return change * (bound / per_image(_rms(change).clamp_min(tiny))).clamp(max=1)

    def _structure(self, state: RobustEdgeFoolState) -> Tensor:
        """Return I_s: I_g and the mean of the last changes, as large as the last one."""
        size, tiny = _rms(state.average), torch.finfo(state.average.dtype).tiny
        return state.target + state.average * per_image(_rms(state.change) / size.clamp_min(tiny))

    def current(self, state: RobustEdgeFoolState) -> Tensor:
        """Return the enhanced images with I_s as it is now; the state holds the final ones only."""
        return self.enhancement.enhance(state.prepared, self._structure(state))

    def details(self, state: RobustEdgeFoolState) -> dict[str, Tensor]:
        """Return L_s, I_s and the mask."""
        structure = self._structure(state)
        return {
            "smoothing_loss": (structure - state.target).double().square().mean((1, 2, 3)),
            "structure": structure,
            "mask": state.mask,
        }


def _rms(images: Tensor) -> Tensor:
    """Return the root mean square of each image: (N, C, H, W) to (N,)."""
    return images.square().mean((1, 2, 3)).sqrt()
