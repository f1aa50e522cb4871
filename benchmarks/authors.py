"""The authors' procedure, from torch's own layers: the yardstick of `benchmarks.edgefool`.

One image at a time: a network from identity kernels and a Xavier last layer, Adam at 1e-3, gradients clipped to 0.01,
hinge loss, and the paper's stopping rule, judged on the 8-bit image as ours is. Left out is what would only slow it
down further: anomaly detection, reading the classifier again for each image, writing every misled iterate to a file.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefool.filters import enhance_details, l0_smooth
from edgefool.images import round_to_8_bits

ALPHA, TAU = 10.0, 5e-4


class AdaptiveNorm(nn.Module):
    """w0 · x + w1 · norm(x)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.w0, self.w1 = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(maps, momentum=0.999, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise with the statistics of this image."""
        y: Tensor = self.w0 * x + self.w1 * self.norm(x)
        return y


def network() -> nn.Sequential:
    """Return the eight convolutions of Sec. 3 as the authors start them."""
    layers: list[nn.Module] = []
    for index, dilation in enumerate((1, 2, 4, 8, 16, 32, 1)):
        convolution = nn.Conv2d(24 if index else 3, 24, 3, padding=dilation, dilation=dilation, bias=False)
        nn.init.dirac_(convolution.weight)
        layers += [convolution, AdaptiveNorm(24), nn.LeakyReLU(0.2)]
    last = nn.Conv2d(24, 3, 1)
    nn.init.xavier_uniform_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers, last)


@dataclass(frozen=True)
class Outcome:
    """What became of an image."""

    misled: bool
    converged: bool
    iterations: int


def attack(classifier: nn.Module, image: Tensor, seed: int, max_iterations: int) -> Outcome:
    """Train a network for one image (1, 3, H, W)."""
    torch.manual_seed(seed)
    net = network().to(image.device)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    target = l0_smooth(image)
    with torch.no_grad():
        original = classifier(image).argmax(1)
    misled = False
    for iteration in range(1, max_iterations + 1):
        structure = net(image)
        smoothing_loss = F.mse_loss(structure, target)
        enhanced = enhance_details(image, structure)
        rounded = enhanced + (round_to_8_bits(enhanced) - enhanced).detach()
        logits = classifier(rounded)
        if (logits.argmax(1) != original).item():
            misled = True
            if smoothing_loss.item() < TAU:
                return Outcome(misled, True, iteration)
        own = logits.gather(1, original[:, None])
        others = logits.scatter(1, original[:, None], -torch.inf)
        hinge = (own[:, 0] - others.max(1).values).clamp_min(0)
        optimiser.zero_grad()
        torch.autograd.backward(ALPHA * smoothing_loss + hinge.sum())
        nn.utils.clip_grad_norm_(net.parameters(), 0.01)
        optimiser.step()
    return Outcome(misled, False, max_iterations)
