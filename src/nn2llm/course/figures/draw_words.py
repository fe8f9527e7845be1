"""How far a sketch lies from the run, in numbers and in one or two sentences that are surely true.

Pure functions on arrays. Read before draw_curve.py and draw_heatmap.py, which show what is said here.
A shape is named only where it is clear: the same at a small and at twice that tolerance. Where it is not,
nothing is said of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn2llm.course.figures.ticks import format_number

__all__ = ["CurveDistance", "Shape", "bridge", "compare_curves", "find_shape", "say_curves", "say_tables"]

Floats = NDArray[np.float64]

_TOLERANCE = 0.04
"""A turn counts when the curve comes back by this share of the chart's height."""


def bridge(points: Sequence[float | None]) -> Floats:
    """The sketch at every place: straight lines between what is drawn, NaN beyond the first and last."""
    values = np.array([np.nan if point is None else point for point in points], dtype=np.float64)
    drawn = np.flatnonzero(np.isfinite(values))
    if len(drawn) == 0:
        return values
    places = np.arange(len(values))
    return np.interp(places, drawn, values[drawn], left=np.nan, right=np.nan)


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveDistance:
    """How far two curves lie apart where both are known."""

    mean: float
    """Mean distance in the unit of y; on a log axis the mean factor between them (1: the same)."""
    share: float
    """The mean distance along the axis, as a share of the chart's height."""
    first: int
    """Index of the first place compared."""
    last: int
    left_at: int | None
    """Index of the first place where the run lies outside the chart; None where it stays inside."""


def compare_curves(
    sketch: Floats, run: Floats, y_range: Sequence[float], *, log: bool = False
) -> CurveDistance | None:
    """Both curves at the same places, NaN where unknown → their distance; None where they share no place.

    Beyond the chart its edge counts: a run that explodes is as far away as the learner could have drawn.
    """
    both = np.flatnonzero(np.isfinite(sketch) & ~np.isnan(run))
    if len(both) == 0:
        return None
    low, high = y_range
    yours, truth = _scale(sketch[both], y_range, log), _scale(run[both], y_range, log)
    share = float(np.abs(yours - truth).mean())
    outside = both[(run[both] > high) | (run[both] < low)]
    return CurveDistance(
        mean=(high / low) ** share if log else share * (high - low),
        share=share,
        first=int(both[0]),
        last=int(both[-1]),
        left_at=int(outside[0]) if len(outside) else None,
    )


def _scale(values: Floats, y_range: Sequence[float], log: bool) -> Floats:
    """Heights as shares of the chart, 0 at the bottom and 1 on top; what lies beyond is at the edge."""
    low, high = y_range
    kept = np.clip(values, low, high)
    if log:
        return np.asarray(np.log(kept / low) / np.log(high / low))
    return np.asarray((kept - low) / (high - low))


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What a curve does, from left to right."""

    moves: tuple[int, ...]
    """1 for each rise and -1 for each fall, alternating; empty where it is flat."""
    turns: tuple[int, ...]
    """The index where each move but the first begins."""

    def say(self, name: str, x_label: str, xs: Floats, *, plural: bool = False) -> str:
        """yours falls all the way; the run turns up after step 12."""
        s = "" if plural else "s"
        if not self.moves:
            return f"{name} stay{s} flat"
        verbs = {1: f"rise{s}", -1: f"fall{s}"}
        if len(self.moves) == 1:
            return f"{name} {verbs[self.moves[0]]} all the way"
        if len(self.moves) == 2:
            where = f"{x_label} {format_number(float(xs[self.turns[0]]), 3)}"
            return f"{name} turn{s} {'up' if self.moves[1] > 0 else 'down'} after {where}"
        return f"{name} swing{s} up and down ({len(self.turns)} turns)"


def find_shape(heights: Floats, tolerance: float = _TOLERANCE) -> Shape | None:
    """The rises and falls of a curve whose heights are shares of the chart; None where it is not clear."""
    heights = heights[np.isfinite(heights)]
    if len(heights) < 3:
        return None
    fine, coarse = _find_moves(heights, tolerance), _find_moves(heights, 2 * tolerance)
    return fine if fine.moves == coarse.moves else None


def _find_moves(heights: Floats, tolerance: float) -> Shape:
    """Turns that come back by more than the tolerance; smaller ones are the hand's trembling."""
    moves: list[int] = []
    turns: list[int] = []
    low = high = 0
    for at, height in enumerate(heights):
        direction = moves[-1] if moves else 0
        if height > heights[high]:
            high = at
        if height < heights[low]:
            low = at
        if direction != 1 and height - heights[low] > tolerance:
            if moves:
                turns.append(low)
            moves.append(1)
            high = at
        elif direction != -1 and heights[high] - height > tolerance:
            if moves:
                turns.append(high)
            moves.append(-1)
            low = at
    return Shape(moves=tuple(moves), turns=tuple(turns))


