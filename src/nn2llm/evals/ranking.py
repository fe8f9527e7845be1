"""A ranking from pairwise choices: Bradley-Terry strengths of models, with intervals.

Each model has a strength s, and i beats j with probability sigmoid(s_i - s_j); a tie is half a win for each.
The strengths are those under which the choices that were made are most probable. Only differences count, so
their mean is set to 0. What chat arenas show is the same number on the Elo scale: 400 points are odds of 10
to 1.

Some pairs of sets never compared, or a model that always won, have no finite answer (Ford 1957). A weak prior
(as if each model had won and lost a little against an average one) gives one all the same, with a wide
interval; sets that were never compared with each other are refused.

Read intervals.py before. Taught in `evaluating-lms`.
Sources: Bradley and Terry 1952, https://doi.org/10.2307/2334029; Hunter 2004,
https://doi.org/10.1214/aos/1079120141; Chiang et al. 2024 (Chatbot Arena), https://arxiv.org/abs/2403.04132.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from nn2llm.evals.intervals import Interval
from nn2llm.evals.preference_biases import sigmoid

__all__ = ["ELO_PER_NAT", "Choice", "Strength", "rank_by_choices"]

ELO_PER_NAT = 400 / math.log(10)
"""Points of the Elo scale in one nat of log-odds."""

_PRIOR = 0.1
"""Wins, and losses, of each model against an average one that are supposed before any is seen."""
_MAX_STEPS = 200

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """One comparison."""

    first: str
    second: str
    outcome: float
    """1: the first is better; 0: the second; 0.5: a tie."""

    def __post_init__(self) -> None:
        if self.first == self.second:
            raise ValueError(f"{self.first!r} was compared with itself: leave that out.")
        if not 0 <= self.outcome <= 1:
            raise ValueError(f"outcome must be between 0 and 1, got {self.outcome}.")


@dataclass(frozen=True, slots=True)
class Strength:
    """One model's place in a ranking."""

    name: str
    strength: Interval
    """In nats of log-odds against an average model."""
    num_choices: int
    """Comparisons it took part in."""


def rank_by_choices(choices: Sequence[Choice], *, level: float = 0.95) -> list[Strength]:
    """The strengths of all models in the choices, the strongest first.

    Raises:
        ValueError: if there is no choice, or two sets of models were never compared with each other.
    """
    if not choices:
        raise ValueError("a ranking needs at least one choice, got none.")
    names = sorted({name for choice in choices for name in (choice.first, choice.second)})
    places = {name: place for place, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    for choice in choices:
        first, second = places[choice.first], places[choice.second]
        wins[first, second] += choice.outcome
        wins[second, first] += 1 - choice.outcome
    games = wins + wins.T
    _check_connected(games, names)
    strengths, covariance = _fit(wins, games)
    z = NormalDist().inv_cdf((1 + level) / 2)
    errors = np.sqrt(np.diag(covariance))
    found = [
        Strength(
            name,
            Interval(
                estimate=float(strength),
                low=float(strength - z * error),
                high=float(strength + z * error),
                standard_error=float(error),
                level=level,
            ),
            round(float(number)),
        )
        for name, strength, error, number in zip(names, strengths, errors, games.sum(axis=1), strict=True)
    ]
    return sorted(found, key=lambda one: (-one.strength.estimate, one.name))


def _fit(wins: Float64Array, games: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Newton's method on the log-posterior, which is concave; strengths of mean 0 and their covariance."""
    num = len(wins)
    strengths = np.zeros(num)
    centre = np.eye(num) - 1 / num
    for _ in range(_MAX_STEPS):
        p = sigmoid(np.subtract.outer(strengths, strengths))
        own = sigmoid(strengths)  # against the average model of the prior
        gradient = wins.sum(axis=1) - (games * p).sum(axis=1) + _PRIOR * (1 - 2 * own)
        curvature = games * p * (1 - p)
        information = np.diag(curvature.sum(axis=1) + 2 * _PRIOR * own * (1 - own)) - curvature
        step = np.linalg.solve(information, gradient)
        step *= min(
            1.0, 2.0 / max(float(np.abs(step).max()), 1e-300)
        )  # far from the top a step may be too long
        strengths = strengths + step
        if np.abs(step).max() < 1e-10:
            break
    return centre @ strengths, centre @ np.linalg.inv(information) @ centre


def _check_connected(games: Float64Array, names: Sequence[str]) -> None:
    reached = {0}
    todo = [0]
    while todo:
        for other in np.flatnonzero(games[todo.pop()]):
            if int(other) not in reached:
                reached.add(int(other))
                todo.append(int(other))
    if len(reached) < len(names):
        apart = [name for place, name in enumerate(names) if place not in reached]
        raise ValueError(
            f"{', '.join(apart)} were never compared with {names[0]} or what was compared with it, so there "
            "is no common ranking. Add such comparisons, or rank each set by itself."
        )
