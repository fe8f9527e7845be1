"""How sure a figure is: standard errors, and intervals by the bootstrap.

An evaluation sees a sample of documents (or items); another sample would have given another figure. The
bootstrap imitates that: draw as many documents from the sample, with replacement, compute the figure again,
and look at how it spreads. What is drawn are *documents*, not tokens: tokens of one document are hard or easy
together. The interval says nothing about other training seeds, only about other documents of the same kind.

The intervals are BCa ("bias-corrected and accelerated"): percentiles of the bootstrap figures, shifted for
its bias and for a spread that changes with the figure, which for skewed data covers better than the plain
percentiles.
Used by the rest of this room. Taught in `evaluating-lms` and `statistics-of-evals`.
Sources: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 and 14; Wilson 1927,
"Probable Inference, the Law of Succession, and Statistical Inference".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = [
    "Interval",
    "bootstrap_difference",
    "bootstrap_mean",
    "bootstrap_ratio",
    "bootstrap_statistic",
    "compute_standard_error",
    "wilson_interval",
]

DEFAULT_RESAMPLES = 2000
_MAX_DRAWS = 1 << 22
"""Indices drawn at once: 32 MB."""

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A figure and how sure it is."""

    estimate: float
    low: float
    high: float
    standard_error: float
    level: float = 0.95
    """How often such an interval would hold the true figure."""


def compute_standard_error(values: npt.ArrayLike) -> float:
    """s / √n: how far the mean of n values typically lies from the true mean.

    Raises:
        ValueError: if there are fewer than two values.
    """
    values = np.asarray(values, dtype=np.float64)
    _check_count(len(values))
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def bootstrap_mean(
    values: npt.ArrayLike, *, level: float = 0.95, num_resamples: int = DEFAULT_RESAMPLES, seed: int = 0
) -> Interval:
    """The mean of values [n]. Raises ValueError like `bootstrap_statistic`."""
    columns = np.asarray(values, dtype=np.float64)[:, None]
    return bootstrap_statistic(columns, _take_first, level=level, num_resamples=num_resamples, seed=seed)


def bootstrap_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    level: float = 0.95,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean of first - second, paired: two models on the *same* documents [n].

    What makes a document hard for both cancels, so this is far surer than two intervals side by side.

    Raises:
        ValueError: if the lengths differ, or like `bootstrap_statistic`.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    _check_pairs(first, second)
    return bootstrap_mean(first - second, level=level, num_resamples=num_resamples, seed=seed)


