import dataclasses
import math

import pytest
import torch
from pydantic import ValidationError
from skimage import data
from torch import nn
from torch.nn import functional as F

from edgefool.attacks import EdgeFool
from edgefool.attacks.functional import margin
from edgefool.classifiers import load_classifier
from edgefool.errors import UsageError
from edgefool.filters import enhance_details, fcnn, identity_parameters, l0_smooth, smoother_parameters
from edgefool.images import read_image, resize_image, round_to_8_bits


def photos(count, size=32):
    """Crops of scikit-image's cat, (N, 3, size, size) on the 8-bit grid."""
    cat = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None].float() / 255
    corners = [(40 + 13 * index, 60 + 29 * index) for index in range(count)]
    crops = [cat[..., y : y + 160, x : x + 160] for y, x in corners]
    return round_to_8_bits(torch.cat([F.interpolate(crop, (size, size), mode="bilinear") for crop in crops]))


class Linear(nn.Module):
    """Two classes, decided by the contrast of a checkerboard: what detail enhancement changes most."""

    def __init__(self, size=32, threshold=0.0):
        super().__init__()
        board = torch.ones(size, size)
        board[::2, ::2] = board[1::2, 1::2] = -1
        self.register_buffer("board", board)
        self.threshold = threshold

    def forward(self, images):
        score = 100 * (images.mean(1) * self.board).mean((1, 2)) - self.threshold
        return torch.stack([score, -score], 1)


QUICK = EdgeFool(tau=0.05, learning_rate=5e-3, max_iterations=400)


