"""Shares of images, each with an interval that tells how far it could be off for the choice of the images."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from edgefool.errors import UsageError
from edgefool.metrics.squeezing import threshold_rank

_Floats = NDArray[np.float64]


class Rate(NamedTuple):
    """A share of images in [0, 1], with its percentile-bootstrap interval; all NaN if there are no images.

    Attributes
    ----------
    value, low, high : float
        The share and the ends of the interval, at 95 % unless said otherwise.
    count : int
        How many images it is a share of.
    """

    value: float
    low: float
    high: float
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here


_MOST_AT_A_TIME = 500_000  # scores that are drawn together, to bound the memory

_NO_IMAGES = Rate(float("nan"), float("nan"), float("nan"), 0)


def rate(hits: ArrayLike, confidence: float = 0.95) -> Rate:
    """Return the share of images that are hit.

    The interval is the percentile bootstrap over images, without drawing: a resample's hits follow the binomial
    distribution of n images and the share found, so the ends are its quantiles over n. A share of 0 or 1 gives an
    interval of one point, as no resample differs.

    Parameters
    ----------
    hits : array_like
        (n,) booleans, one for each image.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Rate

    Raises
    ------
    UsageError
        If ``hits`` are not booleans (n,) or ``confidence`` is out of range.

    Examples
    --------
    >>> rate([True, False, False, False] * 25)
    Rate(value=0.25, low=0.17, high=0.34, count=100)
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence must be between 0 and 1, not {confidence}")
    array = np.asarray(hits)
    if array.ndim != 1 or (array.size and array.dtype != bool):
        raise UsageError(f"hits must be booleans (n,), not {array.dtype} {array.shape}")
    count = array.size
    if not count:
        return _NO_IMAGES
    value = float(array.mean())
    return Rate(value, *_interval(count, value, confidence), count)


