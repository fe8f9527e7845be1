"""Paint, then run: the reader paints the table they expect in a few levels; then the run stands beside it.

Read after draw_curve.py. Made by `Draw.heatmap` (draw.py); drawn by frontend/src/widgets/draw_heatmap.ts.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import traitlets as t
from numpy.typing import NDArray

from nn2llm.course.figures.base import Figure
from nn2llm.course.figures.colours import SEQUENTIAL, ramp
from nn2llm.course.figures.draw_curve import call_run
from nn2llm.course.figures.draw_words import say_tables
from nn2llm.course.figures.errors import FigureError
from nn2llm.course.figures.svg import Drawing, png_data_url
from nn2llm.course.figures.ticks import format_number
from nn2llm.course.figures.values import as_array, as_range, as_words

__all__ = ["DrawHeatmap"]

_MOST = 24
"""More rows or columns nobody paints by hand."""


class DrawHeatmap(Figure):
    """A table to paint, and the run that is shown beside it; made by `Draw.heatmap`.

    The traits follow the reader: `sketch` holds a level (0, 1, …) or None for each cell; `asked`, `answered`,
    `run` (a table, [] before), `words` and `failure` are as in DrawCurve.
    """

    bundle: ClassVar[str] = "draw_heatmap"

    rows = t.List(t.Unicode()).tag(sync=True)
    columns = t.List(t.Unicode()).tag(sync=True)
    names = t.List(t.Unicode()).tag(sync=True)
    levels = t.List(t.Unicode()).tag(sync=True)
    limits = t.List(t.Float()).tag(sync=True)
    sketch: t.List[list[int | None]] = t.List().tag(sync=True)
    asked = t.Int(0).tag(sync=True)
    answered = t.Int(0).tag(sync=True)
    run: t.List[list[float | None]] = t.List().tag(sync=True)
    words = t.List(t.Unicode()).tag(sync=True)
    failure = t.Unicode("").tag(sync=True)
    name = t.Unicode("").tag(sync=True)

    def __init__(
        self,
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
    ) -> None:
        row_words, column_words = _read_labels(rows, "rows"), _read_labels(columns, "columns")
        low, high = as_range(limits, "limits")
        count = levels if isinstance(levels, int) else len(levels)
        if not 2 <= count <= 9:
            raise FigureError(f"levels must be between 2 and 9, got {count}. Typical: 4.")
        if isinstance(levels, int):
            levels = [format_number(float(value), 2) for value in np.linspace(low, high, count)]
        self._run = run
        self._shape = (len(row_words), len(column_words))
        if not callable(run):
            self._read(run)
        super().__init__(
            title=title, alt=alt, height=height, name=name, rows=row_words, columns=column_words,
            names=[row_name, column_name, value_name, unit], levels=as_words(levels, "levels", count),
            limits=[low, high], sketch=[[None] * len(column_words) for _ in row_words],
        )  # fmt: skip
        self.observe(lambda _change: self._answer(), names="asked")

    def draw(self, levels: Sequence[Sequence[int | None]]) -> "DrawHeatmap":
        """Paints from Python: a level (0, 1, …) or None for each cell."""
        if len(levels) != self._shape[0] or any(len(row) != self._shape[1] for row in levels):
            raise FigureError(f"the table has shape {self._shape}; give one level for each cell.")
        known = range(len(self.levels))
        if any(level is not None and level not in known for row in levels for level in row):
            raise FigureError(f"a level must lie from 0 to {len(self.levels) - 1}, or be None.")
        self.sketch = [list(row) for row in levels]
        return self

    def press_run(self) -> "DrawHeatmap":
        """As if the reader pressed Run."""
        self.asked += 1
        return self

    def _read(self, result: Any) -> NDArray[np.float64]:
        if result is None:
            raise FigureError("the run returned nothing. Let the function return the table.")
        table = as_array(result, "the run", ndim=2)
        if table.shape != self._shape:
            raise FigureError(f"the run has shape {table.shape}, the table to paint {self._shape}.")
        return table

    def _answer(self) -> None:
        if callable(self._run):
            table, failure = call_run(self._run, self._read)
        else:
            table, failure = self._read(self._run), ""
        with self.hold_sync():
            self.failure = failure
            self.run, self.words = [], []
            if table is not None:
                self.run = [[float(v) if np.isfinite(v) else None for v in row] for row in table]
                painted = self._painted()
                if np.isfinite(painted).any():
                    self.words = say_tables(
                        painted, table, self.limits, num_levels=len(self.levels), rows=self.rows,
                        columns=self.columns, row_name=self.names[0], column_name=self.names[1],
                        unit=self.names[3],
                    )  # fmt: skip
            self.answered = self.asked
        self.refresh_alt()

    def _painted(self) -> NDArray[np.float64]:
        """The painted levels as numbers between the limits; NaN where nothing is painted."""
        values = np.linspace(self.limits[0], self.limits[1], len(self.levels))
        return np.array([[np.nan if at is None else values[at] for at in row] for row in self.sketch])

    def summary(self) -> str:
        """What is to be painted; after the run what was said of it."""
        row_name, column_name, value_name, _ = self.names
        text = (
            f"{self.lead}A table of {value_name} to paint, {len(self.rows)} rows ({row_name}) and "
            f"{len(self.columns)} columns ({column_name})"
        )
        return " ".join([f"{text}; it has run.", *self.words]) if self.run else f"{text}, then to run."

    def to_svg(self) -> str:
        """What is painted so far, and after the run the run beside it; 640 pixels wide."""
        row_count, column_count = self._shape
        left = 20 + min(110, 7 * max(len(word) for word in self.rows))
        cell = min(36.0, (620 - 2 * left) / (2 * column_count), 360 / row_count)
        top = 70.0 + (18 if self.title else 0)
        drawing = Drawing(640, top + cell * row_count + 16, title=self.title, alt=self.alt)
        if self.title:
            drawing.text(10, 22, self.title, fill="ink", size=14, bold=True)
        row_name, column_name, value_name, unit = self.names
        words = f"{row_name} ↓  {column_name} →   {value_name}{f' ({unit})' if unit else ''}"
        drawing.text(10, top - 44, words, fill="ink")
        tables = [("your sketch", self._painted())]
        if self.run:
            tables.append(("the run", np.array(self.run, dtype=float)))
        for index, (name, table) in enumerate(tables):
            x = left + index * 310
            drawing.text(x, top - 24, name, fill="ink", bold=True)
            shares = (table - self.limits[0]) / (self.limits[1] - self.limits[0])
            url = png_data_url(ramp(shares, SEQUENTIAL))
            drawing.image(x, top, cell * column_count, cell * row_count, url, smooth=False)
            if index == 0:
                for row, word in enumerate(self.rows):
                    drawing.text(x - 6, top + (row + 0.5) * cell + 4, word[:15], anchor="end")
            for column, word in enumerate(self.columns):
                drawing.text(x + (column + 0.5) * cell, top - 6, word[:5], anchor="middle", size=10)
        return drawing.finish()


def _read_labels(given: int | Iterable[Any], name: str) -> list[str]:
    words = (
        [str(index) for index in range(given)] if isinstance(given, int) else [str(item) for item in given]
    )
    if not 1 <= len(words) <= _MOST:
        raise FigureError(f"{name} must be between 1 and {_MOST} (a hand paints it), got {len(words)}.")
    return words