def test_defaults_are_the_papers():
    attack = EdgeFool()
    assert (attack.alpha, attack.tau, attack.lam, attack.l0_kappa, attack.beta_max) == (10, 5e-4, 0.02, 2, 1e5)
    assert (attack.v1, attack.v2, attack.v3, attack.kappa, attack.literal_sigmoid) == (56, 1, 15, 0, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.alpha = 1


@pytest.mark.parametrize(
    "bad", [{"alpha": 0}, {"tau": -1}, {"max_iterations": 0}, {"l0_kappa": 1}, {"v1": 101}, {"alpha": math.nan}]
)
def test_refuses_values_out_of_range(bad):
    with pytest.raises(ValidationError):
        EdgeFool(**bad)


def test_the_learning_rate_follows_the_start():
    assert EdgeFool().learning_rate == 2e-3
    assert EdgeFool(start="identity").learning_rate == 1e-3
    assert EdgeFool(learning_rate=0.5).learning_rate == 0.5
    with pytest.raises(ValidationError, match="start"):
        EdgeFool(start="middle")


@pytest.mark.parametrize(
    ("start", "expected"), [("smoother", smoother_parameters()), ("identity", identity_parameters(3))]
)
def test_networks_start_where_they_should(start, expected):
    state = EdgeFool(start=start).begin(Linear(), photos(1), [3])
    assert torch.equal(state.weights.parameters[0], expected)


@pytest.mark.parametrize("attack", [QUICK, dataclasses.replace(QUICK, start="identity")])
def test_fools_a_linear_classifier(attack):
    images, classifier = photos(3), Linear()
    result = attack(classifier, images)
    assert result.success.all()
    assert result.converged.all()
    assert (result.details["smoothing_loss"] < QUICK.tau).all()
    assert torch.equal(classifier(result.adversarial).argmax(1), result.adversarial_class)
    assert (result.adversarial_class != result.original_class).all()


def test_result_is_the_papers_equations():
    images, classifier = photos(2), Linear()
    result = QUICK(classifier, images)
    structure = result.details["structure"]
    assert torch.equal(result.adversarial, round_to_8_bits(enhance_details(images, structure)))
    losses = (structure - l0_smooth(images)).square().mean((1, 2, 3))
    torch.testing.assert_close(result.details["smoothing_loss"].float(), losses, atol=1e-6, rtol=1e-4)


def test_steps_are_those_of_torchs_adam_on_eq_5():
    images, classifier = photos(1), Linear()
    attack = EdgeFool(start="identity", max_iterations=100)
    state = attack.begin(classifier, images, [5])
    reference = nn.Parameter(identity_parameters(5))
    adam = torch.optim.Adam([reference], lr=1e-3)
    is_round_off = torch.zeros_like(reference, dtype=torch.bool)
    for _ in range(4):
        attack.step(classifier, state)
        structure = fcnn(reference[None], images)
        enhanced = enhance_details(images, structure)
        logits = classifier(enhanced + (round_to_8_bits(enhanced) - enhanced).detach())
        y = classifier(images).argmax(1)
        loss = 10 * F.mse_loss(structure, l0_smooth(images)) + margin(logits, y).clamp_min(0).sum()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([reference], 0.01)
        adam.step()
        size = reference.grad.abs()
        is_round_off |= (size > 0) & (size < 1e-5 * size.max())  # Adam makes steps of any size of it
    assert is_round_off.float().mean() < 1 / 3
    torch.testing.assert_close(state.weights.parameters[0][~is_round_off], reference[~is_round_off], atol=1e-5, rtol=0)


def test_other_images_in_the_batch_change_nothing():
    images, classifier = photos(4), Linear()
    attack = EdgeFool(tau=1e-9, max_iterations=4)
    together = attack(classifier, images, batch_size=4).details["structure"]
    alone = torch.cat([attack(classifier, images[i : i + 1], seeds=[i]).details["structure"] for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    others = torch.cat([images[:1], photos(5)[2:].flip(0)])
    replaced = attack(classifier, others, batch_size=4).details["structure"]
    assert torch.equal(replaced[0], together[0])


def test_a_classifier_that_cannot_be_fooled_is_a_failure():
    result = EdgeFool(max_iterations=3)(Linear(threshold=1e6), photos(1))
    assert not result.success.any()
    assert not result.converged.any()
    assert torch.equal(result.adversarial_class, result.original_class)
    assert result.iterations.tolist() == [3]


def test_above_tau_it_keeps_the_iterate_of_lowest_smoothing_loss():
    images, classifier = photos(1), Linear()
    attack = EdgeFool(tau=1e-12, max_iterations=15)
    state = attack.begin(classifier, images, [0])
    fooling = []
    while not state.finished:
        before = state.weights.parameters.clone()
        attack.step(classifier, state)
        structure = fcnn(before, images)
        enhanced = round_to_8_bits(enhance_details(images, structure))
        if classifier(enhanced).argmax(1) != state.original_class:
            fooling.append(F.mse_loss(structure, l0_smooth(images)).item())
    assert fooling, "the test needs an iterate that fools the classifier"
    assert not state.converged
    assert state.smoothing_loss.item() == pytest.approx(min(fooling), rel=1e-4)
    result = attack(classifier, images)
    assert result.success
    assert result.details["smoothing_loss"].item() == pytest.approx(min(fooling), rel=1e-4)


def test_counts_passes():
    class Counting(Linear):
        calls = 0

        def forward(self, images):
            self.calls += len(images)
            return super().forward(images)

    classifier = Counting(threshold=1e6)
    result = EdgeFool(max_iterations=5)(classifier, photos(2))
    assert result.forward_passes.sum() == classifier.calls == 2 * (1 + 5 + 2)
    assert result.backward_passes.tolist() == [4, 4]


def test_seconds_add_up():
    import time

    start = time.perf_counter()
    result = EdgeFool(max_iterations=5)(Linear(threshold=1e6), photos(3))
    assert 0 < result.seconds.sum() <= time.perf_counter() - start


def test_same_seed_same_result():
    images, classifier = photos(1), Linear()
    attack = EdgeFool(start="identity", max_iterations=3)
    first, second, other = (attack(classifier, images, seeds=[seed]).adversarial for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_where_memory_is_short_it_is_saved_and_the_result_is_the_same(monkeypatch):
    images, attack = photos(2), EdgeFool(tau=1e-9, max_iterations=4)
    plenty = attack(Linear(), images)
    assert not attack.begin(Linear(), images, [0, 1]).saves_memory.any()
    monkeypatch.setattr("edgefool.attacks.edgefool.free_memory", lambda device: 2 * 32 * 32 * 2000)
    assert attack.begin(Linear(), images, [0, 1]).saves_memory.all()
    short = attack(Linear(), images)
    assert torch.equal(short.adversarial, plenty.adversarial)
    assert torch.equal(short.details["smoothing_loss"], plenty.details["smoothing_loss"])


@pytest.mark.parametrize("options", [{"guide": True}, {"literal_sigmoid": True}])
def test_other_readings_give_other_images(options):
    classifier, attack = Linear(threshold=1e6), EdgeFool(max_iterations=3)
    other = dataclasses.replace(attack, **options)
    assert not torch.equal(attack(classifier, photos(1)).adversarial, other(classifier, photos(1)).adversarial)


def test_kappa_decides_how_far_the_margin_is_pushed():
    margins = []
    for kappa in (0.0, math.inf):
        classifier, attack = Linear(), EdgeFool(tau=1e-12, kappa=kappa, max_iterations=20)
        state = attack.begin(classifier, photos(1), [0])
        while not state.finished:
            attack.step(classifier, state)
        rounded = round_to_8_bits(enhance_details(photos(1), fcnn(state.weights.parameters, photos(1))))
        margins.append(margin(classifier(rounded), state.original_class).item())
    assert margins[1] < margins[0] - 1


def test_logits_that_are_not_numbers_are_refused():
    class Broken(nn.Module):
        def forward(self, images):
            return torch.full((len(images), 3), math.nan)

    with pytest.raises(UsageError, match="not finite"):
        EdgeFool()(Broken(), photos(1))


def test_an_attack_that_diverges_stops_and_is_no_success():
    class NumbersRunOut(Linear):
        calls = 0

        def forward(self, images):
            self.calls += 1
            return super().forward(images) * (math.nan if self.calls > 3 else 1.0)

    result = EdgeFool()(NumbersRunOut(threshold=1e6), photos(1))
    assert result.iterations.tolist() == [3]
    assert not result.success.any()


@pytest.mark.slow
def test_other_images_in_the_batch_change_nothing_on_a_resnet(shared):
    classifier = load_classifier("resnet18", weights=shared / "classifiers" / "resnet18.safetensors")
    paths = sorted((shared / "images" / "nips2017").glob("*.png"))[:15]
    images = torch.stack([resize_image(read_image(path), 224) for path in paths])
    attack = EdgeFool(tau=1e-9, max_iterations=20)
    together = attack(classifier, images[:8], batch_size=8)
    alone = [attack(classifier, images[i : i + 1], seeds=[i]).details["structure"] for i in (0, 5)]
    torch.testing.assert_close(together.details["structure"][[0, 5]], torch.cat(alone), atol=1e-4, rtol=0)
    replaced = attack(classifier, torch.cat([images[:1], images[8:15]]), batch_size=8)
    assert torch.equal(replaced.details["structure"][0], together.details["structure"][0])
