import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm

from edgefool.errors import UsageError
from edgefool.metrics import mean_rate, misleading_rate, rate, transferability, wilson_rate


def is_empty(result):
    return result.count == 0 and all(math.isnan(number) for number in result[:3])


@pytest.mark.parametrize("hits", [[True, False, False], [True, True, False, False, True], [True] * 4, [False] * 4])
def test_the_interval_is_that_of_all_resamples(hits):
    found = rate(hits)
    means = [np.mean(resample) for resample in itertools.product(hits, repeat=len(hits))]
    ends = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert found == (np.mean(hits), pytest.approx(ends[0]), pytest.approx(ends[1]), len(hits))


def test_the_interval_is_scipys_bootstrap():
    hits = np.random.default_rng(0).random(400) < 0.3
    found = rate(hits)
    theirs = bootstrap((hits,), np.mean, method="percentile", n_resamples=20_000, batch=1000, rng=1).confidence_interval
    # The share moves in steps of 1/400, and a quantile of 20,000 resamples is off by less than one of them.
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1.01 / 400)


@pytest.mark.parametrize(("hits", "count"), [(0, 4), (4, 4), (2, 2), (1, 3), (3, 40), (31, 40)])
def test_wilsons_interval(hits, count):
    """Its ends p solve (hits / n - p)² = z² p (1 - p) / n."""
    found = wilson_rate([True] * hits + [False] * (count - hits))
    assert (found.value, found.count) == (hits / count, count)
    z = norm.ppf(0.975)
    ends = np.roots([1 + z**2 / count, -2 * hits / count - z**2 / count, (hits / count) ** 2])
    assert (found.low, found.high) == pytest.approx(tuple(sorted(ends)), abs=1e-7)


def test_wilsons_interval_of_no_image():
    assert is_empty(wilson_rate([]))


def test_the_interval_covers_the_truth():
    random = np.random.default_rng(0)
    intervals = [rate(random.random(200) < 0.3) for _ in range(400)]
    covered = np.mean([found.low <= 0.3 <= found.high for found in intervals])
    assert covered == pytest.approx(0.95, abs=0.035)  # three standard errors of 400 draws


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
def test_transferability_in_three_ways(classes):
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


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: rate([0.5]), r"must be booleans \(n,\), not float64 \(1,\)"),
        (lambda: rate([[True]]), r"must be booleans \(n,\), not bool \(1, 1\)"),
        (lambda: misleading_rate([0.0], [1]), r"original_classes must be integers \(n,\), not float64 \(1,\)"),
        (lambda: misleading_rate([0], [[1]]), r"adversarial_classes must be integers \(n,\), not int64 \(1, 1\)"),
        (lambda: misleading_rate([0], [1, 2]), "not 1 original_classes, 2 adversarial_classes"),
        (lambda: transferability([0], [1], [1, 2]), "not 1 target_clean, 1 target_adversarial, 2 source_clean"),
        (lambda: transferability([0], [1], [2], [1, 2]), r"1 images and labels of shape \(2,\)"),
        (lambda: mean_rate([[0.5]]), r"must be finite numbers \(n,\), not float64 \(1, 1\)"),
        (lambda: mean_rate([float("nan")]), "must be finite"),
        (lambda: mean_rate([0.5], resamples=0), "resamples must be at least 1, not 0"),
    ],
)
def test_refuses(call, complaint):
    with pytest.raises(UsageError, match=complaint):
        call()
