import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from edgefool.errors import UsageError
from edgefool.metrics import detectability, mean_rate, misleading_rate, rate, transferability


def is_empty(result):
    return result.count == 0 and all(math.isnan(number) for number in result[:3])


@pytest.mark.parametrize("hits", [[True, False, False], [True, True, False, False, True], [True] * 4, [False] * 4])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_the_interval_is_that_of_all_resamples(hits, confidence):
    found = rate(hits, confidence)
    means = [np.mean(resample) for resample in itertools.product(hits, repeat=len(hits))]
    ends = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    assert found == (np.mean(hits), pytest.approx(ends[0]), pytest.approx(ends[1]), len(hits))


def test_the_interval_is_scipys_bootstrap():
    hits = np.random.default_rng(0).random(400) < 0.3
    found = rate(hits)
    theirs = bootstrap((hits,), np.mean, method="percentile", n_resamples=20_000, batch=1000, rng=1).confidence_interval
    # The share moves in steps of 1/400, and a quantile of 20,000 resamples is off by less than one of them.
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1.01 / 400)


def test_the_interval_covers_the_truth():
    random = np.random.default_rng(0)
    intervals = [rate(random.random(200) < 0.3) for _ in range(400)]
    covered = np.mean([found.low <= 0.3 <= found.high for found in intervals])
    assert covered == pytest.approx(0.95, abs=0.035)  # three standard errors of 400 draws


def test_a_higher_confidence_has_a_wider_interval():
    narrow, wide = (rate([True, False] * 100, confidence) for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < 0.5 < narrow.high < wide.high


def test_no_images_have_no_rate():
    assert is_empty(rate([]))
    assert is_empty(misleading_rate([], []))
    assert is_empty(transferability([1], [2], [1], labels=[np.nan]).truth)


CLASSES = st.integers(0, 3)


@given(classes=st.lists(st.tuples(CLASSES, CLASSES), min_size=1))
def test_misleading_rate_counts_changed_classes(classes):
    original, adversarial = zip(*classes, strict=True)
    found = misleading_rate(original, adversarial)
    assert found.value == pytest.approx(sum(a != b for a, b in classes) / len(classes))
    assert found == rate([a != b for a, b in classes])


@given(classes=st.lists(st.tuples(CLASSES, CLASSES, CLASSES, CLASSES | st.none()), min_size=1))
def test_transferability_by_three_yardsticks(classes):
    clean, adversarial, source, labels = zip(*classes, strict=True)
    found = transferability(clean, adversarial, source, labels)
    assert found.changed == rate([after != before for before, after, _, _ in classes])
    assert found.source == rate([after != attacked for _, after, attacked, _ in classes])
    labelled = [after != label for _, after, _, label in classes if label is not None]
    assert found.truth.count == len(labelled)
    assert not labelled or found.truth == rate(labelled)


def test_transferability_without_labels():
    found = transferability(np.array([0, 1]), np.array([0, 2]), np.array([1, 2]))
    assert (found.changed.value, found.source.value, found.truth) == (0.5, 0.5, None)


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


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 1 / 3, 1.0]), min_size=1, max_size=60))
def test_the_mean_and_its_interval_are_those_of_scipys_bootstrap(values):
    found = mean_rate(values, resamples=4000)
    assert (found.value, found.count) == (pytest.approx(sum(values) / len(values)), len(values))
    if len(values) < 2 or len(set(values)) == 1:
        assert found.low == pytest.approx(found.value) == found.high
        return
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    # Six standard errors of a quantile out in the tail of 4,000 means, or one step of so few images.
    slack = max(6 * 0.042 * np.std(values) / math.sqrt(len(values)), 2 / len(values))
    assert found.low == pytest.approx(theirs.low, abs=slack)
    assert found.high == pytest.approx(theirs.high, abs=slack)


def test_the_mean_of_hits_is_their_rate():
    hits = np.arange(200) % 3 == 0
    found, exact = mean_rate(hits), rate(hits)
    assert (found.value, found.count) == (exact.value, exact.count)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)
    assert is_empty(mean_rate([]))
    assert mean_rate(hits) == found


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


def test_resamples_without_an_image_that_counts_say_nothing(scored):
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
        (lambda: rate([0.5]), r"must be booleans \(n,\), not float64 \(1,\)"),
        (lambda: rate([[True]]), r"must be booleans \(n,\), not bool \(1, 1\)"),
        (lambda: rate([True], 1), "between 0 and 1, not 1"),
        (lambda: rate([True], float("nan")), "between 0 and 1, not nan"),
        (lambda: misleading_rate([0.0], [1]), r"original_classes must be integers \(n,\), not float64 \(1,\)"),
        (lambda: misleading_rate([0], [[1]]), r"adversarial_classes must be integers \(n,\), not int64 \(1, 1\)"),
        (lambda: misleading_rate([0], [1, 2]), "not 1 original_classes, 2 adversarial_classes"),
        (lambda: transferability([0], [1], [1, 2]), "not 1 target_clean, 1 target_adversarial, 2 source_clean"),
        (lambda: transferability([0], [1], [2], [1, 2]), r"1 images and labels of shape \(2,\)"),
        (lambda: mean_rate([[0.5]]), r"must be finite numbers \(n,\), not float64 \(1, 1\)"),
        (lambda: mean_rate([float("nan")]), "must be finite"),
        (lambda: mean_rate([0.5], resamples=0), "resamples must be at least 1, not 0"),
        (lambda: detectability([0.1], [0.1]), r"must be \(n, S\) .*, not \(1,\) and \(1,\)"),
        (lambda: detectability([[0.1]], [[0.1, 0.2]]), r"must be \(n, S\) .*, not \(1, 1\) and \(1, 2\)"),
        (lambda: detectability([[]], [[]]), r"must be \(n, S\) .*, not \(1, 0\) and \(1, 0\)"),
        (lambda: detectability([[0.1]], [[0.1]], which=[True, True]), r"booleans \(1,\), not bool \(2,\)"),
        (lambda: detectability([[0.1]], [[0.1]], which=[0]), r"booleans \(1,\), not int64 \(1,\)"),
        (lambda: detectability([[0.1]], [[0.1]], false_positive_rate=1), "must be in .*, not 1"),
        (lambda: detectability([[0.1]], [[0.1]], resamples=0), "resamples must be at least 1, not 0"),
    ],
)
def test_refuses(call, complaint):
    with pytest.raises(UsageError, match=complaint):
        call()
