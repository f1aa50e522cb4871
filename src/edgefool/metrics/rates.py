"""Shares of images, each with an interval over the images: a bootstrap as in all tables of runs, or Wilson's."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, binomtest

from edgefool.errors import UsageError

_CONFIDENCE = 0.95


class Rate(NamedTuple):
    """A share of images in [0, 1] with its 95 % interval; all NaN if there are no images.

    Attributes
    ----------
    value, low, high : float
        The share and the ends of its interval.
    count : int
        Number of images.
    """

    value: float
    low: float
    high: float
    count: int  # type: ignore[assignment]  # hides tuple.count


_NO_IMAGES = Rate(float("nan"), float("nan"), float("nan"), 0)


def rate(hits: ArrayLike) -> Rate:
    """Return the share of images that are hits.

    The interval is the percentile bootstrap over images in closed form: the hits of a resample follow the binomial
    distribution with n trials and the observed share, so the ends are its quantiles divided by n. If the share is 0 or
    1, all resamples are equal and the interval is one point.

    Parameters
    ----------
    hits : array_like
        (n,) booleans, one for each image.

    Returns
    -------
    Rate

    Raises
    ------
    UsageError
        If ``hits`` are not booleans (n,).

    Examples
    --------
    >>> rate([True, False, False, False] * 25)
    Rate(value=0.25, low=0.17, high=0.34, count=100)
    """
    array = _check(hits)
    if not (count := array.size):
        return _NO_IMAGES
    value = float(array.mean())
    return Rate(value, *_interval(count, value), count)


def wilson_rate(hits: ArrayLike) -> Rate:
    """Return the share of images that are hits, with Wilson's interval, which is right for a few images too.

    It holds the shares that a test with the normal approximation does not reject, and is never a single point; see
    Brown, Cai and DasGupta, Statistical Science 2001, https://doi.org/10.1214/ss/1009213286. Takes and raises the same
    as `rate`.

    Examples
    --------
    >>> found = wilson_rate([True, True])
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (1.0, 0.34, 1.0)
    """
    array = _check(hits)
    if not (count := array.size):
        return _NO_IMAGES
    interval = binomtest(int(array.sum()), count).proportion_ci(_CONFIDENCE, method="wilson")
    return Rate(float(array.mean()), float(interval.low), float(interval.high), count)


def mean_rate(values: ArrayLike, resamples: int = 1000) -> Rate:
    """Return the mean of one number per image, such as the share of classifiers fooled or a difference of two shares.

    The interval is the percentile bootstrap over images at 95 %, with a fixed seed.

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
        If ``values`` are not finite numbers (n,) or ``resamples`` is below 1.

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
    if len(levels) == 1:
        mean = float(array.size * levels[0] / array.size)
        return Rate(float(array.mean()), mean, mean, array.size)
    # The mean of a resample depends only on how often it draws each level.
    drawn = np.random.default_rng(0).multinomial(array.size, counts / array.size, size=resamples)
    low, high = np.percentile(drawn @ levels / array.size, [2.5, 97.5]).tolist()
    return Rate(float(array.mean()), low, high, array.size)


def _check(hits: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(hits)
    if array.ndim != 1 or (array.size and array.dtype != bool):
        raise UsageError(f"hits must be booleans (n,), not {array.dtype} {array.shape}")
    return array


@cache  # SciPy's quantiles are slow, and tables need the same few many times
def _interval(count: int, value: float) -> tuple[float, float]:
    ends = (1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2
    low, high = (float(binom.ppf(end, count, value)) / count for end in ends)
    return low, high


def misleading_rate(original_classes: ArrayLike, adversarial_classes: ArrayLike) -> Rate:
    """Return the share of images whose class the attack changed (Eq. 1 of the paper).

    Parameters
    ----------
    original_classes, adversarial_classes : array_like
        (n,) integers: the attacked classifier's classes of the images before and after the attack.

    Returns
    -------
    Rate

    Raises
    ------
    UsageError
        If the classes are not integers (n,) of equal length.

    Examples
    --------
    >>> misleading_rate([0, 1, 2, 3], [0, 1, 2, 4]).value
    0.25
    """
    before, after = check_classes(original_classes=original_classes, adversarial_classes=adversarial_classes)
    return rate(before != after)


class Transferability(NamedTuple):
    """How often adversarial images mislead a classifier other than the attacked one.

    Attributes
    ----------
    changed : Rate
        Its class of the adversarial image differs from its class of the original.
    source : Rate
        Its class of the adversarial image differs from the attacked classifier's class of the original.
    truth : Rate or None
        Its class of the adversarial image differs from the label, over the images that have one. None without labels.
    """

    changed: Rate
    source: Rate
    truth: Rate | None


def transferability(
    target_clean: ArrayLike, target_adversarial: ArrayLike, source_clean: ArrayLike, labels: ArrayLike | None = None
) -> Transferability:
    """Return how often adversarial images mislead a classifier other than the attacked one, counted in three ways.

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
        If the classes are not integers (n,) of equal length.

    Examples
    --------
    >>> rates = transferability([0, 1, 2], [0, 1, 5], source_clean=[0, 2, 2], labels=[0, np.nan, 2])
    >>> [round(rate.value, 2) for rate in rates]
    [0.33, 0.67, 0.5]
    """
    before, after, source = check_classes(
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


def check_classes(**classes: ArrayLike) -> list[NDArray[np.int64]]:
    """Return classes by argument as arrays; raise `UsageError` unless they are integers (n,) of equal length."""
    arrays = {name: np.asarray(values) for name, values in classes.items()}
    for name, array in arrays.items():
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise UsageError(f"{name} must be integers (n,), not {array.dtype} {array.shape}")
    if len({array.size for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{array.size} {name}" for name, array in arrays.items())
        raise UsageError(f"the classes must be of the same images, not {sizes}")
    return [array.astype(np.int64) for array in arrays.values()]
