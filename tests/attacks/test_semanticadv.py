import colorsys
import math

import pytest
import torch
from kornia.color import rgb_to_hsv

from edgefool.attacks import SemanticAdv
from edgefool.attacks.semanticadv import shift


def red_or_not(images):
    """Class 1 where red leads the other colours."""
    colours = images.mean((2, 3))
    lead = colours[:, 0] - colours[:, 1:].max(1).values
    return 20 * torch.stack([-lead, lead], 1)


def photos(count=6):
    generator = torch.Generator().manual_seed(0)
    tint = torch.rand(count, 3, 1, 1, generator=generator)
    return 0.6 * tint + 0.4 * torch.rand(count, 3, 5, 5, generator=generator)


def test_shifts_are_those_of_colorsys():
    image = photos(1)[0]
    shifts = torch.tensor([[0.0, 0.0], [2.0, 0.3], [6.0, -0.5], [1.0, -1.0], [3.0, 1.0]])
    result = shift(rgb_to_hsv(image[None])[0], shifts)
    for (by_hue, by_saturation), shifted in zip(shifts.tolist(), result, strict=True):
        for row in range(5):
            for column in range(5):
                h, s, v = colorsys.rgb_to_hsv(*image[:, row, column].tolist())
                h, s = (h + by_hue / (2 * math.pi)) % 1, min(max(s + by_saturation, 0), 1)
                expected = torch.tensor(colorsys.hsv_to_rgb(h, s, v))
                torch.testing.assert_close(shifted[:, row, column], expected, atol=1e-4, rtol=0)


def test_trials_grow_as_the_papers():
    shifts = SemanticAdv().draw(5)
    assert shifts.shape == (1000, 2)
    assert shifts[:, 0].min() >= 0
    assert 6 < shifts[:, 0].max() < 2 * math.pi
    growth = torch.arange(1000) / 1000
    assert shifts[0, 1] == 0
    assert (shifts[:, 1].abs() <= growth).all()
    assert shifts[900:, 1].abs().max() > 0.9
    assert shifts[:, 1].mean().abs() < 0.05


def test_the_outcome_is_that_of_single_trials():
    attack, images = SemanticAdv(trials=200), photos()
    result = attack(red_or_not, images, seeds=range(6))
    found = 0
    for i, image in enumerate(images):
        hsv, y = rgb_to_hsv(image[None])[0], red_or_not(image[None]).argmax()
        trials = [shift(hsv, row[None]) for row in attack.draw(i)]
        first = next((n for n, trial in enumerate(trials) if red_or_not(trial).argmax() != y), None)
        assert result.iterations[i] == (200 if first is None else first + 1)
        kept = trials[-1 if first is None else first][0]
        assert (result.adversarial[i] - kept).abs().max() <= 0.501 / 255
        assert result.converged[i] == (first is not None)
        found += first is not None
    assert found > 0


def test_value_is_kept():
    images = photos()
    result = SemanticAdv(trials=50)(red_or_not, images)
    change = (result.adversarial.amax(1) - images.amax(1)).abs()
    assert change.max() <= 0.51 / 255


def test_grey_images_have_no_hue_to_shift():
    grey = torch.full((1, 3, 4, 4), 0.25)
    result = SemanticAdv(trials=1)(red_or_not, grey)
    assert result.adversarial.flatten().tolist() == pytest.approx([64 / 255] * 48)
