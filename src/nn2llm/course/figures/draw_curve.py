"""Draw, then run: the reader sketches the curve they expect; then the run is drawn over it.

Read after base.py and draw_words.py. Made by `Draw.curve` (draw.py); drawn by
frontend/src/widgets/draw_curve.ts.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import traitlets as t
from numpy.typing import NDArray

from nn2llm.course.figures.base import Figure
from nn2llm.course.figures.capture import run_captured
from nn2llm.course.figures.draw_words import bridge, say_curves
from nn2llm.course.figures.errors import FigureError
from nn2llm.course.figures.plot_svg import draw_legend
from nn2llm.course.figures.svg import DASHES, Axes, Axis, Drawing, series_colour
from nn2llm.course.figures.ticks import format_number
from nn2llm.course.figures.values import as_array, as_number, as_range

__all__ = ["DrawCurve", "call_run"]

_MOST_POINTS = 201
_SKETCH, _RUN = 1, 0
"""Their styles: the sketch is dashed, the run solid."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def call_run(run: Callable[[], Any], read: Callable[[Any], Any]) -> tuple[Any, str]:
    """What `read` makes of what `run()` returns, and "" ; or None and why there is nothing, in a sentence."""
    outputs, result = run_captured(run, {})
    for output in outputs:
        if output["kind"] == "error":
            return None, str(output["message"])
    try:
        return read(result), ""
    except FigureError as error:
        return None, f"{getattr(run, '__name__', 'the run')}() ran, but {error}"