def bootstrap_ratio(
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    *,
    scale: float = 1.0,
    level: float = 0.95,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """scale * sum(numerators) / sum(denominators), resampling pairs [n]: bits per byte is such a ratio.

    Not the mean of the ratios, in which short documents would weigh as much as long ones.

    Raises:
        ValueError: if the lengths differ or the denominators add up to zero, or like `bootstrap_statistic`.
    """
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    _check_pairs(top, bottom)
    if not bottom.sum():
        raise ValueError("the denominators add up to 0, so there is no ratio. Leave such data out.")

    def ratio(means: Float64Array) -> Float64Array:
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample may hold nothing but empty texts
            return scale * means[:, 0] / means[:, 1]

    return bootstrap_statistic(
        np.stack([top, bottom], axis=1), ratio, level=level, num_resamples=num_resamples, seed=seed
    )


def bootstrap_statistic(
    columns: Float64Array,
    statistic: Callable[[Float64Array], Float64Array],
    *,
    level: float = 0.95,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """BCa interval of a function of the means of columns [n, k]; rows are what is resampled.

    `statistic` maps means [m, k] to figures [m]. The standard error is the bootstrap figures' deviation. The
    same seed gives the same interval.

    Raises:
        ValueError: if there are fewer than two rows, or a number is out of range.
    """
    _check_count(len(columns))
    _check_level(level)
    if num_resamples < 100:
        raise ValueError(f"num_resamples must be at least 100, got {num_resamples}. Typical: 1000 to 10000.")
    mean = columns.mean(axis=0)
    estimate = float(statistic(mean[None])[0])
    figures = statistic(_resample_means(columns, num_resamples, seed))
    figures = figures[np.isfinite(figures)]
    if len(figures) < 2 or np.ptp(figures) == 0:
        return Interval(estimate=estimate, low=estimate, high=estimate, standard_error=0.0, level=level)

    # How many of the figures lie below the estimate: half, where there is no bias (ties count half).
    below = (np.mean(figures < estimate) + np.mean(figures <= estimate)) / 2
    bias = _NORMAL.inv_cdf(min(max(float(below), 0.5 / num_resamples), 1 - 0.5 / num_resamples))
    acceleration = _compute_acceleration(columns, mean, statistic)
    tail = (1 - level) / 2
    low, high = (
        _shift_level(quantile, bias=bias, acceleration=acceleration) for quantile in (tail, 1 - tail)
    )
    bounds = np.quantile(figures, [low, high])
    return Interval(
        estimate=estimate,
        low=float(bounds[0]),
        high=float(bounds[1]),
        standard_error=float(figures.std(ddof=1)),
        level=level,
    )


def wilson_interval(num_successes: float, num_trials: int, *, level: float = 0.95) -> Interval:
    """A proportion. Unlike p ± 1.96 √(p(1-p)/n) it stays within [0, 1] and is right near both ends.

    `num_successes` may be a fraction where ties give part of a point: the interval is then a little too wide.

    Raises:
        ValueError: if there are no trials, or the successes are not among them.
    """
    _check_level(level)
    if num_trials < 1 or not 0 <= num_successes <= num_trials:
        raise ValueError(
            f"0 <= num_successes <= num_trials and num_trials >= 1, got {num_successes} of {num_trials}."
        )
    share = num_successes / num_trials
    z = _NORMAL.inv_cdf((1 + level) / 2)
    shrink = 1 + z * z / num_trials
    centre = (share + z * z / (2 * num_trials)) / shrink
    spread = z / shrink * math.sqrt(share * (1 - share) / num_trials + (z / (2 * num_trials)) ** 2)
    return Interval(
        estimate=share,
        low=max(0.0, min(share, centre - spread)),
        high=min(1.0, max(share, centre + spread)),
        standard_error=math.sqrt(share * (1 - share) / num_trials),
        level=level,
    )


_NORMAL = NormalDist()


def _take_first(means: Float64Array) -> Float64Array:
    return means[:, 0]


def _resample_means(columns: Float64Array, num_resamples: int, seed: int) -> Float64Array:
    """Means of rows drawn with replacement: [num_resamples, k]."""
    num_rows = len(columns)
    rng = np.random.default_rng(seed)
    at_once = max(1, _MAX_DRAWS // num_rows)
    means = np.empty((num_resamples, columns.shape[1]))
    for start in range(0, num_resamples, at_once):
        stop = min(start + at_once, num_resamples)
        drawn = rng.integers(num_rows, size=(stop - start, num_rows))
        for column in range(columns.shape[1]):
            means[start:stop, column] = columns[drawn, column].mean(axis=1)
    return means


def _compute_acceleration(
    columns: Float64Array, mean: Float64Array, statistic: Callable[[Float64Array], Float64Array]
) -> float:
    """A sixth of the skewness of the jackknife figures (Efron and Tibshirani 1993, eq. 14.15)."""
    num_rows = len(columns)
    left_out = statistic((num_rows * mean - columns) / (num_rows - 1))
    if not np.isfinite(left_out).all():  # all but one of the texts are empty
        return 0.0
    centred = left_out.mean() - left_out
    spread = float((centred**2).sum()) ** 1.5
    return float((centred**3).sum()) / (6 * spread) if spread > 0 else 0.0


def _shift_level(quantile: float, *, bias: float, acceleration: float) -> float:
    """The percentile that BCa takes instead of `quantile` (Efron and Tibshirani 1993, eq. 14.10)."""
    z = bias + _NORMAL.inv_cdf(quantile)
    return _NORMAL.cdf(bias + z / max(1 - acceleration * z, 1e-6))


def _check_count(count: int) -> None:
    if count < 2:
        raise ValueError(f"an interval needs at least 2 values, got {count}. Evaluate on more documents.")


def _check_pairs(first: Float64Array, second: Float64Array) -> None:
    if first.shape != second.shape:
        raise ValueError(f"both must have the same length, got {len(first)} and {len(second)}.")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}. Typical: 0.95.")
