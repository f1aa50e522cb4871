from dataclasses import dataclass, field

import pytest
import torch

from edgefool.attacks.active_batch import ActiveBatch, Sample
from edgefool.attacks.state import State
from edgefool.errors import UsageError


@dataclass(kw_only=True)
class CountdownState(State):
    seeds: torch.Tensor


@dataclass(frozen=True)
class Countdown:
    """Finishes an image after as many steps as its seed says, and notes whose steps were taken together."""

    batches: list[list[float]] = field(default_factory=list)

    def begin(self, classifier, images, seeds):
        return CountdownState.start(images, classifier(images).argmax(1), seeds=torch.tensor(seeds))

    def step(self, classifier, state):
        self.batches.append(state.seeds.tolist())
        state.iterations += 1
        state.finished = state.iterations == state.seeds

    def current(self, state):
        return state.images + 0.1 * state.iterations[:, None, None, None]

    def details(self, state):
        return {"seed": state.seeds}


@dataclass(frozen=True)
class Offer(Countdown):
    """Offers a grey image of the level of the seed."""

    def step(self, classifier, state):
        state.adversarial = torch.ones_like(state.images) * state.seeds[:, None, None, None]
        state.finished = ~state.finished


def dark_or_bright(images):
    """Two classes, by whether the mean is above a half."""
    score = images.mean((1, 2, 3)) - 0.5
    return torch.stack([-score, score], 1)


def sample(seed, name=None, size=8):
    return Sample(torch.zeros(3, size, size), seed, name)


SHAPE = torch.Size((3, 8, 8))


def test_current_images_are_seen_between_steps():
    batch = ActiveBatch(Countdown(), dark_or_bright, batch_size=2)
    assert batch.current() == {}
    batch.admit([sample(1, "a"), sample(3, "b")])
    assert set(batch.current()) == {"a", "b"}
    assert not batch.current()["a"].any()
    batch.step()
    (image,) = batch.current().values()
    assert torch.equal(image, torch.full(SHAPE, 26 / 255)), "rounded"
    batch.step()
    batch.step()
    assert batch.current() == {}


def test_finished_images_leave_and_others_are_admitted():
    attack = Countdown()
    batch = ActiveBatch(attack, dark_or_bright, batch_size=2)
    waiting = [sample(1, "a"), sample(3, "b"), sample(2, "c"), sample(1, "d")]
    order = []
    while waiting or len(batch):
        while waiting and batch.room(SHAPE):
            batch.admit([waiting.pop(0)])
        order += [(name, result.iterations.tolist(), result.details["seed"].tolist()) for name, result in batch.step()]
    assert attack.batches == [[1, 3], [3, 2], [3, 2], [1]]
    assert order == [("a", [1], [1]), ("b", [3], [3]), ("c", [2], [2]), ("d", [1], [1])]


def test_an_empty_batch_has_no_step_to_take():
    batch = ActiveBatch(Countdown(), dark_or_bright)
    batch.admit([])
    assert batch.step() == []
    assert len(batch) == 0


def test_there_is_room_for_the_batch_size():
    batch = ActiveBatch(Countdown(), dark_or_bright, batch_size=3)
    assert batch.room(SHAPE) == 3
    batch.admit([sample(1), sample(2)])
    assert (len(batch), batch.room(SHAPE)) == (2, 1)
    batch.step()
    assert (len(batch), batch.room(SHAPE)) == (1, 2)


def test_images_of_another_size_wait_until_the_batch_is_empty():
    batch = ActiveBatch(Countdown(), dark_or_bright, batch_size=3)
    batch.admit([sample(1)])
    assert batch.room(torch.Size((3, 9, 9))) == 0
    batch.step()
    assert batch.room(torch.Size((3, 9, 9))) == 3


def test_the_batch_size_may_depend_on_the_image_size():
    batch = ActiveBatch(Countdown(), dark_or_bright, batch_size=lambda shape: 2 if shape[1] == 8 else 5)
    assert batch.room(SHAPE) == 2
    assert batch.room(torch.Size((3, 9, 9))) == 5


@pytest.mark.parametrize("samples", [[sample(1)] * 3, [sample(1), sample(1, size=9)]])
def test_what_has_no_room_is_refused(samples):
    batch = ActiveBatch(Countdown(), dark_or_bright, batch_size=2)
    with pytest.raises(UsageError, match="no room"):
        batch.admit(samples)
    assert len(batch) == 0


def test_the_door_refuses_what_is_not_images():
    with pytest.raises(UsageError, match="must lie in"):
        ActiveBatch(Countdown(), dark_or_bright).admit([Sample(torch.full(SHAPE, 255.0), 1, None)])


def test_a_batch_has_at_least_one_image():
    with pytest.raises(UsageError, match="at least 1, not 0"):
        ActiveBatch(Countdown(), dark_or_bright, batch_size=0)


def offer(levels, classifier=dark_or_bright):
    """Results for images that end at these grey levels."""
    batch = ActiveBatch(Offer(), classifier)
    batch.admit([sample(level, row) for row, level in enumerate(levels)])
    return [result for _, result in batch.step()]


def test_success_is_judged_on_8_bits_and_before():
    results = offer([0.5 + 0.2 / 255, 0.6, -3.0, 0.5 + 0.6 / 255, torch.nan])
    assert [result.success_float.item() for result in results] == [True, True, False, True, False]
    assert [result.success.item() for result in results] == [True, True, False, True, False]
    assert [result.adversarial_class.item() for result in results[:4]] == [1, 1, 0, 1]
    assert results[2].adversarial.eq(0).all()


def test_rounding_can_undo_an_attack():
    (result,) = offer([124.49 / 255], lambda images: dark_or_bright(images + 0.5 - 124.47 / 255))
    assert (result.success_float.item(), result.success.item()) == (True, False)
