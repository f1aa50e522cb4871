from dataclasses import dataclass, field

import pytest
import torch

from edgefool.attacks.attack import IterativeAttack, Sample, State, margin
from edgefool.errors import UsageError
from edgefool.images import round_to_8_bits


@dataclass(frozen=True)
class Countdown(IterativeAttack[State]):
    """Finishes an image after as many steps as its seed says, and notes who was in the batch."""

    name = "countdown"
    bytes_per_pixel = 0
    batches: list[list[int]] = field(default_factory=list)

    def begin(self, classifier, images, seeds):
        states = [State(image=image, original_class=torch.tensor(0)) for image in images]
        for state, seed in zip(states, seeds, strict=True):
            state.steps_left = seed
        return states

    def step(self, classifier, active):
        self.batches.append([state.index for state in active])
        assert len({state.image.shape for state in active}) == 1
        for state in active:
            state.iterations += 1
            state.finished = state.iterations == state.steps_left
            state.adversarial = state.image

    def details(self, state):
        return {"index": torch.tensor([state.index])}


def dark_or_bright(images):
    """Two classes, by whether the mean is above a half."""
    score = images.mean((1, 2, 3)) - 0.5
    return torch.stack([-score, score], 1)


def test_finished_images_leave_and_waiting_ones_enter():
    attack = Countdown()
    samples = [Sample(torch.rand(3, 8, 8), seed) for seed in (1, 3, 2, 1)]
    order = [index for index, _ in attack.stream(dark_or_bright, samples, batch_size=2)]
    assert attack.batches == [[0, 1], [1, 2], [1, 2], [3]]
    assert order == [0, 1, 2, 3]


def test_samples_are_taken_only_when_there_is_room():
    taken = []

    def samples():
        for number in range(10):
            taken.append(number)
            yield Sample(torch.rand(3, 8, 8), 1)

    stream = Countdown().stream(dark_or_bright, samples(), batch_size=2)
    next(stream)
    assert len(taken) == 2


def test_the_batch_may_depend_on_the_size():
    attack = Countdown()
    samples = [Sample(torch.rand(3, size, size), 1) for size in (8, 8, 8, 9, 9, 9)]
    list(attack.stream(dark_or_bright, samples, batch_size=lambda shape: 2 if shape[1] == 8 else 3))
    assert attack.batches == [[0, 1], [2], [3, 4, 5]]


def test_images_of_different_sizes_never_share_a_batch():
    attack = Countdown()
    sizes = (8, 8, 9, 9, 8)
    samples = [Sample(torch.rand(3, size, size), 2) for size in sizes]
    finished = {index: result.adversarial.shape[-1] for index, result in attack.stream(dark_or_bright, samples, 4)}
    assert finished == dict(enumerate(sizes))


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
    assert result.details["index"].tolist() == [0, 1, 2, 3, 4]
    assert calls == [(done, 5) for done in range(1, 6)]


@dataclass(frozen=True, kw_only=True)
class Offer(Countdown):
    """Offers a grey image of a given level for each, after one step."""

    levels: list[float]

    def step(self, classifier, active):
        for state in active:
            state.finished, state.adversarial = True, torch.full_like(state.image, self.levels[state.index])


def test_success_is_judged_on_8_bits_and_before():
    levels = [0.5 + 0.2 / 255, 0.6, -3.0, 0.5 + 0.6 / 255, torch.nan]
    result = Offer(levels=levels)(dark_or_bright, torch.zeros(5, 3, 8, 8))
    assert result.success_float.tolist() == [True, True, False, True, False]
    assert result.success.tolist() == [True, True, False, True, False]
    assert result.adversarial_class[:4].tolist() == [1, 1, 0, 1]
    assert result.adversarial[2].eq(0).all()


def test_rounding_can_undo_an_attack():
    result = Offer(levels=[124.49 / 255])(
        lambda images: dark_or_bright(images + 0.5 - 124.47 / 255), torch.zeros(1, 3, 8, 8)
    )
    assert (result.success_float.item(), result.success.item()) == (True, False)


def test_a_seed_for_each_image():
    with pytest.raises(UsageError, match="2 images and 1 seeds"):
        Countdown()(dark_or_bright, torch.rand(2, 3, 8, 8), seeds=[1])


@pytest.mark.parametrize("images", [torch.rand(3, 8, 8), torch.rand(1, 3, 8, 8) + 1, torch.zeros(0, 3, 8, 8)])
def test_the_door_refuses_what_is_not_images(images):
    with pytest.raises(UsageError):
        Countdown()(dark_or_bright, images)


def test_margin_is_eq_8():
    logits = torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]])
    assert margin(logits, torch.tensor([1, 2])).tolist() == [2.0, -2.0]