def say_curves(
    xs: Floats,
    sketch: Floats,
    run: Floats,
    y_range: Sequence[float],
    *,
    log: bool = False,
    x_label: str = "x",
    y_unit: str = "",
) -> list[str]:
    """What is to say of a sketch and the run: how far, where the run leaves the chart, the shape."""
    found = compare_curves(sketch, run, y_range, log=log)
    if found is None:
        return ["Your sketch and the run share no place, so there is nothing to compare."]
    unit = f" {y_unit}" if y_unit else ""
    share = f"{100 * found.share:.0f}% of the chart's height"
    if log:
        text = f"On average yours and the run lie a factor of {format_number(found.mean, 2)} apart ({share})"
    else:
        text = f"On average yours lies {format_number(found.mean, 2)}{unit} from the run ({share})"
    known = np.flatnonzero(~np.isnan(run))
    if found.first > known[0] or found.last < known[-1]:
        ends = [format_number(float(xs[at]), 3) for at in (found.first, found.last)]
        text += f", between {x_label} {ends[0]} and {ends[1]}, where you drew"
    said = [text + "."]
    shape = _say_shapes(xs, sketch, run, y_range, log, x_label)
    if shape:
        said.append(shape)
    if found.left_at is not None:
        side = "top" if run[found.left_at] > y_range[1] else "bottom"
        said.append(
            f"The run leaves the chart through the {side} at {x_label} "
            f"{format_number(float(xs[found.left_at]), 3)} and ends at "
            f"{format_number(float(run[known[-1]]), 2)}; for the distance the edge counts."
        )
    return said


def _say_shapes(
    xs: Floats, sketch: Floats, run: Floats, y_range: Sequence[float], log: bool, x_label: str
) -> str:
    both = np.isfinite(sketch) & ~np.isnan(run)
    xs, yours, truth = xs[both], _scale(sketch[both], y_range, log), _scale(run[both], y_range, log)
    drawn, true = find_shape(yours), find_shape(truth)
    if drawn is None or true is None:
        return ""
    if drawn.moves != true.moves:
        return f"{drawn.say('Yours', x_label, xs)}; {true.say('the run', x_label, xs)}."
    if not true.moves:
        return "Both stay flat."
    if len(true.moves) > 1:
        return ""
    said = true.say("Both", x_label, xs, plural=True)
    halves = [float(xs[_find_half(heights)]) for heights in (yours, truth)]
    apart, width = abs(halves[0] - halves[1]), float(xs[-1] - xs[0])
    # a difference in speed is said only where no reading of the hand could turn it round
    if apart > 0.1 * width and max(halves) - xs[0] >= 2 * (min(halves) - xs[0]):
        word = "fall" if true.moves[0] < 0 else "rise"
        return (
            f"{said}, but the run has half of its {word} behind it by {x_label} "
            f"{format_number(halves[1], 3)}, yours by {x_label} {format_number(halves[0], 3)}."
        )
    return said + "."


def _find_half(heights: Floats) -> int:
    """The first place where a curve has gone half of its way."""
    gone = np.abs(heights - heights[0])
    return int(np.argmax(gone >= 0.5 * gone.max()))


def say_tables(
    sketch: Floats, run: Floats, limits: Sequence[float], *, num_levels: int, rows: list[str],
    columns: list[str], row_name: str = "row", column_name: str = "column", unit: str = "",
) -> list[str]:  # fmt: skip
    """What is to say of a painted table (NaN: not painted) and the run: levels met, distance, worst cell."""
    both = np.isfinite(sketch) & np.isfinite(run)
    if not both.any():
        return ["You painted no cell that the run has, so there is nothing to compare."]
    low, high = limits
    kept = np.clip(run, low, high)
    apart = np.where(both, np.abs(sketch - kept), 0.0)
    mean = float(apart[both].mean())
    levels = np.rint((kept - low) / (high - low) * (num_levels - 1)) * (high - low) / (num_levels - 1) + low
    met = int((np.abs(levels - sketch)[both] < 1e-9 * (high - low)).sum())
    cells = "painted cell has" if both.sum() == 1 else "painted cells have"
    unit = f" {unit}" if unit else ""
    said = [
        f"{met} of {both.sum()} {cells} the level of the run; on average you are "
        f"{format_number(mean, 2)}{unit} away ({100 * mean / (high - low):.0f}% of the range)."
    ]
    shape = _say_table_shape(sketch, kept, both, low, high)
    if shape:
        said.append(shape)
    elif met < both.sum():
        row, column = np.unravel_index(int(np.argmax(apart)), apart.shape)
        said.append(
            f"Furthest: {row_name} {rows[row]}, {column_name} {columns[column]}: yours "
            f"{format_number(float(sketch[row, column]), 2)}, the run "
            f"{format_number(float(run[row, column]), 2)}."
        )
    return said


def _say_table_shape(sketch: Floats, run: Floats, both: NDArray[np.bool_], low: float, high: float) -> str:
    """Two mistakes that show in a square table: rows and columns exchanged, a triangle that must be empty."""
    size = len(run)
    if run.shape != (size, size) or size < 2:
        return ""
    if both.all():
        away, turned = float(np.abs(sketch - run).mean()), float(np.abs(sketch - run.T).mean())
        if away > 0.15 * (high - low) and turned < 0.25 * away:
            return "Yours is the run with rows and columns exchanged."
    above, below = np.triu_indices(size, 1), np.tril_indices(size, -1)
    for name, part, other in (("above", above, below), ("below", below, above)):
        if np.all(run[part] == low) and np.any(run[other] > low):
            count = int((sketch[part][both[part]] > low).sum())
            if count:
                cells = "1 cell" if count == 1 else f"{count} cells"
                return (
                    f"In the run every cell {name} the diagonal is {format_number(low)}; you painted {cells} "
                    "there higher."
                )
    return ""
