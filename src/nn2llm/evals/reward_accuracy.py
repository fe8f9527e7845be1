"""How good a reward model is: against choices, against the best possible, against the truth, and how sure.

All here is about gaps: the score of a pair's first reply minus that of its second, where the first is the one
that the labeller chose. A gap above 0 is a pair that the model ranks as they did. A labeller who chooses the
first with probability p disagrees with themselves, so nobody can predict them better than mean max(p, 1 - p).
Read intervals.py before. Used by the recipe and its report. Taught in `reward-modeling`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2llm.evals.intervals import Interval, bootstrap_mean, wilson_interval
from nn2llm.evals.preference_biases import BiasEffect, compare_biases, fit_log_odds, sigmoid

__all__ = [
    "CalibrationBin",
    "RewardReport",
    "compute_accuracy",
    "compute_agreement",
    "compute_best_accuracy",
    "compute_calibration",
    "compute_expected_accuracy",
    "evaluate_reward_model",
]

Float64Array = npt.NDArray[np.float64]


def compute_accuracy(gaps: npt.ArrayLike, *, level: float = 0.95) -> Interval:
    """The share of pairs in which the chosen reply scores higher; equal scores give half a point (Wilson).

    Raises:
        ValueError: if there is no pair.
    """
    points = _count_points(_as_gaps(gaps))
    return wilson_interval(float(points.sum()), len(points), level=level)


def compute_expected_accuracy(
    gaps: npt.ArrayLike, probabilities: npt.ArrayLike, *, level: float = 0.95, seed: int = 0
) -> Interval:
    """How often a labeller would agree who chooses the first reply of each pair with these probabilities [P].

    The mean of p where the model prefers the first reply, and of 1 - p elsewhere: accuracy without the luck
    of the choices that happened to be drawn (bootstrap over pairs).

    Raises:
        ValueError: if there are fewer than two pairs, or lengths differ.
    """
    values, p = _as_gaps(gaps), _as_probabilities(probabilities)
    _check_lengths(values, p)
    points = _count_points(values)
    return bootstrap_mean(points * p + (1 - points) * (1 - p), level=level, seed=seed)


def compute_best_accuracy(probabilities: npt.ArrayLike) -> float:
    """What no reward model can exceed in expectation: the mean of max(p, 1 - p)."""
    p = _as_probabilities(probabilities)
    return float(np.maximum(p, 1 - p).mean())


def compute_agreement(
    gaps: npt.ArrayLike, other_gaps: npt.ArrayLike, *, tolerance: float = 0.0, level: float = 0.95
) -> Interval | None:
    """How often the model prefers the reply that another score (the gold score) prefers.

    Only pairs count in which that one differs by more than `tolerance`; None if there is none.

    Raises:
        ValueError: if lengths differ.
    """
    values, others = _as_gaps(gaps), _as_gaps(other_gaps)
    _check_lengths(values, others)
    differs = np.abs(others) > tolerance
    if not differs.any():
        return None
    return compute_accuracy((values * np.sign(others))[differs], level=level)


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationBin:
    """Pairs of which the model is about equally sure."""

    predicted: float
    """Mean of sigmoid(|gap|): how sure it says that it is of the reply which it prefers; 0.5 to 1."""
    observed: float
    """How often that reply was chosen."""
    low: float
    high: float
    """Wilson interval of `observed`."""
    count: int

    def to_dict(self) -> dict[str, float]:
        """For a JSON file."""
        names = ("predicted", "observed", "low", "high", "count")
        return {name: getattr(self, name) for name in names}


def compute_calibration(
    gaps: npt.ArrayLike,
    probabilities: npt.ArrayLike | None = None,
    *,
    num_bins: int = 10,
    level: float = 0.95,
) -> list[CalibrationBin]:
    """What the model says, sigmoid of the score difference, beside what was chosen: in bins of equal counts.

    Each pair is turned so that the model prefers its first reply; so it does not matter that pairs are given
    as chosen and rejected. With the labeller's `probabilities` [P] those are averaged instead of the choices.

    Raises:
        ValueError: if there is no pair, lengths differ, or num_bins < 1.
    """
    values = _as_gaps(gaps)
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}. Typical: 5 to 20.")
    p = np.ones_like(values) if probabilities is None else _as_probabilities(probabilities)
    _check_lengths(values, p)
    points = _count_points(values)
    agreed = points * p + (1 - points) * (1 - p)
    order = np.argsort(np.abs(values), kind="stable")
    bins = []
    for members in np.array_split(order, min(num_bins, len(order))):
        observed = wilson_interval(float(agreed[members].sum()), len(members), level=level)
        bins.append(
            CalibrationBin(
                predicted=float(sigmoid(np.abs(values[members])).mean()),
                observed=observed.estimate,
                low=observed.low,
                high=observed.high,
                count=len(members),
            )
        )
    return bins


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardReport:
    """All figures of a reward model on one set of pairs."""

    num_pairs: int
    accuracy: Interval
    """Against the choices that were made."""
    loss: float
    """Mean of -log sigmoid(gap), nats a pair; log 2 says nothing."""
    calibration: list[CalibrationBin]
    calibration_error: float
    """Mean of |predicted - observed| over the bins, by their counts."""
    calibration_slope: float | None
    """What scores should be multiplied by to be right about how sure to be: below 1 the model is too sure.
    None where all scores are equal."""
    expected_accuracy: Interval | None = None
    """Against the labeller's probabilities, where they are known."""
    best_possible: float | None = None
    """The accuracy that no model exceeds in expectation."""
    gold_agreement: Interval | None = None
    """With the gold score, on pairs in which it differs."""
    biases: list[BiasEffect] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file; figures that are not known are null."""
        expected, gold = self.expected_accuracy, self.gold_agreement
        return {
            "num_pairs": self.num_pairs,
            "accuracy": self.accuracy.estimate,
            "accuracy_low": self.accuracy.low,
            "accuracy_high": self.accuracy.high,
            "expected_accuracy": None if expected is None else expected.estimate,
            "expected_accuracy_low": None if expected is None else expected.low,
            "expected_accuracy_high": None if expected is None else expected.high,
            "best_possible": self.best_possible,
            "gold_agreement": None if gold is None else gold.estimate,
            "gold_agreement_low": None if gold is None else gold.low,
            "gold_agreement_high": None if gold is None else gold.high,
            "loss": self.loss,
            "calibration": [one.to_dict() for one in self.calibration],
            "calibration_error": self.calibration_error,
            "calibration_slope": self.calibration_slope,
            "biases": [bias.to_dict() for bias in self.biases],
        }


def evaluate_reward_model(
    gaps: npt.ArrayLike,
    *,
    probabilities: npt.ArrayLike | None = None,
    gold_gaps: npt.ArrayLike | None = None,
    features: Mapping[str, npt.ArrayLike] | None = None,
    groups: npt.ArrayLike | None = None,
    num_bins: int = 10,
    level: float = 0.95,
) -> RewardReport:
    """All figures that can be had from P pairs.

    Args:
        gaps: [P] score of the chosen reply minus that of the rejected one.
        probabilities: [P] that the labeller prefers the one that they chose, where that is known.
        gold_gaps: [P] true quality, chosen minus rejected.
        features: name → [P], chosen minus rejected; "gold" is added from `gold_gaps`, and what the others
            are compared to.
        groups: [P] number of each pair's prompt, for the intervals of biases.
        num_bins: of the calibration.
        level: of all intervals.

    Raises:
        ValueError: if there are fewer than two pairs, or lengths differ.
    """
    values = _as_gaps(gaps)
    bins = compute_calibration(values, probabilities, num_bins=num_bins, level=level)
    choices = np.ones_like(values) if probabilities is None else _as_probabilities(probabilities)
    columns = dict(features or {})
    if gold_gaps is not None:
        columns = {"gold": gold_gaps, **columns}
    differs = any(np.any(np.asarray(column) != 0) for column in columns.values())
    return RewardReport(
        num_pairs=len(values),
        accuracy=compute_accuracy(values, level=level),
        loss=float(np.logaddexp(0, -values).mean()),
        calibration=bins,
        calibration_error=sum(one.count * abs(one.predicted - one.observed) for one in bins) / len(values),
        calibration_slope=float(fit_log_odds(choices, values[:, None]).effects[0]) if values.any() else None,
        expected_accuracy=None
        if probabilities is None
        else compute_expected_accuracy(values, probabilities, level=level),
        best_possible=None if probabilities is None else compute_best_accuracy(probabilities),
        gold_agreement=None if gold_gaps is None else compute_agreement(values, gold_gaps, level=level),
        biases=compare_biases(
            choices,
            values,
            columns,
            groups=groups,
            relative_to=None if gold_gaps is None else "gold",
            level=level,
        )
        if features and differs
        else [],
    )


def _count_points(gaps: Float64Array) -> Float64Array:
    return np.where(gaps > 0, 1.0, np.where(gaps < 0, 0.0, 0.5))


def _as_gaps(values: npt.ArrayLike) -> Float64Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"gaps must hold one number a pair, and one pair at least, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"gaps must be numbers, got {array[~np.isfinite(array)][0]}.")
    return array


def _as_probabilities(values: npt.ArrayLike) -> Float64Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not ((array >= 0) & (array <= 1)).all():
        raise ValueError("probabilities must hold one number in [0, 1] a pair, and one pair at least.")
    return array


def _check_lengths(first: Float64Array, second: Float64Array) -> None:
    if len(first) != len(second):
        raise ValueError(f"both must have one number a pair, got {len(first)} and {len(second)}.")
