"""What a labeller likes besides quality, and how much of that a reward model has learnt: in one unit.

Of each pair it is known by how much its replies differ in some features: quality, length, whether they agree
with the user. Then

    log-odds that the first is preferred = b_1 Δfeature_1 + b_2 Δfeature_2 + …

is fitted twice to the same pairs: to what the labeller chose (or the probabilities with which they choose),
and to what the reward model would choose, sigmoid(Δscore). The reward model is treated as one more labeller,
so both b are in the same unit: log-odds a unit of the feature, *other features equal*. A bias that both share
was learnt; one that only the reward model has is an accident of its training.

There is no constant: which reply stands first is arbitrary, so pairs may be given as chosen and rejected.
Intervals come from the sandwich estimator over groups of pairs (those of one prompt belong together), so they
hold although the model is only a summary and the responses may be probabilities.
Read intervals.py before. Used by reward_accuracy.py. Taught in `reward-modeling` and `reward-hacking`.
Sources: McFadden 1974, "Conditional logit analysis of qualitative choice behavior"; Papke and Wooldridge
1996 (probabilities as responses); Liang and Zeger 1986 (grouped sandwich).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2llm.evals.intervals import Interval, wilson_interval

__all__ = ["BiasEffect", "LogOddsFit", "compare_biases", "compute_matched_rate", "fit_log_odds", "sigmoid"]

Float64Array = npt.NDArray[np.float64]

_RIDGE = 1e-6
"""Pulls each effect a little to zero: where a feature decides every choice, the best fit is infinite."""
_MAX_STEPS = 100


def sigmoid(x: npt.ArrayLike) -> Float64Array:
    """1 / (1 + e^-x), without overflow."""
    values = np.asarray(x, dtype=np.float64)
    return np.exp(-np.logaddexp(0.0, -values))


@dataclass(frozen=True, slots=True, eq=False)
class LogOddsFit:
    """Effects of k features on the log-odds of a choice."""

    effects: Float64Array
    """[k] log-odds a unit of the feature."""
    influences: Float64Array
    """[P, k] by how much each pair moves the effects; their sum is zero (up to the ridge)."""


def fit_log_odds(probabilities: npt.ArrayLike, features: npt.ArrayLike) -> LogOddsFit:
    """The effects that make p of the first reply of each pair most likely (Newton's method).

    Args:
        probabilities: [P] that the first reply is preferred: 0 and 1 for choices seen, or anything between.
        features: [P, k] first reply's minus the second's.

    Raises:
        ValueError: for other shapes, probabilities outside [0, 1], or a feature that never differs.
    """
    p, x = np.asarray(probabilities, dtype=np.float64), np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or p.shape != x.shape[:1] or len(p) < 2:
        raise ValueError(f"probabilities [P] and features [P, k] with P >= 2, got {p.shape} and {x.shape}.")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities must be in [0, 1], got {p.min()} to {p.max()}.")
    scale = np.sqrt((x**2).mean(axis=0))
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError("a feature never differs within a pair, or is no number: leave it out.")
    x = x / scale
    num_pairs, num_features = x.shape
    ridge = _RIDGE * np.eye(num_features)

    def compute_loss(effects: Float64Array) -> float:
        logits = x @ effects
        loss = p * np.logaddexp(0, -logits) + (1 - p) * np.logaddexp(0, logits)
        return float(loss.mean() + effects @ ridge @ effects / 2)

    effects = np.zeros(num_features)
    loss = compute_loss(effects)
    for _ in range(_MAX_STEPS):
        q = sigmoid(x @ effects)
        gradient = x.T @ (p - q) / num_pairs - ridge @ effects
        step = np.linalg.solve((x.T * (q * (1 - q))) @ x / num_pairs + ridge, gradient)
        while (new_loss := compute_loss(effects + step)) > loss + 1e-15:  # too far: the loss is convex
            step = step / 2
        effects, loss = effects + step, new_loss
        if np.abs(step).max() < 1e-10 * (1 + np.abs(effects).max()):
            break
    q = sigmoid(x @ effects)
    curvature = (x.T * (q * (1 - q))) @ x / num_pairs + ridge
    influences = np.linalg.solve(curvature, (x * (p - q)[:, None]).T).T / num_pairs
    return LogOddsFit(effects / scale, influences / scale)


@dataclass(frozen=True, kw_only=True, slots=True)
class BiasEffect:
    """How much a feature counts, for the labeller and for the reward model."""

    name: str
    labeller: Interval
    """Log-odds of being preferred, a unit of the feature."""
    reward_model: Interval
    """The same of the reward model's choices."""
    difference: Interval
    """Reward model minus labeller, on the same pairs: surer than two intervals side by side."""
    spread: float
    """Root mean square of the feature's difference in a pair: times an effect, what it does to a typical
    pair."""
    labeller_relative: float | None = None
    """The labeller's effect over that of the reference feature: what a unit is worth in units of quality.
    Does not change where one is only more or less decided than the other. None where the reference's effect
    cannot be told from zero."""
    reward_model_relative: float | None = None
    """The reward model's."""

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file: `name`, `labeller` and `reward_model` (the effects), and their intervals."""
        values: dict[str, Any] = {"name": self.name, "spread": self.spread}
        for name in ("labeller", "reward_model", "difference"):
            interval: Interval = getattr(self, name)
            values |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        values["labeller_relative"] = self.labeller_relative
        values["reward_model_relative"] = self.reward_model_relative
        return values


def compare_biases(
    probabilities: npt.ArrayLike,
    score_gaps: npt.ArrayLike,
    features: Mapping[str, npt.ArrayLike],
    *,
    groups: npt.ArrayLike | None = None,
    relative_to: str | None = None,
    level: float = 0.95,
) -> list[BiasEffect]:
    """The effect of each feature on the labeller and on the reward model, over the same pairs.

    Args:
        probabilities: [P] that the labeller prefers the first reply; 0 and 1 for choices seen.
        score_gaps: [P] reward of the first reply minus that of the second.
        features: name → [P] first reply's minus the second's. Quality should be one of them, or an effect
            may be quality's. A feature that never differs is left out of the result.
        groups: [P] number of each pair's prompt; None: every pair by itself.
        relative_to: name of the feature (quality) that the others are compared to.
        level: of the intervals.

    Raises:
        ValueError: if lengths differ, or no feature ever differs.
    """
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in features.items()}
    columns = {name: values for name, values in columns.items() if np.any(values != 0)}
    if not columns:
        raise ValueError("no feature differs within any pair: there is nothing to compare.")
    matrix = np.stack(list(columns.values()), axis=1)
    labeller = fit_log_odds(probabilities, matrix)
    reward_model = fit_log_odds(sigmoid(score_gaps), matrix)
    difference = LogOddsFit(
        reward_model.effects - labeller.effects, reward_model.influences - labeller.influences
    )
    intervals = [_build_intervals(fit, groups, level) for fit in (labeller, reward_model, difference)]
    names = list(columns)
    reference = names.index(relative_to) if relative_to in names else None
    effects = []
    for at, name in enumerate(names):
        relative: list[float | None] = [None, None]
        if reference is not None:
            relative = [
                float(fit.effects[at] / fit.effects[reference])
                if _differs_from_zero(known[reference])
                else None
                for fit, known in zip((labeller, reward_model), intervals[:2], strict=True)
            ]
        effects.append(
            BiasEffect(
                name=name,
                labeller=intervals[0][at],
                reward_model=intervals[1][at],
                difference=intervals[2][at],
                spread=float(np.sqrt((columns[name] ** 2).mean())),
                labeller_relative=relative[0],
                reward_model_relative=relative[1],
            )
        )
    return effects


def compute_matched_rate(
    probabilities: npt.ArrayLike,
    feature_gaps: npt.ArrayLike,
    control_gaps: npt.ArrayLike,
    *,
    tolerance: float = 0.0,
    level: float = 0.95,
) -> Interval | None:
    """How often the reply with more of a feature is preferred, where a control (quality) is equal: 0.5 is
    no bias.

    Counts pairs with |control gap| <= tolerance whose feature differs; None if there is no such pair. For a
    reward model give its choices, (score_gaps > 0), or sigmoid(score_gaps).

    Raises:
        ValueError: if lengths differ.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    feature, control = np.asarray(feature_gaps, dtype=np.float64), np.asarray(control_gaps, dtype=np.float64)
    if not p.shape == feature.shape == control.shape:
        raise ValueError(f"all must have one length, got {p.shape}, {feature.shape} and {control.shape}.")
    matched = (np.abs(control) <= tolerance) & (feature != 0)
    if not matched.any():
        return None
    prefers_more = np.where(feature > 0, p, 1 - p)[matched]
    return wilson_interval(float(prefers_more.sum()), int(matched.sum()), level=level)


def _differs_from_zero(interval: Interval) -> bool:
    return interval.low > 0 or interval.high < 0


def _build_intervals(fit: LogOddsFit, groups: npt.ArrayLike | None, level: float) -> list[Interval]:
    """Normal intervals; the influences of a group's pairs are added up first, since they go together."""
    influences = fit.influences
    if groups is not None:
        _, numbers = np.unique(np.asarray(groups), return_inverse=True)
        if numbers.shape != influences.shape[:1]:
            raise ValueError(f"groups must have one number a pair, got {numbers.shape}.")
        influences = np.stack([np.bincount(numbers, weights=column) for column in influences.T], axis=1)
    num_groups = len(influences)
    if num_groups > 1:
        errors = np.sqrt(num_groups / (num_groups - 1) * (influences**2).sum(axis=0))
    else:
        errors = np.full(influences.shape[1], math.inf)  # one prompt says nothing about others
    z = NormalDist().inv_cdf((1 + level) / 2)
    return [
        Interval(
            estimate=float(effect),
            low=float(effect - z * error),
            high=float(effect + z * error),
            standard_error=float(error),
            level=level,
        )
        for effect, error in zip(fit.effects, errors, strict=True)
    ]
