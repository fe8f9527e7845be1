"""Draw, then run: say what you expect before you see it. A curve to sketch, a table to paint.

Read after draw_curve.py and draw_heatmap.py. Used by the figure cells of lessons.

    Draw.curve(x_label="step", x_range=(0, 40), y_label="loss", y_range=(0, 2), run=losses_at_rate_5_percent)
    Draw.heatmap(tokens, tokens, row_name="query", column_name="key", value_name="attention", run=attend)
"""

from collections.abc import Iterable, Sequence
from typing import Any

from nn2llm.course.figures.draw_curve import DrawCurve
from nn2llm.course.figures.draw_heatmap import DrawHeatmap

__all__ = ["Draw"]


class Draw:
    """Two figures that ask first and run then."""

    @staticmethod
    def curve(
        *,
        run: Any,
        x_range: Sequence[float],
        y_range: Sequence[float],
        x_label: str = "x",
        y_label: str = "y",
        x_unit: str = "",
        y_unit: str = "",
        log_y: bool = False,
        num_points: int | None = None,
        start: float | None = None,
        name: str = "",
        title: str = "",
        alt: str = "",
        height: int = 0,
    ) -> DrawCurve:
        """A chart in which the reader sketches a curve, presses Run, and sees the run drawn over it.

        Args:
            run: a function without arguments, called when the reader presses Run, or what it would return:
                the heights, spread evenly over the x axis, or a pair (x, y). Nothing of it reaches the page
                before.
            x_range, y_range: (low, high) of the axes. Choose y_range so that it does not give the answer
                away.
            x_label, y_label, x_unit, y_unit: what the axes show, in which unit.
            log_y: a logarithmic y axis; distances are then factors.
            num_points: places along x where the sketch has a height; one for each whole number by default
                where there are at most 61 of them, else 41.
            start: the height at the left end, where it is known; it is drawn already.
            name: under this name the page keeps the sketch over a reload; by default the labels and ranges.

        Raises:
            FigureError: where a range, `start` or the arrays given as `run` make no chart.
        """
        return DrawCurve(
            run=run, x_range=x_range, y_range=y_range, x_label=x_label, y_label=y_label, x_unit=x_unit,
            y_unit=y_unit, log_y=log_y, num_points=num_points, start=start, name=name, title=title, alt=alt,
            height=height,
        )  # fmt: skip

    @staticmethod
    def heatmap(
        rows: int | Iterable[Any],
        columns: int | Iterable[Any],
        *,
        run: Any,
        levels: int | Sequence[str] = 4,
        limits: Sequence[float] = (0.0, 1.0),
        row_name: str = "row",
        column_name: str = "column",
        value_name: str = "value",
        unit: str = "",
        name: str = "",
        title: str = "",
        alt: str = "",
        height: int = 0,
    ) -> DrawHeatmap:
        """A table that the reader paints in a few levels before the run is shown beside it.

        Args:
            rows, columns: their labels, or how many there are.
            run: a function without arguments that returns the table, or the table itself.
            levels: how many levels to paint with, or their names, from low to high.
            limits: (low, high): the numbers that the first and the last level stand for.
            row_name, column_name, value_name, unit: what rows, columns and numbers are.
            name: under this name the page keeps the sketch over a reload; by default the names and labels.

        Raises:
            FigureError: where labels, levels or the table given as `run` do not fit.
        """
        return DrawHeatmap(
            rows, columns, run=run, levels=levels, limits=limits, row_name=row_name, column_name=column_name,
            value_name=value_name, unit=unit, name=name, title=title, alt=alt, height=height,
        )  # fmt: skip
