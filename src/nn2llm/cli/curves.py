"""Curves: in the terminal with braille dots, and as a PNG with matplotlib.

A terminal cell holds one braille character of 2 x 4 dots (U+2800 and up), so a plot of 70 x 16 cells has
140 x 64 dots. Colours help, but the plot is legible without them: curves carry letters or circles.
Used by runs.py.
"""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.text import Text

from nn2llm.core.files import write_bytes_atomic

__all__ = ["Curve", "Scale", "draw_curves", "format_count", "save_png", "smooth"]

Scale = Literal["linear", "log"]

_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")
# Okabe and Ito 2008: tell apart also by those who see no red or green, and in grey.
_PNG_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
# Which bit of a braille character each dot is: by column, from the top.
_DOT_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_MIN_CELLS_BETWEEN_MARKS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Points to draw; those that are not finite are left out."""

    name: str
    """For the legend."""
    x: Sequence[float]
    """Steps, tokens or seconds."""
    y: Sequence[float]
    """Losses."""
    group: int = 0
    """Curves of one group, such as the training and validation loss of one run, have one colour."""
    kind: Literal["line", "points", "faint"] = "line"
    """A line, or marks at some of the points; faint is a background, drawn in the PNG only."""
    mark: str = ""
    """The letter of `points`, and in the legend of a line too."""

    def finite_points(self, x_scale: Scale, y_scale: Scale) -> list[tuple[float, float]]:
        """The points that can be drawn: finite, and positive on a logarithmic axis."""
        return [
            (x, y)
            for x, y in zip(self.x, self.y, strict=True)
            if math.isfinite(x)
            and math.isfinite(y)
            and (x_scale != "log" or x > 0)
            and (y_scale != "log" or y > 0)
        ]


def smooth(values: Sequence[float], half_width: int) -> list[float]:
    """Running mean over 2 half_width + 1 values.

    It is centred, so a falling curve is not shifted to the right, as an exponential mean would shift it. At
    the start, where losses fall fast, fewer values are taken on both sides; at the end, fewer to come.
    """
    sums = list(itertools.accumulate(values, initial=0.0))
    means = []
    for i in range(len(values)):
        first, last = i - min(half_width, i), min(i + min(half_width, i), len(values) - 1)
        means.append((sums[last + 1] - sums[first]) / (last + 1 - first))
    return means


def format_count(value: float) -> str:
    """A number in at most about six characters: 950, 1.5k, 12M."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.4g}"


class _Axis:
    """Maps values to dots, and knows where ticks go."""

    def __init__(self, values: Sequence[float], scale: Scale, num_dots: int, num_ticks: int) -> None:
        self.scale = scale
        self._num_dots = num_dots
        low, high = min(values), max(values)
        if low == high:  # one point: some room around it
            pad = abs(low) * 0.1 or 1.0
            low, high = low - (pad if scale == "linear" else low / 2), high + pad
        self.low, self.high = low, high
        self.ticks = _nice_ticks(low, high, num_ticks, scale)

    def dot(self, value: float) -> int:
        """0 at the low end, num_dots - 1 at the high end."""
        low, high, here = (math.log(v) if self.scale == "log" else v for v in (self.low, self.high, value))
        return round((here - low) / (high - low) * (self._num_dots - 1))


def _nice_ticks(low: float, high: float, count: int, scale: Scale) -> list[float]:
    """Round numbers between low and high, about `count` of them."""
    if scale == "log":
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
            ticks = [
                step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high
            ]
            if len(ticks) >= 3:
                every = math.ceil(len(ticks) / max(count, 3))
                return ticks[::every]
    rough = (high - low) / max(count, 2)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


