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
from torch.nn.utils.rnn import pad_sequence

from edgefool.attacks.attack import Count, IterativeAttack
from edgefool.attacks.functional import decide
from edgefool.attacks.state import State
from edgefool.classifiers import member_logits

_MAX_GROUP = 8  # trials of an image at a time; more are no faster on a CPU, and on a GPU many images share a batch


@plain_dataclass(kw_only=True)
class SemanticAdvState(State):
    """Images in HSV, their trials, and how many of these were evaluated."""

    hsv: Tensor
    shifts: Tensor  # (N, trials, 2): of hue, in radians, and of saturation
    tried: Tensor  # (N,), int64, on the CPU


@dataclass(frozen=True)
class SemanticAdv(IterativeAttack[SemanticAdvState]):
    """Shift the hue and the saturation of all pixels by the same random amounts until the criterion is met.

    Trial i of n, from 0: H' = H + U(0, 1) turns, S' = S + U(-1, 1) i / n clipped to [0, 1], V' = V. The first trial
    that does is kept. Several are evaluated at a time, with the same outcome.

    Parameters
    ----------
    trials : int
        Maximum number of trials n.

    Examples
    --------
    >>> SemanticAdv().trials
    1000
    """

    name: ClassVar[str] = "semanticadv"
    bytes_per_pixel: ClassVar[int] = 1000
    takes_ensembles: ClassVar[bool] = True
    typical_steps: ClassVar[int] = 20

    trials: Count = 1000

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> SemanticAdvState:
        """Draw all trials of each image from its own seed."""
        return SemanticAdvState.start(
            images,
            decide(classifier, images),
            hsv=rgb_to_hsv(images),
            shifts=torch.stack([self.draw(seed) for seed in seeds]).to(images),
            tried=torch.zeros(len(images), dtype=torch.int64),
        )

    def draw(self, seed: int) -> Tensor:
        """Return the shifts of hue, in radians, and of saturation of all trials, (n, 2)."""
        generator = torch.Generator().manual_seed(int(seed))
        hue, saturation = torch.rand(2, self.trials, generator=generator)
        growing = torch.arange(self.trials) / self.trials
        return torch.stack([2 * math.pi * hue, (2 * saturation - 1) * growing], 1)

    @torch.no_grad()
    def step(self, classifier: nn.Module, state: SemanticAdvState) -> None:
        """Evaluate the next trials of each image, in growing groups, as most images need few."""
        counts = torch.minimum((state.tried + 2).clamp_max(_MAX_GROUP), self.trials - state.tried)
        ends = state.tried + counts
        ranges = zip(state.tried.tolist(), ends.tolist(), strict=True)
        images = torch.cat([shift(state.hsv[row], state.shifts[row, a:b]) for row, (a, b) in enumerate(ranges)])
        rows = torch.arange(len(counts)).repeat_interleave(counts).to(images.device)
        goals = state.goal.select(rows)
        met = goals.is_met(member_logits(classifier, images)).cpu()  # the only wait for the device

        found = pad_sequence(list(torch.split(met, counts.tolist())), batch_first=True)
        converged = found.any(1)
        last = torch.where(converged, found.int().argmax(1), counts - 1)
        state.adversarial = images[counts.cumsum(0) - counts + last]
        state.converged = converged.to(images.device)
        state.iterations += (last + 1).to(images.device)
        state.forward_passes += counts.to(images.device)
        state.tried = ends
        state.finished = converged | (ends == self.trials)


def shift(hsv: Tensor, shifts: Tensor) -> Tensor:
    """Apply each of the shifts (K, 2) to an image (3, H, W), in HSV with H in radians; return RGB, (K, 3, H, W)."""
    by_hue, by_saturation = shifts[:, :, None, None].unbind(1)
    hue = (hsv[0] + by_hue).remainder(2 * math.pi)
    saturation = (hsv[1] + by_saturation).clamp(0, 1)
    rgb: Tensor = hsv_to_rgb(torch.stack([hue, saturation, hsv[2].expand_as(hue)], 1))
    return rgb
