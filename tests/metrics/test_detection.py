import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from edgefool.errors import UsageError
from edgefool.metrics import detectability, detection_threshold

SCORES = st.lists(st.floats(0, 2, width=32) | st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60)


RATES = st.sampled_from([0.0, 0.05, 0.1, 0.172, 0.5, 0.99]) | st.floats(0, 1, exclude_max=True)


@given(scores=SCORES, rate=RATES)
def test_the_threshold_is_the_lowest_that_keeps_the_rate(scores, rate):
    threshold = detection_threshold(scores, rate)
    assert threshold in scores
    assert sum(score > threshold for score in scores) / len(scores) <= rate
    lower = [score for score in scores if score < threshold]
    if lower:
        above = sum(score > max(lower) for score in scores)
        assert Fraction(above, len(scores)) > Fraction(str(rate))


@pytest.mark.parametrize("count", [1, 7, 20, 100, 1000])
def test_the_threshold_of_the_reference(count):
    scores = np.random.default_rng(count).random(count).astype(np.float32)
    expected = sorted(scores)[math.ceil(count * (1 - 0.05)) - 1]
    assert detection_threshold(scores) == expected
    assert detection_threshold(torch.from_numpy(scores)) == expected


@pytest.mark.parametrize(("count", "rate", "above"), [(250, 0.172, 43), (100, 0.29, 29), (1000, 0.059, 59)])
def test_the_threshold_where_floats_would_lose_an_image(count, rate, above):
    # 250 * (1 - 0.172) is 207.00000000000003 in floats, and 100 * 0.29 is 28.999999999999996.
    assert detection_threshold(np.arange(count), rate) == count - 1 - above


@pytest.mark.parametrize(
    ("scores", "rate", "complaint"),
    [
        ([], 0.05, r"at least one image, not \(0,\)"),
        ([[0.1, 0.2]], 0.05, r"at least one image, not \(1, 2\)"),
        ([0.1, float("nan"), 0.2], 0.05, "1 of 3 scores are NaN"),
        ([0.1], 1, "must be in .*, not 1"),
        ([0.1], -0.01, "must be in .*, not -0.01"),
        ([0.1], float("nan"), "must be in .*, not nan"),
    ],
)
def test_refuses_thresholds(scores, rate, complaint):
    with pytest.raises(UsageError, match=complaint):
        detection_threshold(scores, rate)


def is_empty(result):
    return result.count == 0 and all(math.isnan(number) for number in result[:3])


def shares_by_loop(clean, adversarial, which, rate):
    """The shares that are detected, and their number, in plain Python; lists of (n, S)."""
    clean, adversarial = ([[*row, max(row)] for row in scores] for scores in (clean, adversarial))
    shares = []
    for squeezer in range(len(clean[0])):
        scores = sorted(row[squeezer] for row in clean)
        threshold = scores[math.ceil(len(scores) * (1 - rate)) - 1]
        detected = [
            row[squeezer] > threshold
            for row, chosen in zip(adversarial, which, strict=True)
            if chosen and not math.isnan(row[0])
        ]
        shares.append(sum(detected) / len(detected))
    return [*shares, sum(shares[:-1]) / len(shares[:-1])], len(detected)


@pytest.fixture
def scored():
    """Scores of 60 originals, of the adversarial images of all but each seventh, and which of these count."""
    random = np.random.default_rng(0)
    clean = random.random((60, 3))
    adversarial = clean + random.random((60, 3)) * [0.2, 0.5, 0.8]
    adversarial[::7] = np.nan
    return clean, adversarial, random.random(60) < 0.6


@pytest.mark.parametrize("false_positive_rate", [0, 0.05, 0.3])
@pytest.mark.parametrize("chosen", [True, False])
def test_detectability_equals_a_loop(scored, chosen, false_positive_rate):
    clean, adversarial, which = scored
    found = detectability(
        clean, adversarial, which=which if chosen else None, false_positive_rate=false_positive_rate, resamples=10
    )
    counted = which if chosen else [True] * 60
    shares, count = shares_by_loop(clean.tolist(), adversarial.tolist(), counted, false_positive_rate)
    assert [detected.value for detected in found] == pytest.approx(shares)
    assert {detected.count for detected in found} == {count}