class _Canvas:
    """A grid of cells, each with braille dots or a mark, and the group that drew there last."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._dots = [[0] * width for _ in range(height)]
        self._marks = [[""] * width for _ in range(height)]
        self._groups = [[0] * width for _ in range(height)]

    def draw_line(self, start: tuple[int, int], end: tuple[int, int], group: int) -> None:
        """All dots between two dots; (0, 0) is at the lower left."""
        (x0, y0), (x1, y1) = start, end
        num_steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for i in range(num_steps + 1):
            x, y = round(x0 + (x1 - x0) * i / num_steps), round(y0 + (y1 - y0) * i / num_steps)
            row, line = self.height - 1 - y // 4, 3 - y % 4
            self._dots[row][x // 2] |= _DOT_BITS[x % 2][line]
            self._groups[row][x // 2] = group

    def put_mark(self, dot: tuple[int, int], mark: str, group: int) -> None:
        """A letter in place of the dots of a cell."""
        row, column = self.height - 1 - dot[1] // 4, dot[0] // 2
        self._marks[row][column], self._groups[row][column] = mark, group

    def render_row(self, row: int) -> Text:
        """One line of text."""
        text = Text()
        for dots, mark, group in zip(self._dots[row], self._marks[row], self._groups[row], strict=True):
            if mark:
                text.append(mark, style=f"bold {_COLOURS[group % len(_COLOURS)]}")
            else:
                text.append(
                    chr(0x2800 + dots) if dots else " ", style=_COLOURS[group % len(_COLOURS)] if dots else ""
                )
        text.rstrip()
        return text


def draw_curves(
    curves: Sequence[Curve],
    *,
    width: int,
    height: int,
    x_label: str,
    y_label: str,
    x_scale: Scale = "linear",
    y_scale: Scale = "linear",
) -> Text:
    """A plot with labelled axes and a legend, at most `width` columns wide, with `height` lines of curve."""
    points = [curve.finite_points(x_scale, y_scale) for curve in curves]
    everything = [
        p for some, curve in zip(points, curves, strict=True) if curve.kind != "faint" for p in some
    ]
    if not everything:
        return Text("No finite losses to draw yet.")
    y_axis = _Axis([y for _, y in everything], y_scale, 4 * height, max(2, height // 4))
    y_names = [_format_tick(tick, y_axis.ticks) for tick in y_axis.ticks]
    margin = max(map(len, y_names)) + 2
    canvas = _Canvas(max(10, width - margin - 1), height)
    x_axis = _Axis([x for x, _ in everything], x_scale, 2 * canvas.width, canvas.width // 12)
    num_pointed = sum(curve.kind == "points" for curve in curves)
    # Marks come last: they may not be drawn over.
    for curve, some in sorted(zip(curves, points, strict=True), key=lambda pair: pair[0].kind == "points"):
        dots = [(x_axis.dot(x), y_axis.dot(y)) for x, y in some]
        if curve.kind == "line":
            for start, end in zip(dots, dots[1:] or dots, strict=False):
                canvas.draw_line(start, end, curve.group)
        elif curve.kind == "points":
            for dot in _choose_marks(dots, curve.group, num_pointed):
                canvas.put_mark(dot, curve.mark, curve.group)

    tick_rows = {
        height - 1 - y_axis.dot(tick) // 4: name for tick, name in zip(y_axis.ticks, y_names, strict=True)
    }
    plot = Text(f"{y_label} ({y_scale})\n")
    for row in range(height):
        name = tick_rows.get(row, "")
        plot.append(f"{name:>{margin - 1}} {'┤' if name else '│'}")
        plot.append(canvas.render_row(row))
        plot.append("\n")
    axis_line, names_line = _render_x_axis(x_axis, canvas.width)
    plot.append(" " * margin + "└" + axis_line + "\n")
    plot.append(" " * (margin + 1) + names_line + "\n")
    plot.append(f"{x_label} ({x_scale})".center(canvas.width + margin + 1).rstrip() + "\n")
    for curve in curves:
        if curve.kind != "faint":
            symbol = f"⠒{curve.mark or '⠒'}⠒" if curve.kind == "line" else f" {curve.mark} "
            plot.append(" " * (margin + 1))
            plot.append(f"{symbol} ", style=f"bold {_COLOURS[curve.group % len(_COLOURS)]}")
            plot.append(curve.name + "\n")
    plot.rstrip()
    return plot


def _choose_marks(dots: list[tuple[int, int]], group: int, num_groups: int) -> list[tuple[int, int]]:
    """Some of the points, a few cells apart; runs that were measured at the same places take turns."""
    spaced: list[tuple[int, int]] = []
    for dot in dots:
        if not spaced or dot[0] // 2 - spaced[-1][0] // 2 >= _MIN_CELLS_BETWEEN_MARKS:
            spaced.append(dot)
    chosen = spaced[group % num_groups :: num_groups] if num_groups > 1 else spaced
    # The last point is always drawn: it is the one that people look for.
    return [*chosen, dots[-1]] if dots else []


def _format_tick(tick: float, ticks: Sequence[float]) -> str:
    """With as many decimals as tell the ticks apart."""
    if max(map(abs, ticks)) >= 1000:
        return format_count(tick)
    gaps = [after - before for before, after in itertools.pairwise(ticks)]
    gap = min(gaps) if gaps else abs(tick) or 1.0
    decimals = next(
        (d for d in range(6) if abs(round(gap, d) - gap) < 1e-6 * gap and gap >= 10.0**-d * 0.999), 6
    )
    return f"{tick:.{decimals}f}"


def _render_x_axis(axis: _Axis, width: int) -> tuple[str, str]:
    line, names = ["─"] * width, [" "] * width
    free_from = 0
    for tick in axis.ticks:
        column = axis.dot(tick) // 2
        name = _format_tick(tick, axis.ticks)
        start = min(max(0, column - len(name) // 2), width - len(name))
        if start < free_from:
            continue
        line[column] = "┬"
        names[start : start + len(name)] = name
        free_from = start + len(name) + 1
    return "".join(line), "".join(names).rstrip()


def save_png(
    path: Path,
    curves: Sequence[Curve],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_scale: Scale = "linear",
    y_scale: Scale = "linear",
) -> None:
    """The same curves as an image of 1600 x 900 pixels.

    Raises:
        StorageError: if it cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(8, 4.5), dpi=200, layout="constrained")
    axes = figure.add_subplot()
    for curve in curves:
        points = curve.finite_points(x_scale, y_scale)
        x, y = [x for x, _ in points], [y for _, y in points]
        colour = _PNG_COLOURS[curve.group % len(_PNG_COLOURS)]
        if curve.kind == "faint":
            axes.plot(x, y, color=colour, alpha=0.25, linewidth=0.7, label=curve.name)
        elif curve.kind == "line":
            axes.plot(x, y, color=colour, linewidth=1.6, label=curve.name)
        else:
            axes.plot(
                x,
                y,
                color=colour,
                linestyle="--",
                linewidth=1.2,
                marker="o",
                markersize=3.5,
                label=curve.name,
            )
    axes.set(title=title, xlabel=f"{x_label} ({x_scale})", ylabel=f"{y_label} ({y_scale})")
    axes.set_xscale(x_scale)
    axes.set_yscale(y_scale)
    for axis, (low, high), scale in (
        (axes.xaxis, axes.get_xlim(), x_scale),
        (axes.yaxis, axes.get_ylim(), y_scale),
    ):
        ticks = _nice_ticks(low, high, 8, scale)
        axis.set_ticks(ticks, [_format_tick(tick, ticks) for tick in ticks])
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    write_bytes_atomic(path, image.getvalue())
