"""Curves from a stage's metrics.jsonl: thinned to what a chart can show, and how far PPO has come.

Read core/run_folder.py before. Used by report_data.py.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nn2llm.core.errors import DataError
from nn2llm.core.run_folder import read_json_lines

__all__ = ["Course", "Series", "Trend", "read_course", "read_records", "read_series", "smooth"]

_MAX_POINTS = 200
"""A chart is about 400 pixels wide: more points cannot be seen, and make the page heavy."""
_TIMINGS = {"seconds", "tokens_per_s", "mfu"}
_X = ("step", "tokens")

PPO_FIGURES = (
    "reward",
    "reward_penalised",
    "kl",
    "entropy",
    "clip_fraction",
    "explained_variance",
    "reply_length",
    "policy_loss",
    "value_loss",
    "kl_coef",
    "gold",
    "utility",
)


@dataclass(frozen=True, slots=True)
class Series:
    """A curve: the figure at each step, and the tokens trained on until then (0 where not logged)."""

    steps: tuple[float, ...]
    tokens: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure in the first and the last tenth of the iterations (three at least), and where it was best."""

    start: float
    end: float
    error: float
    """Standard error of either mean."""
    best: float
    """The largest mean of as many iterations in a row."""
    best_step: float
    """The middle of those."""

    @property
    def has_risen(self) -> bool:
        """By more than noise: three standard errors of a difference."""
        return self.end - self.start > 3 * math.sqrt(2) * self.error

    @property
    def has_fallen_back(self) -> bool:
        """From its best, by more than noise. The best is the largest of many means, so this asks for more."""
        return self.best - self.end > 4 * math.sqrt(2) * self.error


@dataclass(frozen=True, slots=True)
class Course:
    """PPO as it went on."""

    num_iterations: int
    series: dict[str, Series]
    trends: dict[str, Trend]
    """Of reward, utility, gold, kl and reply length, where there are at least 10 iterations."""

    @property
    def is_hacked(self) -> bool:
        """Gold has fallen back from its best, and the reward model's score has gone on rising since."""
        gold, reward = self.trends.get("gold"), self.trends.get("reward")
        if gold is None or reward is None or not gold.has_fallen_back:
            return False
        curve = self.series["reward"]
        nearest = min(range(len(curve.steps)), key=lambda i: abs(curve.steps[i] - gold.best_step))
        around = curve.values[
            max(0, nearest - len(curve.values) // 20) : nearest + len(curve.values) // 20 + 1
        ]
        then = sum(around) / len(around)
        return reward.end - then > 3 * math.sqrt(2) * reward.error


def read_records(path: Path) -> list[dict[str, Any]]:
    """The objects of a .jsonl file that was written whole.

    Raises:
        DataError: if it is missing, or a line is not a JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is missing or damaged. Delete its folder and run the recipe again."
        ) from error
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if not isinstance(record, dict):
            raise DataError(
                f"{path}, line {number}: not a JSON object, got {line[:60]!r}. "
                f"Delete {path.parent} and run the recipe again."
            )
        records.append(record)
    return records


def read_series(path: Path) -> dict[str, Series]:
    """Every numeric figure of a metrics.jsonl, timings apart; {} where there is no such file.

    Raises:
        DataError: if a line before the last is damaged.
    """
    records = read_json_lines(path) if path.is_file() else []
    names = dict.fromkeys(name for record in records for name in record)
    series = {}
    for name in names:
        if name in _TIMINGS or name in _X:
            continue
        points = [
            (float(record["step"]), float(record.get("tokens") or 0), float(record[name]))
            for record in records
            if isinstance(record.get(name), int | float) and math.isfinite(record[name])
        ]
        if points:
            series[name] = _thin(points)
    return series


def read_course(path: Path) -> Course | None:
    """PPO's iterations so far; None where there are none.

    Raises:
        DataError: if a line before the last is damaged.
    """
    series = {name: curve for name, curve in read_series(path).items() if name in PPO_FIGURES}
    if not series:
        return None
    trends: dict[str, Trend] = {}
    for name in ("reward", "utility", "gold", "kl", "reply_length"):
        if name in series and (trend := _find_trend(series[name])) is not None:
            trends[name] = trend
    return Course(round(max(max(curve.steps) for curve in series.values())), series, trends)


def smooth(values: Sequence[float], half_width: int) -> list[float]:
    """A local line through up to 2 half_width + 1 values around each point (Cleveland 1979).

    Unlike a running mean it neither lags nor flattens at the ends, where there are values on one side only.
    """
    y = np.asarray(values, dtype=np.float64)
    places = np.arange(len(y), dtype=np.float64)
    line = []
    for i in range(len(y)):
        window = slice(max(0, i - half_width), i + half_width + 1)
        x = places[window] - i
        weights = (1 - (np.abs(x) / (half_width + 1)) ** 3) ** 3
        total, mean_x, mean_y = weights.sum(), weights @ x, weights @ y[window]
        spread = weights @ x**2 - mean_x**2 / total
        slope = (weights @ (x * y[window]) - mean_x * mean_y / total) / spread if spread > 0 else 0.0
        line.append(float((mean_y - slope * mean_x) / total))
    return line


def _thin(points: list[tuple[float, float, float]]) -> Series:
    """At most `_MAX_POINTS` points: means over steps in a row. The last point stays where the curve ends."""
    size = math.ceil(len(points) / _MAX_POINTS)
    columns = np.array(points)
    parts = [columns[start : start + size] for start in range(0, len(columns), size)]
    means = np.array([part.mean(axis=0) for part in parts])
    means[-1, :2] = columns[-1, :2]
    return Series(*(tuple(column.tolist()) for column in means.T))


def _find_trend(curve: Series) -> Trend | None:
    """First and last tenth, at least three iterations each. None for fewer than ten iterations.

    The noise is that of the iterations around their smoothed course.
    """
    values = np.array(curve.values)
    if len(values) < 10:
        return None
    width = max(3, len(values) // 10)
    means = np.convolve(values, np.ones(width) / width, mode="valid")
    residuals = values - np.array(smooth(curve.values, width // 2 + 1))
    best = int(means.argmax())
    return Trend(
        start=float(means[0]),
        end=float(means[-1]),
        error=float(residuals.std(ddof=1) / math.sqrt(width)),
        best=float(means[best]),
        best_step=float(np.mean(curve.steps[best : best + width])),
    )
