"""A classifier whose borders are planes: what attacks should do to it has a closed form."""

import pytest
import torch
from torch import nn

from edgefool.attacks.tensor_struct import TensorStruct


class Linear(nn.Module):
    """Logits x·w_k + b_k of images with few values."""

    def __init__(self, weights, bias):
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("bias", bias)

    def forward(self, images):
        return images.flatten(1) @ self.weights.to(images.dtype).T + self.bias.to(images.dtype)

    def distances(self, images):
        """L2 distances to the nearest border, (N,)."""
        z = self(images)
        y = z.argmax(1)
        gaps = z.gather(1, y[:, None]) - z
        lengths = (self.weights[None] - self.weights[y][:, None]).norm(dim=2)
        return torch.where(lengths > 0, gaps / lengths, torch.inf).min(1).values


@pytest.fixture
def linear():
    """Return what makes a linear classifier with random weights that puts the border near a grey image."""

    def make(classes=5, size=6, seed=0, scale=1.0):
        generator = torch.Generator().manual_seed(seed)
        weights = scale * torch.randn(classes, 3 * size * size, generator=generator)
        return Linear(weights, -weights.sum(1) / 2)

    return make


@pytest.fixture
def greys():
    """Return what makes images near grey, so that no bound is in the way."""

    def make(count=4, size=6, seed=1, contrast=0.05):
        generator = torch.Generator().manual_seed(seed)
        return 0.5 + contrast * torch.randn(count, 3, size, size, generator=generator).clamp(-3, 3)

    return make


@pytest.fixture
def attack_floats():
    """Return what attacks a batch by hand: images before rounding to 8 bits and the state at the end."""

    def run(attack, classifier, images):
        state = attack.begin(classifier, images, range(len(images)))
        ended = []
        rows = torch.arange(len(images))
        while len(rows):
            attack.step(classifier, state)
            ended.append((rows[state.finished], state.select(state.finished)))
            rows, state = rows[~state.finished], state.select(~state.finished)
        order = torch.cat([finished for finished, _ in ended]).argsort()
        final = TensorStruct.join([part for _, part in ended]).select(order)
        return final.adversarial, final

    return run
