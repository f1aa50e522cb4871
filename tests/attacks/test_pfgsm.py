import math

import pytest
import torch

from edgefool.attacks import PFGSM


@pytest.mark.parametrize(
    ("probabilities", "sigma", "allowed"),
    [
        ([0.5, 0.3, 0.1, 0.06, 0.04], 0.85, {2, 3, 4}),  # cumulated: 0.5, 0.8, 0.9, …
        ([0.04, 0.1, 0.5, 0.06, 0.3], 0.92, {3, 0}),
        ([0.995, 0.003, 0.001, 0.0005, 0.0005], 0.99, {1, 2, 3, 4}),  # never the class itself
        ([0.6, 0.4], 0.99, {1}),
        ([0.5, 0.5 - 1e-9, 1e-9], 0.9, {1, 2}),
    ],
)
def test_targets_are_past_the_cumulative_probability(probabilities, sigma, allowed):
    attack = PFGSM(sigma=sigma)
    own = probabilities.index(max(probabilities))
    drawn = {attack.draw_target(torch.tensor(probabilities), own, seed) for seed in range(200)}
    assert drawn == allowed


def test_targets_are_uniform():
    probabilities = torch.tensor([0.5, 0.3, 0.1, 0.06, 0.04])
    drawn = torch.tensor([PFGSM(sigma=0.85).draw_target(probabilities, 0, seed) for seed in range(3000)])
    counts = drawn.bincount()[2:].double()
    assert counts.min() > 900  # 1,000 each, standard deviation 26


def test_the_released_set_is_every_other_class():
    probabilities = torch.tensor([0.5, 0.3, 0.1, 0.06, 0.04])
    attack = PFGSM(sigma=0.85, released_set=True)
    assert {attack.draw_target(probabilities, 0, seed) for seed in range(200)} == {1, 2, 3, 4}


def test_the_target_is_another_class_where_probabilities_tie():
    attack = PFGSM(sigma=0.85, released_set=True)
    assert {attack.draw_target(torch.full((3,), 1 / 3), 1, seed) for seed in range(50)} == {0, 2}


def test_on_a_linear_classifier_it_ends_when_the_target_is_certain(linear, greys):
    classifier, images = linear(classes=2, scale=0.2), greys()
    result = PFGSM(epsilon=0.5)(classifier, images)
    assert result.converged.all()
    z = classifier(images)
    for i, y in enumerate(result.original_class):
        target = 1 - y
        assert result.details["target"][i] == target
        # A step adds δ ||w_t - w_y||_1 to the margin, which log(0.99 / 0.01) makes certain.
        gain = (classifier.weights[target] - classifier.weights[y]).abs().sum() / 255
        missing = math.log(99) - (z[i, target] - z[i, y])
        assert result.iterations[i] == math.ceil(missing / gain)


def test_it_ends_at_its_limit(linear, greys):
    classifier = linear()
    classifier.bias[0] += 1e4
    result = PFGSM(max_iterations=4)(classifier, greys())
    assert result.iterations.tolist() == [4] * 4
    assert not result.converged.any()
    assert (result.adversarial - greys()).abs().max() <= 4.5 / 255
