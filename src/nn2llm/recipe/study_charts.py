"""The charts of study.html: quality against distance, of every method and of every reward model.

Distances are √KL, in √nats: Gao et al. found simple curves in it.
Read charts.py and study_figures.py before. Used by study_html.py.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nn2llm.recipe.charts import (
    COLOURS,
    MARKERS,
    NARROW,
    WIDE,
    Chart,
    draw_chart,
    error_bars,
    label_ends,
    style_axes,
)
from nn2llm.recipe.report_series import smooth
from nn2llm.recipe.report_words import format_signed
from nn2llm.recipe.study_figures import Curve, StudyFigures
from nn2llm.recipe.study_words import COLOUR_OF, FAIR, name_method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_curves", "draw_methods", "draw_progress"]

INK, MUTED = COLOURS["ink"], COLOURS["muted"]
DASHED = (0, (4, 3))
DISTANCE = "√KL from SFT, √nats"


def draw_methods(figures: StudyFigures, *, wide: bool) -> Chart:
    """Gold against distance: each method's way, where it has one, and where it ends on held-out prompts."""
    shown = [method for method in figures.methods if method.stage in (*FAIR, "ppo_free")]
    curve = figures.best_of_n["reward"]

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.plot(np.sqrt(curve.kl), curve.gold, color=COLOURS["best"], linewidth=1.6, alpha=0.7)
        for stage, course in figures.training.items():
            if stage in (*FAIR, "ppo_free"):
                colour = COLOURS[COLOUR_OF.get(stage, stage)]
                axes.plot(*_smooth_path(course), color=colour, linewidth=1.4, alpha=0.6)
        for method in shown:
            kl = method.kl_bound if method.kl is None else max(0.0, method.kl.estimate)
            assert kl is not None
            look = COLOUR_OF.get(method.stage, method.stage)
            axes.errorbar(
                math.sqrt(kl),
                method.gain.estimate,
                yerr=error_bars([method.gain]),
                color=COLOURS[look],
                marker=MARKERS[look],
                markersize=8,
                elinewidth=1.4,
                linestyle="",
                label=name_method(figures, method.stage),
            )
        axes.set_xlim(0, None)
        style_axes(axes, x_label=DISTANCE, y_label="gain of gold over SFT", grid="both")
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside upper left", ncols=len(shown) if wide else 2
        )

    alt = "Gain of gold over the SFT model against the distance from it: " + "; ".join(
        f"{name_method(figures, method.stage)} {format_signed(method.gain.estimate, 2)} at "
        + (f"{method.kl.estimate:.1f} nats" if method.kl else f"{method.kl_bound:.1f} nats at most")
        for method in shown
    )
    return draw_chart(
        f"methods-{'wide' if wide else 'narrow'}",
        paint,
        alt=alt,
        height=330,
        width=WIDE if wide else NARROW,
    )


def draw_curves(name: str, panels: Sequence[tuple[str, Curve]], *, wide: bool) -> Chart:
    """A panel for each reward model: what it promises, what the labeller thinks and what is true, against the
    distance. Best-of-n has lines with a band; a training run has a dot an iteration."""

    def paint(figure: "Figure") -> None:
        columns = len(panels) if wide else min(2, len(panels))
        rows = math.ceil(len(panels) / columns)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        handles: dict[str, Any] = {}
        for number, (axes, (title, curve)) in enumerate(zip(grid, panels, strict=False)):
            _paint_curve(axes, curve, handles)
            axes.set_xlim(0, None)
            is_lowest = number + columns >= len(panels)
            if is_lowest:
                axes.tick_params("x", labelbottom=True)
            axes.locator_params(axis="x", nbins=5)
            style_axes(
                axes,
                title=title,
                x_label=(DISTANCE if wide or columns == 1 else "√KL, √nats") if is_lowest else None,
                y_label="gain over SFT" if number % columns == 0 else None,
            )
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=4 if wide else 2)

    rows = 1 if wide else math.ceil(len(panels) / 2)
    alt = "Gains at the largest distance: " + "; ".join(
        f"{title}: {format_signed(curve.at_end(curve.promise), 2)} promised, "
        f"{format_signed(curve.at_end(curve.gold), 2)} in gold at {curve.kl[-1]:.1f} nats"
        for title, curve in panels
    )
    return draw_chart(
        f"{name}-{'wide' if wide else 'narrow'}",
        paint,
        alt=alt,
        height=290 if wide else 60 + 190 * rows,
        width=WIDE if wide else NARROW,
    )