def mean_rate(values: ArrayLike, resamples: int = 1000) -> Rate:
    """Return the mean of a number per image, such as its share of classifiers misled, or the difference of two such.

    The interval is the percentile bootstrap over images at 95 %; it is repeatable.

    Parameters
    ----------
    values : array_like
        (n,) finite numbers, one for each image.
    resamples : int
        Number of bootstrap resamples.

    Returns
    -------
    Rate

    Raises
    ------
    UsageError
        If ``values`` are not finite numbers (n,) or there is no resample.

    Examples
    --------
    >>> mean_rate([0.5, -0.5, 0.0, 1.0] * 25).value
    0.25
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise UsageError(f"values must be finite numbers (n,), not {array.dtype} {array.shape}")
    if resamples < 1:
        raise UsageError(f"resamples must be at least 1, not {resamples}")
    if not array.size:
        return _NO_IMAGES
    levels, counts = np.unique(array, return_counts=True)
    # How often each level is drawn says all of a resample.
    drawn = np.random.default_rng(0).multinomial(array.size, counts / array.size, size=resamples)
    low, high = np.percentile(drawn @ levels / array.size, [2.5, 97.5]).tolist()
    return Rate(float(array.mean()), low, high, array.size)


@cache  # SciPy's quantiles are slow, and a run asks for the same few again and again
def _interval(count: int, value: float, confidence: float) -> tuple[float, float]:
    ends = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = (float(binom.ppf(end, count, value)) / count for end in ends)
    return low, high


def misleading_rate(original_classes: ArrayLike, adversarial_classes: ArrayLike) -> Rate:
    """Return the share of images whose class the attack changed (Eq. 1 of the paper).

    Parameters
    ----------
    original_classes, adversarial_classes : array_like
        (n,) integers: what the attacked classifier says of the images before and after.

    Returns
    -------
    Rate

    Raises
    ------
    UsageError
        If the classes are not integers (n,) of as many images.

    Examples
    --------
    >>> misleading_rate([0, 1, 2, 3], [0, 1, 2, 4]).value
    0.25
    """
    before, after = _classes(original_classes=original_classes, adversarial_classes=adversarial_classes)
    return rate(before != after)


class Transferability(NamedTuple):
    """How often adversarial images mislead a classifier other than the one they were made for.

    Attributes
    ----------
    changed : Rate
        It gives the adversarial image another class than it gives the original.
    source : Rate
        It gives the adversarial image another class than the attacked classifier gives the original.
    truth : Rate or None
        It gives the adversarial image another class than the true one, of the images whose true class is known. None
        without labels.
    """

    changed: Rate
    source: Rate
    truth: Rate | None


def transferability(
    target_clean: ArrayLike, target_adversarial: ArrayLike, source_clean: ArrayLike, labels: ArrayLike | None = None
) -> Transferability:
    """Return how often adversarial images mislead a classifier that they were not made for, by three yardsticks.

    Parameters
    ----------
    target_clean, target_adversarial : array_like
        (n,) integers: the other classifier's classes of the originals and of the adversarial images.
    source_clean : array_like
        (n,) integers: the attacked classifier's classes of the originals.
    labels : array_like, optional
        (n,) true classes; NaN or None where unknown.

    Returns
    -------
    Transferability

    Raises
    ------
    UsageError
        If the classes are not integers (n,) of as many images.

    Examples
    --------
    >>> rates = transferability([0, 1, 2], [0, 1, 5], source_clean=[0, 2, 2], labels=[0, np.nan, 2])
    >>> [round(rate.value, 2) for rate in rates]
    [0.33, 0.67, 0.5]
    """
    before, after, source = _classes(
        target_clean=target_clean, target_adversarial=target_adversarial, source_clean=source_clean
    )
    truth = None
    if labels is not None:
        true = np.asarray(labels, dtype=float)
        if true.shape != after.shape:
            raise UsageError(f"there are {after.size} images and labels of shape {true.shape}")
        known = ~np.isnan(true)
        truth = rate(after[known] != true[known])
    return Transferability(rate(after != before), rate(after != source), truth)


def detectability(
    clean_scores: ArrayLike,
    scores: ArrayLike,
    *,
    false_positive_rate: float = 0.05,
    which: ArrayLike | None = None,
    resamples: int = 1000,
) -> list[Rate]:
    """Return the share of adversarial images that feature squeezing detects, by each squeezer and by all together.

    An image is detected if its score is above the threshold that `detection_threshold` takes from the originals'
    scores. The joint detector looks at the largest of the squeezers' scores, with a threshold of its own.

    The interval is the percentile bootstrap over images: each resample draws originals together with their adversarial
    images, and takes thresholds of its own. It is repeatable.

    Parameters
    ----------
    clean_scores : array_like
        (n, S) scores of the originals by each squeezer. An image with a NaN here is left out altogether.
    scores : array_like
        (n, S) scores of their adversarial images in the same order; NaN where there is none.
    false_positive_rate : float
        In [0, 1): the share of the originals that each detector may take for adversarial.
    which : array_like, optional
        (n,) booleans: the adversarial images that count, such as those that mislead. By default all that have scores.
        The thresholds come from all originals in any case.
    resamples : int
        Number of bootstrap resamples.

    Returns
    -------
    list of Rate
        S + 2: by each squeezer, by the joint detector, and the mean of the squeezers' shares. All have the same count.

    Raises
    ------
    UsageError
        If a shape, the rate or the number of resamples does not fit.

    Examples
    --------
    >>> clean = np.linspace(0, 1, 100)[:, None]
    >>> [detected.value for detected in detectability(clean, clean + 0.5)]
    [0.55, 0.55, 0.55]
    """
    clean, adversarial = np.asarray(clean_scores, dtype=float), np.asarray(scores, dtype=float)
    if clean.ndim != 2 or not clean.shape[1] or clean.shape != adversarial.shape:
        raise UsageError(f"scores must be (n, S) for both, not {clean.shape} and {adversarial.shape}")
    chosen = np.ones(len(clean), dtype=bool) if which is None else np.asarray(which)
    if chosen.shape != clean.shape[:1] or (chosen.size and chosen.dtype != bool):
        raise UsageError(f"which must be booleans ({len(clean)},), not {chosen.dtype} {chosen.shape}")
    if resamples < 1:
        raise UsageError(f"resamples must be at least 1, not {resamples}")
    threshold_rank(1, false_positive_rate)  # to complain of the rate even if there is no image

    # One row for each squeezer and for the joint detector, (S + 1, n); a column of NaN for an image that doesn't count.
    clean, adversarial = (np.vstack([array.T, array.max(1)]) for array in (clean, adversarial))
    adversarial[:, np.logical_not(chosen) | np.isnan(adversarial[-1])] = np.nan
    scored = ~np.isnan(clean[-1])
    clean, adversarial = clean[:, scored], adversarial[:, scored]
    count = int((~np.isnan(adversarial[-1])).sum())
    if not count:
        return [_NO_IMAGES] * (len(clean) + 1)
    rank = threshold_rank(clean.shape[1], false_positive_rate)
    values = _with_mean(_shares_detected(clean, adversarial, rank))
    low, high = _bootstrap(clean, adversarial, rank, resamples)
    return [Rate(*ends, count) for ends in zip(values.tolist(), low.tolist(), high.tolist(), strict=True)]


def _shares_detected(clean: _Floats, adversarial: _Floats, rank: int) -> _Floats:
    """Return the shares of adversarial scores above the threshold, (..., n) to (...); NaN if no image counts."""
    thresholds = np.partition(clean, rank)[..., rank, None]
    count = (~np.isnan(adversarial)).sum(-1)
    hits = (adversarial > thresholds).sum(-1)
    shares: _Floats = np.divide(hits, count, out=np.full(hits.shape, np.nan), where=count > 0)
    return shares


def _with_mean(shares: _Floats) -> _Floats:
    """Add the mean over the squeezers, (S + 1, ...) to (S + 2, ...); the last but one is the joint detector."""
    return np.concatenate([shares, shares[:-1].mean(0, keepdims=True)])


def _bootstrap(clean: _Floats, adversarial: _Floats, rank: int, resamples: int) -> _Floats:
    """Return the ends (2, S + 2) of the 95 % intervals."""
    random, size = np.random.default_rng(0), clean.shape[1]
    at_a_time = max(1, _MOST_AT_A_TIME // clean.size)
    shares = []
    for start in range(0, resamples, at_a_time):
        drawn = random.integers(size, size=(min(at_a_time, resamples - start), size))
        shares.append(_shares_detected(clean[:, drawn], adversarial[:, drawn], rank))
    every = _with_mean(np.concatenate(shares, axis=1))
    every = every[:, ~np.isnan(every[-1])]  # a resample without an image that counts says nothing
    ends: _Floats = np.percentile(every, [2.5, 97.5], axis=1) if every.size else np.full((2, len(every)), np.nan)
    return ends


def _classes(**classes: ArrayLike) -> list[NDArray[np.int64]]:
    """Return classes as arrays, if they are integers of as many images each."""
    arrays = {name: np.asarray(values) for name, values in classes.items()}
    for name, array in arrays.items():
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise UsageError(f"{name} must be integers (n,), not {array.dtype} {array.shape}")
    if len({array.size for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{array.size} {name}" for name, array in arrays.items())
        raise UsageError(f"the classes must be of the same images, not {sizes}")
    return list(arrays.values())
