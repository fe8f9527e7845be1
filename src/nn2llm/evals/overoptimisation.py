"""Over-optimisation: how true quality rises, peaks and falls as a policy is optimised against a proxy.

A reward model is right about the replies that it has learned from, and less and less right the further a
policy moves away from them. With the distance d = √KL(policy || start), in √nats, Gao et al. found that the
true quality R, on a scale where the start has 0, goes as

    best-of-n:                R(d) = d (α - β d)           a parabola
    reinforcement learning:   R(d) = d (α - β log d)       flatter, and longer

α says how much the first step gains, β how soon that is lost. Both forms are linear in α and β, so a least
squares fit needs no iteration.

Read best_of_n.py before. Used by recipe/study_data.py; taught in `reward-hacking`.
Source: Gao, Schulman and Hilton 2023, https://arxiv.org/abs/2210.10760, section 3.1.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["OverOptimisation", "fit_overoptimisation"]

Float64Array = npt.NDArray[np.float64]
Form = Literal["best_of_n", "rl"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OverOptimisation:
    """A fitted course of the true quality."""

    form: Form
    alpha: float
    """What the first √nat gains, in the unit of the values."""
    beta: float
    """How that gain dwindles with d; below 0 nothing is over-optimised as far as was measured."""
    start: float
    """The value at d = 0."""
    r_squared: float
    """Part of the values' variance that the curve accounts for; 1 is all, below 0 worse than their mean."""
    furthest: float
    """The largest distance among the points: beyond it the curve is a guess."""

    def predict(self, distances: npt.ArrayLike) -> Float64Array:
        """The curve at these distances, in √nats, each >= 0."""
        d = np.asarray(distances, dtype=np.float64)
        return self.start + self.alpha * d - self.beta * _bend(self.form, d)

    @property
    def peak(self) -> tuple[float, float] | None:
        """(distance, value) where the curve is highest: α / 2β, or exp(α / β - 1). None where it only rises
        or only falls, and where the place is too far away to be a number."""
        if not (self.beta > 0 and (self.alpha > 0 or self.form == "rl")):
            return None
        if self.form == "best_of_n":
            distance = self.alpha / (2 * self.beta)
        else:
            exponent = self.alpha / self.beta - 1
            if exponent > 50:
                return None
            distance = math.exp(exponent)
        return distance, float(self.predict(distance))

    @property
    def has_peaked(self) -> bool:
        """Whether the peak lies among the distances that were measured."""
        return self.peak is not None and self.peak[0] < self.furthest

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        names = ("form", "alpha", "beta", "start", "r_squared", "furthest")
        return {name: getattr(self, name) for name in names} | {
            "peak": None if self.peak is None else list(self.peak)
        }


def fit_overoptimisation(
    distances: npt.ArrayLike, values: npt.ArrayLike, *, form: Form, start: float | None = None
) -> OverOptimisation | None:
    """Least squares through points (d, value). None where they do not determine the curve: fewer different
    distances than there is to fit.

    Args:
        distances: [N] √KL, >= 0.
        values: [N] true quality there.
        form: of the curve.
        start: the value at d = 0, where it is known surely; else it is fitted too.

    Raises:
        ValueError: for an unknown form, lengths that differ, numbers that are none, a distance below 0.
    """
    if form not in ("best_of_n", "rl"):
        raise ValueError(f"form must be 'best_of_n' or 'rl', got {form!r}.")
    d, y = np.asarray(distances, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if d.ndim != 1 or d.shape != y.shape:
        raise ValueError(f"distances and values must both be [N], got {d.shape} and {y.shape}.")
    if not (np.isfinite(d).all() and np.isfinite(y).all()) or (d < 0).any():
        raise ValueError("distances must be numbers >= 0, and values numbers.")
    columns = [d, -_bend(form, d)]
    if start is None:
        columns.append(np.ones_like(d))
    table = np.stack(columns, axis=1)
    target = y if start is None else y - start
    solution, _, rank, _ = np.linalg.lstsq(table, target, rcond=None)
    if rank < len(columns):
        return None
    residuals = float(((target - table @ solution) ** 2).sum())
    spread = float(((y - y.mean()) ** 2).sum())
    return OverOptimisation(
        form=form,
        alpha=float(solution[0]),
        beta=float(solution[1]),
        start=float(solution[2]) if start is None else start,
        r_squared=1 - residuals / spread if spread > 0 else 1.0,
        furthest=float(d.max()),
    )


def _bend(form: Form, d: Float64Array) -> Float64Array:
    """What β multiplies: d², or d log d, which is 0 at 0."""
    if form == "best_of_n":
        return d * d
    return d * np.log(np.where(d > 0, d, 1.0))