def _paint_curve(axes: "Axes", curve: Curve, handles: dict[str, Any]) -> None:
    distances = np.sqrt(curve.kl)
    is_training = not curve.n
    axes.axhline(0, color=MUTED, linewidth=0.8)
    lines = (
        ("reward model's promise", "proxy", curve.promise, DASHED),
        ("labeller's utility", "utility", curve.utility, (0, (1, 1.5))),
        ("gold", "gold", curve.gold, "-"),
    )
    for label, colour, values, style in lines:
        if is_training:
            axes.plot(distances, values, ".", color=COLOURS[colour], markersize=3.5, alpha=0.5)
            path = _smooth_path(curve, values)
        else:
            path = (distances, np.asarray(values))
        (handle,) = axes.plot(*path, color=COLOURS[colour], linestyle=style, linewidth=2)
        handles.setdefault(label, handle)
    if curve.gold_ends:
        lows, highs = zip(*curve.gold_ends, strict=True)
        axes.fill_between(distances, lows, highs, color=COLOURS["gold"], alpha=0.18, linewidth=0)
    if curve.fit is not None:
        at = np.linspace(0, curve.fit.furthest, 80)
        fitted = curve.fit.predict(at) - curve.fit.start
        (handle,) = axes.plot(at, fitted, color=INK, linewidth=1.1, alpha=0.8)
        handles.setdefault("curve fitted to gold", handle)


def draw_progress(figures: StudyFigures, stages: Sequence[str], *, wide: bool) -> Chart:
    """Gold and distance of training runs, iteration by iteration."""
    courses = [(stage, figures.training[stage]) for stage in stages if stage in figures.training]
    panels = (("Gold", "gain over SFT", "gold"), ("Distance", "√KL, √nats", "kl"))

    def paint(figure: "Figure") -> None:
        shape = (1, 2) if wide else (2, 1)
        for axes, (title, unit, which) in zip(
            figure.subplots(*shape, squeeze=False).ravel(), panels, strict=True
        ):
            ends = []
            for stage, course in courses:
                values = list(course.gold) if which == "gold" else np.sqrt(course.kl).tolist()
                colour = COLOUR_OF.get(stage, stage)
                steps = range(1, len(values) + 1)
                line = smooth(values, max(2, len(values) // 8))
                axes.plot(steps, values, color=COLOURS[colour], linewidth=1, alpha=0.28)
                axes.plot(steps, line, color=COLOURS[colour], linewidth=2)
                ends.append((len(values), line[-1], name_method(figures, stage), colour))
            style_axes(axes, title=title, x_label="iteration", y_label=unit)
            label_ends(axes, ends)

    alt = "By iteration: " + "; ".join(
        f"{name_method(figures, stage)} ends at {format_signed(course.at_end(course.gold), 2)} in gold, "
        f"{course.kl[-1]:.1f} nats from SFT, after {len(course.gold)} iterations"
        for stage, course in courses
    )
    return draw_chart(
        f"progress-{'wide' if wide else 'narrow'}",
        paint,
        alt=alt,
        height=280 if wide else 430,
        width=WIDE if wide else NARROW,
    )


def _smooth_path(curve: Curve, values: Sequence[float] | None = None) -> tuple[Any, Any]:
    """A training run's way, smoothed along its iterations: (√KL, gain)."""
    half = max(2, len(curve.kl) // 8)
    gains = curve.gold if values is None else values
    return np.maximum(smooth(np.sqrt(curve.kl).tolist(), half), 0.0), smooth(list(gains), half)