def test_the_intervals_are_scipys_bootstrap(scored):
    clean, adversarial, which = scored
    found = detectability(clean, adversarial, which=which, resamples=4000)

    def shares(images):
        return shares_by_loop(clean[images].tolist(), adversarial[images].tolist(), which[images].tolist(), 0.05)[0]

    theirs = bootstrap(
        (np.arange(60),), shares, vectorized=False, method="percentile", n_resamples=4000, rng=1
    ).confidence_interval
    # The standard error of the ends, in shares of some 30 images, is 0.01.
    np.testing.assert_allclose([detected.low for detected in found], theirs.low, atol=0.04)
    np.testing.assert_allclose([detected.high for detected in found], theirs.high, atol=0.04)
    assert all(detected.low < detected.value < detected.high for detected in found[1:])


def test_detectability_is_repeatable(scored):
    clean, adversarial, which = scored
    assert detectability(clean, adversarial, which=which) == detectability(clean, adversarial, which=which)


def test_scores_at_the_threshold_are_not_detected():
    clean = np.arange(20.0)[:, None]
    found, joint, _ = detectability(clean, np.full((20, 1), 18.0))
    assert found.value == 0
    assert joint.value == 0
    assert detectability(clean, np.full((20, 1), 18.001))[0].value == 1


def test_the_joint_detector_has_its_own_threshold():
    # Each squeezer is high for originals of its own, so that the largest is high for all of them.
    clean = np.array([[0.0, 1.0], [1.0, 0.0]] * 10)
    adversarial = np.full((20, 2), 0.5)
    assert [detected.value for detected in detectability(clean, adversarial, false_positive_rate=0.5)] == [1, 1, 0, 1]


def test_images_without_scores_are_left_out(scored):
    clean, adversarial, which = scored
    found = detectability(clean, adversarial, which=which)
    lost = np.full((1, 3), np.nan)
    longer = detectability(np.vstack([clean, lost]), np.vstack([adversarial, lost]), which=[*which, True])
    assert longer == found
    clean[5, 1] = np.nan  # one squeezer's score is not enough
    assert detectability(clean, adversarial) == detectability(np.delete(clean, 5, 0), np.delete(adversarial, 5, 0))


def test_one_image():
    assert detectability([[0.1, 0.2]], [[0.3, 0.1]]) == [(1, 1, 1, 1), (0, 0, 0, 1), (1, 1, 1, 1), (0.5, 0.5, 0.5, 1)]


def test_no_image_that_counts(scored):
    clean, adversarial, _ = scored
    for found in (
        detectability(clean, adversarial, which=np.zeros(60, dtype=bool)),
        detectability(clean, np.full_like(adversarial, np.nan)),
        detectability(np.full_like(clean, np.nan), adversarial),
        detectability(clean[:0], adversarial[:0], which=[]),
    ):
        assert len(found) == 5
        assert all(is_empty(detected) for detected in found)


def test_resamples_without_an_image_that_counts_are_left_out_of_the_interval(scored):
    clean, adversarial, _ = scored
    which = np.arange(60) == 1
    adversarial[1] = 2
    assert detectability(clean, adversarial, which=which) == [(1, 1, 1, 1)] * 5
    adversarial[:] = 2
    one_resample = [detectability(clean, adversarial, which=np.arange(60) == i, resamples=1)[0] for i in range(60)]
    assert {detected.value for detected in one_resample} == {1}
    ends = [detected[1:3] for detected in one_resample if not math.isnan(detected.low)]
    assert set(ends) == {(1, 1)}
    assert 20 < len(ends) < 55  # images that one resample holds: 60 (1 - 1/e), give or take


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: detectability([0.1], [0.1]), r"must be \(n, S\) .*, not \(1,\) and \(1,\)"),
        (lambda: detectability([[0.1]], [[0.1, 0.2]]), r"must be \(n, S\) .*, not \(1, 1\) and \(1, 2\)"),
        (lambda: detectability([[]], [[]]), r"must be \(n, S\) .*, not \(1, 0\) and \(1, 0\)"),
        (lambda: detectability([[0.1]], [[0.1]], which=[True, True]), r"booleans \(1,\), not bool \(2,\)"),
        (lambda: detectability([[0.1]], [[0.1]], which=[0]), r"booleans \(1,\), not int64 \(1,\)"),
        (lambda: detectability([[0.1]], [[0.1]], false_positive_rate=1), "must be in .*, not 1"),
        (lambda: detectability([[0.1]], [[0.1]], resamples=0), "resamples must be at least 1, not 0"),
    ],
)
def test_refuses_scores(call, complaint):
    with pytest.raises(UsageError, match=complaint):
        call()
