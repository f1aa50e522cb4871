"""SemanticAdv: random shifts of hue and saturation (Hosseini and Poovendran, CVPR workshops 2018).

https://arxiv.org/abs/1804.00499; the authors' code: https://github.com/HosseinHosseini/Semantic-Adversarial-Examples
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import ClassVar

import torch
from kornia.color import hsv_to_rgb, rgb_to_hsv
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from edgefool.attacks.attack import Count, IterativeAttack, State, clean_logits

_MOST_AT_A_TIME = 8  # more are no faster on a CPU, and on a GPU many images share a batch


@plain_dataclass(kw_only=True)
class SemanticAdvState(State):
    """An image in HSV, its trials, and how many of them come next."""

    hsv: Tensor
    shifts: Tensor  # (trials, 2): of hue, in radians, and of saturation
    at_a_time: int = 2


@dataclass(frozen=True)
class SemanticAdv(IterativeAttack[SemanticAdvState]):
    """Shift the hue and the saturation of all pixels by the same random amounts until the class changes.

    Trial i of n, from 0: H' = H + U(0, 1) turns, S' = S + U(-1, 1) i / n clipped to [0, 1], V' = V. The first trial
    that misleads is kept. Many are evaluated at a time, with the same outcome.

    Parameters
    ----------
    trials : int
        n.

    Examples
    --------
    >>> SemanticAdv().trials
    1000
    """

    name: ClassVar[str] = "semanticadv"
    bytes_per_pixel: ClassVar[int] = 1000
    typical_steps: ClassVar[int] = 20

    trials: Count = 1000

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> list[SemanticAdvState]:
        """Draw all trials of each image from its own seed."""
        classes, hsv = clean_logits(classifier, images).argmax(1), rgb_to_hsv(images)
        return [
            SemanticAdvState(image=image, original_class=classes[i], hsv=hsv[i], shifts=self.draw(seed).to(image))
            for i, (image, seed) in enumerate(zip(images, seeds, strict=True))
        ]

    def draw(self, seed: int) -> Tensor:
        """Return the shifts of hue, in radians, and of saturation of all trials, (n, 2)."""
        generator = torch.Generator().manual_seed(int(seed))
        hue, saturation = torch.rand(2, self.trials, generator=generator)
        growing = torch.arange(self.trials) / self.trials
        return torch.stack([2 * math.pi * hue, (2 * saturation - 1) * growing], 1)

    @torch.no_grad()
    def step(self, classifier: nn.Module, active: list[SemanticAdvState]) -> None:
        """Evaluate the next trials of each image: twice as many each time, as most are misled early."""
        tried = [
            shift(state.hsv, state.shifts[state.iterations : state.iterations + state.at_a_time]) for state in active
        ]
        logits = classifier(torch.cat(tried))
        for state, images, z in zip(active, tried, logits.split([len(images) for images in tried]), strict=True):
            misled = (z.argmax(1) != state.original_class) & z.isfinite().all(1)
            state.forward_passes += len(images)
            state.converged = bool(misled.any())
            first = int(misled.int().argmax()) if state.converged else len(images) - 1
            state.iterations += first + 1
            state.adversarial = images[first].clone()
            state.finished = state.converged or state.iterations == self.trials
            state.at_a_time = min(2 * state.at_a_time, _MOST_AT_A_TIME)


def shift(hsv: Tensor, shifts: Tensor) -> Tensor:
    """Return an image (3, H, W), in HSV with H in radians, in RGB with each of the shifts (K, 2): (K, 3, H, W)."""
    by_hue, by_saturation = shifts[:, :, None, None].unbind(1)
    hue = (hsv[0] + by_hue).remainder(2 * math.pi)
    saturation = (hsv[1] + by_saturation).clamp(0, 1)
    rgb: Tensor = hsv_to_rgb(torch.stack([hue, saturation, hsv[2].expand_as(hue)], 1))
    return rgb
