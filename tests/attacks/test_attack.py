from dataclasses import dataclass

import pytest
import torch

from edgefool.attacks.attack import IterativeAttack
from edgefool.attacks.state import State
from edgefool.errors import UsageError
from edgefool.images import round_to_8_bits


@dataclass(kw_only=True)
class CountdownState(State):
    steps_left: torch.Tensor


@dataclass(frozen=True)
class Countdown(IterativeAttack[CountdownState]):
    """Finishes an image after as many steps as its seed says."""

    name = "countdown"

    def begin(self, classifier, images, seeds):
        return CountdownState.start(images, classifier(images).argmax(1), steps_left=torch.tensor(seeds))

    def step(self, classifier, state):
        state.iterations += 1
        state.finished = state.iterations == state.steps_left

    def details(self, state):
        return {"brightness": state.images.mean((1, 2, 3))}


def dark_or_bright(images):
    """Two classes, by whether the mean is above a half."""
    score = images.mean((1, 2, 3)) - 0.5
    return torch.stack([-score, score], 1)


def test_results_come_in_the_order_of_the_images():
    images = round_to_8_bits(torch.rand(5, 3, 8, 8))
    calls = []
    result = Countdown()(
        dark_or_bright,
        images,
        seeds=[5, 1, 4, 2, 3],
        batch_size=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert torch.equal(result.adversarial, images)
    assert result.iterations.tolist() == [5, 1, 4, 2, 3]
    torch.testing.assert_close(result.details["brightness"], images.mean((1, 2, 3)))
    assert calls == [(done, 5) for done in range(1, 6)]


def test_a_seed_for_each_image():
    with pytest.raises(UsageError, match="2 images and 1 seeds"):
        Countdown()(dark_or_bright, torch.rand(2, 3, 8, 8), seeds=[1])


@pytest.mark.parametrize("images", [torch.rand(3, 8, 8), torch.rand(1, 3, 8, 8) + 1, torch.zeros(0, 3, 8, 8)])
def test_the_door_refuses_what_is_not_images(images):
    with pytest.raises(UsageError):
        Countdown()(dark_or_bright, images)
