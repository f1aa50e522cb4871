"""Detection by feature squeezing: thresholds from the scores of the originals, and the share of images detected."""

import math
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgefool.errors import UsageError
from edgefool.metrics.rates import Rate, rate

_Floats = NDArray[np.float64]

_CHUNK = 500_000  # scores drawn at a time, to bound the memory


def detection_threshold(scores: ArrayLike, false_positive_rate: float = 0.05) -> float:
    """Return the score above which an image counts as adversarial, from the scores of original images.

    It is the lowest of these scores with at most a share ``false_positive_rate`` of them strictly above it, as in the
    reference of the detector: ``sorted(scores)[ceil(n * (1 - false_positive_rate)) - 1]``.

    Parameters
    ----------
    scores : array_like
        (n,) scores of original images.
    false_positive_rate : float
        In [0, 1).

    Returns
    -------
    float
        One of the scores.

    Raises
    ------
    UsageError
        If there are no scores, one is NaN, or the rate is out of range.

    Examples
    --------
    >>> detection_threshold(range(100))
    94.0
    """
    array = np.asarray(scores, dtype=float)
    if array.ndim != 1 or not array.size:
        raise UsageError(f"a threshold needs scores (n,) of at least one image, not {array.shape}")
    if np.isnan(array).any():
        raise UsageError(f"a threshold needs numbers; {np.isnan(array).sum()} of {array.size} scores are NaN")
    return float(np.sort(array)[_threshold_rank(array.size, false_positive_rate)])


def detectability(
    clean_scores: ArrayLike,
    scores: ArrayLike,
    *,
    false_positive_rate: float = 0.05,
    which: ArrayLike | None = None,
    resamples: int = 1000,
) -> list[Rate]:
    """Return the share of adversarial images that feature squeezing detects, by each squeezer and by all together.

    An image is detected if its score is above the `detection_threshold` of the originals' scores. The joint detector
    takes the largest of the squeezers' scores and has its own threshold.

    The interval is the percentile bootstrap over images, with a fixed seed: each resample draws originals together with
    their adversarial images and computes its own thresholds.

    Parameters
    ----------
    clean_scores : array_like
        (n, S) scores of the originals by each squeezer. Images with a NaN are left out.
    scores : array_like
        (n, S) scores of their adversarial images in the same order; NaN if there is none.
    false_positive_rate : float
        In [0, 1): the largest share of originals that each detector may flag.
    which : array_like, optional
        (n,) booleans: the adversarial images to count, such as those that fool the classifier; by default all that have
        scores. The thresholds always come from all originals.
    resamples : int
        Number of bootstrap resamples.

    Returns
    -------
    list of Rate
        S + 2: by each squeezer, by the joint detector, and the mean over the squeezers. All have the same count.

    Raises
    ------
    UsageError
        If a shape, the rate or the number of resamples is invalid.

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
    _threshold_rank(1, false_positive_rate)  # raises for an invalid rate, even without images

    # One row per squeezer, then the joint detector, (S + 1, n); columns of NaN for images that do not count.
    clean, adversarial = (np.vstack([array.T, array.max(1)]) for array in (clean, adversarial))
    adversarial[:, np.logical_not(chosen) | np.isnan(adversarial[-1])] = np.nan
    scored = ~np.isnan(clean[-1])
    clean, adversarial = clean[:, scored], adversarial[:, scored]
    count = int((~np.isnan(adversarial[-1])).sum())
    if not count:
        return [rate([])] * (len(clean) + 1)
    rank = _threshold_rank(clean.shape[1], false_positive_rate)
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
    """Append the mean over the squeezers, (S + 1, ...) to (S + 2, ...); the joint detector is now second to last."""
    return np.concatenate([shares, shares[:-1].mean(0, keepdims=True)])


def _bootstrap(clean: _Floats, adversarial: _Floats, rank: int, resamples: int) -> _Floats:
    """Return the ends (2, S + 2) of the 95 % intervals."""
    random, size = np.random.default_rng(0), clean.shape[1]
    at_a_time = max(1, _CHUNK // clean.size)
    shares = []
    for start in range(0, resamples, at_a_time):
        drawn = random.integers(size, size=(min(at_a_time, resamples - start), size))
        shares.append(_shares_detected(clean[:, drawn], adversarial[:, drawn], rank))
    every = _with_mean(np.concatenate(shares, axis=1))
    every = every[:, ~np.isnan(every[-1])]  # resamples without an image that counts
    ends: _Floats = np.percentile(every, [2.5, 97.5], axis=1) if every.size else np.full((2, len(every)), np.nan)
    return ends


@cache  # exact fractions are slow, and tables need the same few
def _threshold_rank(count: int, false_positive_rate: float) -> int:
    """Return the index of the threshold among ``count`` sorted scores.

    >>> _threshold_rank(250, 0.172)
    206
    """
    if not 0 <= false_positive_rate < 1:
        raise UsageError(f"the false-positive rate must be in [0, 1), not {false_positive_rate}")
    # Exact: at 0.172, 43 of 250 scores may lie above, but in floating point 250 * (1 - 0.172) > 207.
    return count - 1 - math.floor(count * Fraction(str(false_positive_rate)))
