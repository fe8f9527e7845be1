"""Which of two models writes the better replies: win rates and mean differences, on the same prompts.

Each model writes one reply to each of n prompts and each reply has a score (here the gold score, elsewhere a
judge's). The win rate of A over B is

    (prompts where A's reply is better + half of those where they are equal) / n,

so two equal models have 0.5, and rate(A, B) + rate(B, A) = 1. It counts how often, not by how much; the mean
difference says by how much. Both are given: a model can win often by little and lose rarely by a lot.

Prompts are what is resampled, and a prompt keeps all its replies together (a *paired* bootstrap): a prompt
that is hard for both models says nothing about which is better, and cancels. The interval covers other
prompts of the same kinds and nothing more: not another training seed, nor another sampling seed.
Read after intervals.py. Used by recipe/report.py. Taught in `evaluating-lms` and `preference-data`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nn2llm.evals.intervals import (
    DEFAULT_RESAMPLES,
    Interval,
    bootstrap_difference,
    bootstrap_mean,
    wilson_interval,
)

__all__ = [
    "Comparison",
    "GroupMean",
    "compare_all_pairs",
    "compare_scores",
    "compute_mean_score",
    "compute_means_by_group",
]

TIE = 1e-9
"""Scores closer than this are equal: they are sums of the same parts in another order."""

MIN_DIFFERENT = 10
"""Below that the bootstrap sees too little: 3 wins, no loss and 197 ties give an interval without 0, and come
of a fair coin in one case of four."""

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Model `first` against model `second` on the same prompts."""

    first: str
    second: str
    num_prompts: int
    wins: int
    """Prompts where `first` is better."""
    ties: int
    losses: int
    win_rate: Interval
    """Wins and half of the ties, as a share."""
    difference: Interval
    """Mean of score(first) - score(second)."""

    @property
    def num_different(self) -> int:
        """Prompts where the two do not score the same."""
        return self.wins + self.losses

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the mean difference leaves out 0, and enough prompts speak for it."""
        leaves_out_0 = self.difference.low > 0 or self.difference.high < 0
        return leaves_out_0 and self.num_different >= MIN_DIFFERENT


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupMean:
    """The mean score of the prompts of one group."""

    group: str
    num_prompts: int
    mean: Interval


def compare_scores(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    names: tuple[str, str] = ("first", "second"),
    level: float = 0.95,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare scores [n] of two models, the same prompts in the same order.

    Raises:
        ValueError: if the lengths differ, there are fewer than two prompts, or a score is not finite.
    """
    first, second = _check_scores(first), _check_scores(second)
    # Made with the same seed, so both intervals stand on the same resampled prompts.
    difference = bootstrap_difference(first, second, level=level, num_resamples=num_resamples, seed=seed)
    gains = first - second
    wins, losses = int((gains > TIE).sum()), int((gains < -TIE).sum())
    ties = len(gains) - wins - losses
    points = np.where(gains > TIE, 1.0, np.where(gains < -TIE, 0.0, 0.5))
    return Comparison(
        first=names[0],
        second=names[1],
        num_prompts=len(gains),
        wins=wins,
        ties=ties,
        losses=losses,
        win_rate=compute_mean_score(points, level=level, num_resamples=num_resamples, seed=seed),
        difference=difference,
    )


def compare_all_pairs(
    scores: Mapping[str, npt.ArrayLike],
    *,
    level: float = 0.95,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> list[Comparison]:
    """Each model against each model named before it: `{"sft": …, "ppo": …}` gives ppo against sft.

    Each interval by itself holds the true figure `level` of the time; all of them together, less often.

    Raises:
        ValueError: like `compare_scores`.
    """
    names = list(scores)
    return [
        compare_scores(
            scores[later],
            scores[earlier],
            names=(later, earlier),
            level=level,
            num_resamples=num_resamples,
            seed=seed,
        )
        for index, later in enumerate(names)
        for earlier in names[:index]
    ]


def compute_mean_score(
    values: npt.ArrayLike, *, level: float = 0.95, num_resamples: int = DEFAULT_RESAMPLES, seed: int = 0
) -> Interval:
    """The mean of scores in [0, 1], by the bootstrap.

    Where all scores are equal, or there is but one, resampling them shows no spread, and an interval of width
    0 would claim certainty: 20 right answers of 20 do not prove that the 21st is right. Wilson's interval
    stands in, which is wide enough: no score in [0, 1] of a given mean spreads more than a coin of that mean.

    Raises:
        ValueError: if there is no score, or one is not in [0, 1].
    """
    values = _check_scores(values)
    if len(values) < 1 or values.min() < 0 or values.max() > 1:
        raise ValueError(f"scores must be in [0, 1], and one at least, got {_describe(values)}.")
    if len(values) == 1 or np.ptp(values) == 0:
        return wilson_interval(float(values.sum()), len(values), level=level)
    return bootstrap_mean(values, level=level, num_resamples=num_resamples, seed=seed)


def compute_means_by_group(
    values: npt.ArrayLike,
    groups: Sequence[str],
    *,
    level: float = 0.95,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> list[GroupMean]:
    """The mean of scores [n] in [0, 1] in each group, groups in the order in which they first come.

    Raises:
        ValueError: if there are not as many groups as scores, or like `compute_mean_score`.
    """
    values = _check_scores(values)
    if len(values) != len(groups):
        raise ValueError(f"each score needs its group, got {len(values)} scores and {len(groups)} groups.")
    labels = np.asarray(groups)
    means: list[GroupMean] = []
    for group in dict.fromkeys(groups):
        chosen = values[labels == group]
        interval = compute_mean_score(chosen, level=level, num_resamples=num_resamples, seed=seed)
        means.append(GroupMean(group=group, num_prompts=len(chosen), mean=interval))
    return means


def _check_scores(values: npt.ArrayLike) -> Float64Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"scores must be one row, a score a prompt, got shape {array.shape}.")
    if not np.isfinite(array).all():
        index = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"scores must be finite, got {array[index]} for prompt {index}.")
    return array


def _describe(values: Float64Array) -> str:
    return f"{len(values)} from {values.min():g} to {values.max():g}" if len(values) else "none"