class DrawCurve(Figure):
    """A chart to sketch in, and the run that is drawn over the sketch; made by `Draw.curve`.

    The traits follow the reader: `sketch` holds a height or None for each of `xs`; `asked` counts how often
    Run was pressed; `run` is {"x", "y"} after it, {} before; `words` say how far the sketch is off; `failure`
    says why the run did not come.
    """

    bundle: ClassVar[str] = "draw_curve"

    x_axis = t.Dict().tag(sync=True)
    y_axis = t.Dict().tag(sync=True)
    xs = t.List(t.Float()).tag(sync=True)
    start = t.Float(None, allow_none=True).tag(sync=True)
    sketch: t.List[float | None] = t.List().tag(sync=True)
    asked = t.Int(0).tag(sync=True)
    answered = t.Int(0).tag(sync=True)
    run = t.Dict().tag(sync=True)
    words = t.List(t.Unicode()).tag(sync=True)
    failure = t.Unicode("").tag(sync=True)
    name = t.Unicode("").tag(sync=True)

    def __init__(
        self,
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
    ) -> None:
        x_limits, y_limits = as_range(x_range, "x_range"), as_range(y_range, "y_range", log=log_y)
        if num_points is None:
            width = x_limits[1] - x_limits[0]
            num_points = int(width) + 1 if width.is_integer() and 4 <= width <= 60 else 41
        if not 3 <= num_points <= _MOST_POINTS:
            raise FigureError(f"num_points must lie between 3 and {_MOST_POINTS}, got {num_points}.")
        if start is not None:
            start = as_number(start, "start")
            if not y_limits[0] <= start <= y_limits[1]:
                raise FigureError(
                    f"start must lie in y_range ({y_limits[0]:g} to {y_limits[1]:g}), got {start:g}."
                )
        self._run = run
        self._x_range = x_limits
        if not callable(run):
            self._read(run)  # what is wrong with it is said now, not when the reader presses Run
        super().__init__(
            title=title, alt=alt, height=height, name=name, start=start,
            x_axis={"label": x_label, "unit": x_unit, "log": False, "range": x_limits},
            y_axis={"label": y_label, "unit": y_unit, "log": log_y, "range": y_limits},
            xs=[float(x) for x in np.linspace(x_limits[0], x_limits[1], num_points)],
            sketch=[start] + [None] * (num_points - 1),
        )  # fmt: skip
        self.observe(lambda _change: self._answer(), names="asked")

    def draw(self, heights: Sequence[float | None]) -> "DrawCurve":
        """Sketches from Python: one height for each of `xs`, None where nothing is drawn."""
        if len(heights) != len(self.xs):
            raise FigureError(f"the sketch has {len(self.xs)} places, got {len(heights)} heights.")
        self.sketch = [None if height is None else as_number(height, "a height") for height in heights]
        return self

    def press_run(self) -> "DrawCurve":
        """As if the reader pressed Run."""
        self.asked += 1
        return self

    def _read(self, result: Any) -> Curve:
        """x and y of the run, from y alone (spread evenly over the x axis) or from a pair (x, y)."""
        if isinstance(result, tuple) and len(result) == 2 and all(np.ndim(part) == 1 for part in result):
            x, y = as_array(result[0], "x of the run", ndim=1), as_array(result[1], "y of the run", ndim=1)
            if len(x) != len(y):
                raise FigureError(
                    f"the run has {len(x)} x and {len(y)} y. Give as many of one as of the other."
                )
            if np.any(np.diff(x) <= 0) or not np.isfinite(x).all():
                raise FigureError("x of the run must rise from each point to the next. Sort it first.")
        else:
            if result is None:
                raise FigureError(
                    "the run returned nothing. Let the function return the heights of its curve."
                )
            y = as_array(result, "the run", ndim=1)
            x = np.linspace(self._x_range[0], self._x_range[1], len(y))
        if len(y) < 2:
            raise FigureError(f"the run has {len(y)} points. A curve needs at least two.")
        return x, y

    def _answer(self) -> None:
        """Runs, compares, and sends all of it; `answered` last, so that the page knows it is whole."""
        if callable(self._run):
            curve, failure = call_run(self._run, self._read)
        else:
            curve, failure = self._read(self._run), ""
        with self.hold_sync():
            self.failure = failure
            self.run, self.words = {}, []
            if curve is not None:
                x, y = curve
                self.run = {"x": x.tolist(), "y": [_sendable(float(value)) for value in y]}
                self.words = self._compare(x, y)
            self.answered = self.asked
        self.refresh_alt()

    def _compare(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> list[str]:
        drawn = sum(height is not None for height in self.sketch)
        if drawn < 2:
            return []
        places = np.array(self.xs)
        log = self.y_axis["log"]
        sketch = bridge([_log(height) if log else height for height in self.sketch])
        finite = np.nan_to_num(y, nan=np.nan, posinf=1e300, neginf=-1e300)
        known = ~np.isnan(finite)
        if not known.any():
            return []
        run = np.interp(places, x[known], finite[known], left=np.nan, right=np.nan)
        run = np.where(np.abs(run) > 1e299, np.copysign(np.inf, run), run)
        return say_curves(
            places, np.exp(sketch) if log else sketch, run, self.y_axis["range"], log=log,
            x_label=self.x_axis["label"], y_unit=self.y_axis["unit"],
        )  # fmt: skip

    def summary(self) -> str:
        """What is to be sketched; after the run what was said of it."""
        x, y = self.x_axis, self.y_axis
        text = f"{self.lead}A chart of {y['label']} over {x['label']} to sketch in"
        if self.start is not None:
            text += f"; it starts at {format_number(self.start, 3)}"
        if self.run:
            known = [value for value in self.run["y"] if value is not None]
            ends = f" from {format_number(known[0], 3)} to {format_number(known[-1], 3)}" if known else ""
            return " ".join([f"{text}. The run goes{ends}.", *self.words])
        return f"{text}, then to run."

    def to_svg(self) -> str:
        """The chart with what is drawn so far, 640 pixels wide."""
        height = float(self.height or 340)
        drawing = Drawing(640, height, title=self.title, alt=self.alt)
        top = 8.0
        if self.title:
            drawing.text(10, 22, self.title, fill="ink", size=14, bold=True)
            top = 30
        items = [("line", "your sketch", _SKETCH)]
        if self.run:
            items.append(("line", "the run", _RUN))
        top = draw_legend(drawing, items, x=10, y=top + 12, right=630) - 10
        x, y = self.x_axis, self.y_axis
        axes = Axes(
            drawing,
            Axis(label=x["label"], unit=x["unit"], low=x["range"][0], high=x["range"][1]),
            Axis(label=y["label"], unit=y["unit"], low=y["range"][0], high=y["range"][1], log=y["log"]),
            left=64, top=top + 30, right=624, bottom=height - 44,
        )  # fmt: skip
        axes.draw()
        placed = [axes.place(x, y) for x, y in zip(self.xs, self.sketch, strict=True) if y is not None]
        drawing.path(placed, stroke=series_colour(_SKETCH), dash=DASHES[_SKETCH], width=2.5)
        if self.run:
            low, high = y["range"]
            inside = [
                axes.place(x, y) if y is not None and low <= y <= high else None
                for x, y in zip(self.run["x"], self.run["y"], strict=True)
            ]
            drawing.path(inside, stroke=series_colour(_RUN), width=2.5)
        if len(placed) == 1 and placed[0] is not None:
            drawing.mark(*placed[0], kind="square", fill=series_colour(_SKETCH))
        if len(placed) < 2 and not self.run:
            words = "Sketch the curve you expect, then run."
            drawing.text((axes.left + axes.right) / 2, axes.top + 24, words, anchor="middle", fill="ink")
        return drawing.finish()


def _sendable(value: float) -> float | None:
    """JSON knows no infinity: what has left every chart is sent as a number that has."""
    if math.isnan(value):
        return None
    return min(max(value, -1e300), 1e300)


def _log(height: float | None) -> float | None:
    return None if height is None else math.log(height)
