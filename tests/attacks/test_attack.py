import pytest
import torch

from edgefool.attacks.attack import AttackResult, IterativeAttack, Sample, State, margin
from edgefool.errors import UsageError


class Countdown(IterativeAttack[State]):
    """Finishes an image after as many steps as its seed says, and notes who was in the batch."""

    name = "countdown"
    bytes_per_pixel = 0

    def __init__(self):
        self.batches = []

    def begin(self, classifier, images, seeds):
        states = [State(image, torch.tensor(0)) for image in images]
        for state, seed in zip(states, seeds, strict=True):
            state.steps_left = seed
        return states

    def step(self, classifier, active):
        self.batches.append([state.index for state in active])
        assert len({state.image.shape for state in active}) == 1
        for state in active:
            state.iterations += 1
            state.finished = state.iterations == state.steps_left

    def finish(self, classifier, state):
        def one(value):
            return torch.tensor([value])

        flags = [one(True)] * 3
        counts = [one(state.iterations), one(1), one(1), one(state.seconds)]
        return AttackResult(state.image[None], one(0), one(1), *flags, *counts, details={"index": one(state.index)})


def test_finished_images_leave_and_waiting_ones_enter():
    attack = Countdown()
    samples = [Sample(torch.rand(3, 8, 8), seed) for seed in (1, 3, 2, 1)]
    order = [index for index, _ in attack.stream(None, samples, batch_size=2)]
    assert attack.batches == [[0, 1], [1, 2], [1, 2], [3]]
    assert order == [0, 1, 2, 3]


def test_samples_are_taken_only_when_there_is_room():
    taken = []

    def samples():
        for number in range(10):
            taken.append(number)
            yield Sample(torch.rand(3, 8, 8), 1)

    stream = Countdown().stream(None, samples(), batch_size=2)
    next(stream)
    assert len(taken) == 2


def test_images_of_different_sizes_never_share_a_batch():
    attack = Countdown()
    sizes = (8, 8, 9, 9, 8)
    samples = [Sample(torch.rand(3, size, size), 2) for size in sizes]
    finished = {index: result.adversarial.shape[-1] for index, result in attack.stream(None, samples, 4)}
    assert finished == dict(enumerate(sizes))


def test_results_come_in_the_order_of_the_images():
    images = torch.rand(5, 3, 8, 8)
    calls = []
    result = Countdown()(
        None, images, seeds=[5, 1, 4, 2, 3], batch_size=3, progress=lambda done, total: calls.append((done, total))
    )
    assert torch.equal(result.adversarial, images)
    assert result.iterations.tolist() == [5, 1, 4, 2, 3]
    assert result.details["index"].tolist() == [0, 1, 2, 3, 4]
    assert calls == [(done, 5) for done in range(1, 6)]


def test_a_seed_for_each_image():
    with pytest.raises(UsageError, match="2 images and 1 seeds"):
        Countdown()(None, torch.rand(2, 3, 8, 8), seeds=[1])


@pytest.mark.parametrize("images", [torch.rand(3, 8, 8), torch.rand(1, 3, 8, 8) + 1, torch.zeros(0, 3, 8, 8)])
def test_the_door_refuses_what_is_not_images(images):
    with pytest.raises(UsageError):
        Countdown()(None, images)


def test_margin_is_eq_8():
    logits = torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]])
    assert margin(logits, torch.tensor([1, 2])).tolist() == [2.0, -2.0]
