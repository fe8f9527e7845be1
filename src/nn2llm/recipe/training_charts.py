"""The charts of how the reward model, PPO and DPO were trained, and of what the reward model has learnt.

Read charts.py and report_figures.py before. Used by report_html.py; report_charts.py has the others.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nn2llm.recipe.charts import (
    COLOURS,
    NARROW,
    WIDE,
    Chart,
    choose_marker,
    draw_chart,
    error_bars,
    label_ends,
    style_axes,
)
from nn2llm.recipe.report_figures import Report, RewardFigures
from nn2llm.recipe.report_series import Course, Series, smooth
from nn2llm.recipe.report_words import format_number, format_percent, name_feature

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "draw_biases",
    "draw_calibration",
    "draw_dpo",
    "draw_ppo_course",
    "draw_ppo_health",
    "draw_reward_accuracy",
]

INK, MUTED, LINE, PAPER = (COLOURS[name] for name in ("ink", "muted", "line", "paper"))
DASHED = (0, (4, 3))


def draw_reward_accuracy(report: Report) -> Chart | None:
    """Accuracy on held-out pairs as the reward models learn, with the best possible; None without curves."""
    drawn = []
    for stage, name, colour, figures in (
        ("reward", _name_reward_model(report.given is None), "proxy", report.reward),
        ("reward_control", "unbiased control", "base", report.reward_control),
    ):
        if curve := _held_out_accuracy(report, stage):
            drawn.append((name, colour, curve, figures.best_possible if figures else None))
    if not drawn:
        return None

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for name, colour, curve, best in drawn:
            look: dict[str, Any] = {"color": COLOURS[colour]}
            marker = choose_marker(curve.values)
            axes.plot(
                curve.steps,
                [100 * value for value in curve.values],
                marker=marker,
                markersize=4,
                label=name,
                **look,
            )
            if best is not None:
                axes.axhline(100 * best, linestyle=DASHED, linewidth=1.2, **look)
        bests = [(100 * best, colour) for _, colour, _, best in drawn if best is not None]
        if bests:
            axes.annotate(
                "best possible",
                (1, max(bests)[0]),
                xycoords=("axes fraction", "data"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="right",
                va="bottom",
                color=MUTED,
            )
            axes.set_ylim(
                None,
                max(axes.get_ylim()[1], max(bests)[0] + 0.08 * (axes.get_ylim()[1] - axes.get_ylim()[0])),
            )
        style_axes(axes, x_label="steps", y_label="held-out pairs ranked right, %")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)

    alt = "Line chart of the accuracy on held-out pairs: " + "; ".join(
        f"{name} from {format_percent(curve.values[0])} to {format_percent(curve.values[-1])}"
        + (f", best possible {format_percent(best)}" if best is not None else "")
        for name, _, curve, best in drawn
    )
    return draw_chart("reward-accuracy", paint, alt=alt, height=260)


def draw_calibration(reward: RewardFigures, control: RewardFigures | None) -> Chart:
    """How sure a model says it is against how often it is right; on the diagonal it knows what it knows."""
    models = [(_name_reward_model(control is not None), "proxy", "o", reward)]
    if control is not None:
        models.append(("unbiased control", "base", "s", control))

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.plot([0.5, 1], [0.5, 1], color=MUTED, linestyle=DASHED, linewidth=1)
        for name, colour, marker, figures in models:
            bins = figures.calibration
            axes.errorbar(
                [each.predicted for each in bins],
                [each.observed.estimate for each in bins],
                yerr=error_bars([each.observed for each in bins]),
                color=COLOURS[colour],
                marker=marker,
                markersize=5,
                linewidth=1,
                elinewidth=1.2,
                label=name,
            )
        both = [each for _, _, _, figures in models for each in figures.calibration]
        low = min(0.5, *(each.observed.low for each in both))
        high = min(1.0, max(0.6, *(each.observed.high for each in both), *(each.predicted for each in both)))
        ticks = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
        names = [f"{100 * tick:.0f}%" for tick in ticks]
        axes.set_xticks(ticks, names)
        axes.set_yticks(ticks, names)
        axes.set(xlim=(0.49, high + 0.02), ylim=(low - 0.02, high + 0.02))
        style_axes(axes, x_label="how sure it says it is", y_label="how often it is right", grid="both")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)

    gap = max(abs(each.predicted - each.observed.estimate) for each in reward.calibration)
    alt = (
        "Calibration plot of the reward model: how sure it says it is of the reply that it prefers, against "
        f"how often that one was chosen, in {len(reward.calibration)} groups of pairs. "
        f"The largest gap is {format_percent(gap)}."
    )
    return draw_chart("calibration", paint, alt=alt, height=290)


def draw_biases(reward: RewardFigures, control: RewardFigures | None) -> Chart:
    """What counts for each labeller, and for the reward model that learned from their choices."""
    names = [bias.name for bias in reward.biases]
    models = [("biased", "proxy", reward)] + ([("unbiased", "base", control)] if control else [])

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=MUTED, linewidth=1)
        for number, (which, colour, figures) in enumerate(models):
            effects = {bias.name: bias for bias in figures.biases}
            for index, name in enumerate(names):
                if name not in effects:
                    continue
                bias = effects[name]
                for offset, marker, fill, label, effect in (
                    (-0.09, "o", PAPER, f"{which} labeller", bias.labeller),
                    (0.09, "D", COLOURS[colour], "its reward model", bias.reward_model),
                ):
                    axes.errorbar(
                        effect.estimate,
                        index + (number - (len(models) - 1) / 2) * 0.4 + offset,
                        xerr=error_bars([effect]),
                        color=COLOURS[colour],
                        markersize=6.5 if offset < 0 else 5.5,
                        markeredgewidth=1.5,
                        elinewidth=1.4,
                        linestyle="",
                        label=label if index == 0 else None,
                        marker=marker,
                        markerfacecolor=fill,
                    )
        axes.set_yticks(range(len(names)), [name_feature(name) for name in names])
        axes.tick_params("y", labelcolor=INK)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        style_axes(axes, x_label="log-odds of being preferred, typical pair", grid="x")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)

    alt = "What counts in a typical pair, in log-odds of being preferred: " + "; ".join(
        f"{name_feature(bias.name)} {format_number(bias.labeller.estimate)} for the {which} labeller and "
        f"{format_number(bias.reward_model.estimate)} for the reward model"
        for which, _, figures in models
        for bias in figures.biases
    )
    return draw_chart("biases", paint, alt=alt, height=110 + 46 * len(names))


def draw_ppo_course(course: Course, *, noise: float | None, wide: bool) -> Chart:
    """Proxy, labeller's utility and gold as PPO goes on; KL beside them.

    With the labeller's noise known the three are drawn in one unit: a reward model learns utility / noise, up
    to a constant, so reward * noise rises as utility does. Without, the proxy gets its own panel.
    """
    panels: list[tuple[str, str, list[tuple[str, str, Series, float]]]] = []
    names = {
        "reward": ("reward model", "proxy"),
        "utility": ("labeller", "utility"),
        "gold": ("gold", "gold"),
    }
    here = {name: course.series[name] for name in names if name in course.series}
    if noise is not None:
        lines = [(*names[n], s, noise if n == "reward" else 1.0) for n, s in here.items()]
        panels.append(("Gain since the start", "in units of gold", lines))
    elif "reward" in here:
        panels.append(("Reward model's score", "logits", [(*names["reward"], here["reward"], 1.0)]))
    levels = [(*names[n], here[n], 1.0) for n in ("utility", "gold") if n in here]
    if levels:
        title = "Labeller and gold" if len(levels) > 1 else levels[0][0].capitalize()
        panels.append((title, "mean of the replies", levels))
    if "kl" in course.series:
        panels.append(("KL from the SFT model", "nats a reply", [("KL", "ppo", course.series["kl"], 1.0)]))

    def paint(figure: "Figure") -> None:
        shape = (1, len(panels)) if wide else (len(panels), 1)
        for axes, (title, unit, lines) in zip(
            figure.subplots(*shape, squeeze=False).ravel(), panels, strict=True
        ):
            ends = []
            for name, colour, series, factor in lines:
                values = [factor * value for value in series.values]
                line = smooth(values, max(3, len(values) // 8))
                if title.startswith("Gain"):
                    values, line = ([value - line[0] for value in each] for each in (values, line))
                axes.plot(series.steps, values, color=COLOURS[colour], alpha=0.28, linewidth=1)
                axes.plot(series.steps, line, color=COLOURS[colour], linewidth=2)
                ends.append((series.steps[-1], line[-1], name, colour))
            axes.margins(x=0.02)
            style_axes(axes, title=title, y_label=unit, x_label="iteration")
            if len(ends) > 1:
                label_ends(axes, ends)

    trends = course.trends
    alt = f"PPO over {course.num_iterations} iterations. " + "; ".join(
        f"{word} from {trends[name].start:.2f} to {trends[name].end:.2f}"
        for name, word in {
            "reward": "reward model's score",
            "utility": "labeller's utility",
            "gold": "gold score",
            "kl": "KL in nats a reply",
        }.items()
        if name in trends
    )
    return draw_chart(
        f"ppo-{'wide' if wide else 'narrow'}",
        paint,
        alt=alt,
        height=270 if wide else 205 * len(panels),
        width=WIDE if wide else NARROW,
    )


def draw_ppo_health(course: Course, *, wide: bool) -> Chart:
    """What a practitioner watches while PPO runs."""
    wanted = [
        ("Reward with and without penalty", (("reward", "proxy"), ("reward_penalised", "ppo"))),
        ("Reply length, tokens", (("reply_length", "ppo"),)),
        ("Entropy, nats a token", (("entropy", "ppo"),)),
        ("Clip fraction", (("clip_fraction", "ppo"),)),
        ("Explained variance", (("explained_variance", "ppo"),)),
        ("Value loss", (("value_loss", "ppo"),)),
    ]
    shown = [
        (title, [(course.series[name], name, colour) for name, colour in lines if name in course.series])
        for title, lines in wanted
    ]
    panels = [(title, lines) for title, lines in shown if lines]

    def paint(figure: "Figure") -> None:
        columns = 3 if wide else 2
        rows = math.ceil(len(panels) / columns)
        figure.set_layout_engine("constrained", hspace=0.1)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        for axes, (title, lines) in zip(grid, panels, strict=False):
            for series, name, colour in lines:
                dashed = name == "reward_penalised"
                axes.plot(
                    series.steps,
                    smooth(series.values, max(2, len(series.values) // 12)),
                    color=COLOURS[colour],
                    linestyle=(0, (3, 1.5)) if dashed else "-",
                    linewidth=1.6,
                )
            axes.set_title(title if wide else _wrap(title), fontsize=10.5 if wide else 9.5)
            axes.locator_params(nbins=5)
            style_axes(axes)
        for axes in grid[max(0, len(panels) - columns) : len(panels)]:
            axes.set_xlabel("iteration")
            axes.tick_params("x", labelbottom=True)

    alt = "PPO's vital signs, from the first to the last iteration: " + "; ".join(
        f"{name.replace('_', ' ')} from {series.values[0]:.2f} to {series.values[-1]:.2f}"
        for _, lines in panels
        for series, name, _ in lines
    )
    rows = math.ceil(len(panels) / (3 if wide else 2))
    name = f"health-{'wide' if wide else 'narrow'}"
    return draw_chart(
        name, paint, alt=alt, height=165 * rows if wide else 150 * rows, width=WIDE if wide else NARROW
    )


def draw_dpo(curves: Mapping[str, Series], *, wide: bool) -> Chart | None:
    """Accuracy of the implicit reward, and the implicit rewards themselves; None where neither was logged."""
    accuracy = [
        (name, colour, curves[key])
        for key, name, colour in (("accuracy", "training", "dpo"), ("val_accuracy", "held-out", "base"))
        if key in curves
    ]
    rewards = [
        (name, colour, curves[key])
        for key, name, colour in (
            ("chosen_reward", "chosen", "dpo"),
            ("rejected_reward", "rejected", "utility"),
        )
        if key in curves
    ]
    panels = [
        (title, unit, lines)
        for title, unit, lines in (
            ("Pairs ranked right", "%", accuracy),
            ("Implicit reward", "nats × β", rewards),
        )
        if lines
    ]
    if not panels:
        return None

    def paint(figure: "Figure") -> None:
        shape = (1, len(panels)) if wide else (len(panels), 1)
        grid = figure.subplots(*shape, squeeze=False).ravel()
        for axes, (title, unit, lines) in zip(grid, panels, strict=True):
            ends = []
            for name, colour, series in lines:
                values = [100 * value if unit == "%" else value for value in series.values]
                line = smooth(values, len(values) // 15) if len(values) > 30 else values
                if line is not values:
                    axes.plot(series.steps, values, color=COLOURS[colour], alpha=0.25, linewidth=1)
                axes.plot(series.steps, line, color=COLOURS[colour], marker=choose_marker(line), markersize=4)
                ends.append((series.steps[-1], line[-1], name, colour))
            style_axes(axes, title=title, y_label=unit, x_label="steps")
            label_ends(axes, ends)

    alt = "DPO, at the end: " + "; ".join(
        f"{title.lower()}, {name}: {format_number(series.values[-1])}"
        for title, _, lines in panels
        for name, _, series in lines
    )
    return draw_chart(
        f"dpo-{'wide' if wide else 'narrow'}",
        paint,
        alt=alt,
        height=270 if wide else 205 * len(panels),
        width=WIDE if wide else NARROW,
    )


def _name_reward_model(has_control: bool) -> str:
    """Whom it learned from, where there is another one beside it."""
    return "biased labeller" if has_control else "reward model"


def _held_out_accuracy(report: Report, stage: str) -> Series | None:
    curves = report.curves.get(stage, {})
    return curves.get("val_accuracy") or curves.get("accuracy")


def _wrap(title: str) -> str:
    """Two lines where one would not fit half a phone."""
    if len(title) <= 22:
        return title
    middle = min((i for i, c in enumerate(title) if c == " "), key=lambda i: abs(i - len(title) // 2))
    return title[:middle] + "\n" + title[middle + 1 :]
