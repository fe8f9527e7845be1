"""The charts of what came out: gold scores, gold against KL, the base model's loss and probes.

Each is a function of figures that returns a `Chart`; its alt text says the numbers again.
Read charts.py and report_figures.py before. Used by report_html.py; training_charts.py has the others.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from nn2llm.recipe.report_figures import BaseFigures, Probe, Report
from nn2llm.recipe.report_series import Series, smooth
from nn2llm.recipe.report_words import POLICY_NAMES, format_number, format_percent, name_group, name_probe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_base_loss", "draw_frontier", "draw_gold_by_group", "draw_probes"]

INK, MUTED = COLOURS["ink"], COLOURS["muted"]


def draw_gold_by_group(report: Report, *, wide: bool) -> Chart:
    """Bars with intervals: what each stage scores, over all prompts and by group."""
    policies = list(report.gold_by_group)
    groups = ["all", *report.groups]
    names = [name_group(group) for group in groups]

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        thickness = 0.8 / len(policies)
        for number, policy in enumerate(policies):
            means = [report.gold_by_group[policy][group] for group in groups]
            offset = (number - (len(policies) - 1) / 2) * thickness
            places = [index + offset for index in range(len(groups))]
            estimates = [mean.estimate for mean in means]
            errors = error_bars(means)
            look: dict[str, Any] = {"color": COLOURS[policy], "label": POLICY_NAMES[policy]}
            whisker: dict[str, Any] = {"ecolor": INK, "elinewidth": 0.9, "capsize": 0}
            if wide:
                axes.bar(places, estimates, thickness * 0.88, yerr=errors, error_kw=whisker, **look)
            else:
                axes.barh(places, estimates, thickness * 0.84, xerr=errors, error_kw=whisker, **look)
            for place, mean in zip(places, means, strict=True):
                where = (place, mean.high + 0.015) if wide else (mean.high + 0.012, place)
                aligned: dict[str, Any] = (
                    {"ha": "center", "va": "bottom"} if wide else {"ha": "left", "va": "center"}
                )
                axes.text(*where, format_number(mean.estimate), fontsize=10, color=MUTED, **aligned)
        if wide:
            axes.set_xticks(range(len(groups)), names)
            axes.tick_params("x", length=0, labelsize=11, labelcolor=INK)
            axes.set(ylim=(0, 1.1), xlim=(-0.55, len(groups) - 0.45), yticks=[0, 0.25, 0.5, 0.75, 1])
            style_axes(axes, y_label="mean gold score")
        else:
            axes.set_yticks([])
            for index, name in enumerate(names):
                axes.text(0.0, index - 0.42, name, fontweight="bold", va="bottom")
            axes.set(xlim=(0, 1.12), ylim=(len(groups) - 0.5, -0.75), xticks=[0, 0.25, 0.5, 0.75, 1])
            axes.spines["left"].set_visible(False)
            style_axes(axes, x_label="mean gold score", grid="x")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=len(policies))

    lines = [
        f"{POLICY_NAMES[policy]}: "
        + ", ".join(
            f"{name} {format_number(report.gold_by_group[policy][group].estimate)}"
            for group, name in zip(groups, names, strict=True)
        )
        for policy in policies
    ]
    return draw_chart(
        f"gold-{'wide' if wide else 'narrow'}",
        paint,
        alt="Bar chart of the mean gold score by stage. " + ". ".join(lines) + ".",
        height=300 if wide else 60 + len(groups) * (18 + 15 * len(policies)),
        width=WIDE if wide else NARROW,
    )


def draw_base_loss(curves: Mapping[str, Series], base: BaseFigures | None) -> Chart:
    """Bits per byte of held-out text as the base model reads on, above the floor."""
    held_out = curves["val_bits_per_byte"]
    millions = [tokens / 1e6 for tokens in held_out.tokens]

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.plot(millions, held_out.values, color=COLOURS["base"], marker="o", markersize=4, clip_on=False)
        low, high = min(held_out.values), max(held_out.values)
        ends = [(millions[-1], held_out.values[-1], "model", "base")]
        if base is not None:
            low = min(low, base.floor_bits_per_byte)
            axes.axhline(base.floor_bits_per_byte, color=INK, linestyle=(0, (4, 3)), linewidth=1.2)
            ends.append((millions[-1], base.floor_bits_per_byte, "floor", "ink"))
        axes.set_ylim(low - 0.1 * (high - low), high + 0.05 * (high - low))
        axes.set_xlim(0, millions[-1])
        label_ends(axes, ends)
        style_axes(axes, x_label="tokens read, millions", y_label="bits per byte, held-out text")

    floor = f" The floor is {base.floor_bits_per_byte:.3f}." if base else ""
    alt = (
        f"Line chart: bits per byte of held-out text fall from {held_out.values[0]:.3f} after "
        f"{millions[0]:.2g} million tokens to {held_out.values[-1]:.3f} after {millions[-1]:.3g} million."
        + floor
    )
    return draw_chart("base-loss", paint, alt=alt, height=250)


def draw_probes(probes: Sequence[Probe]) -> Chart:
    """A dot with its interval for each kind of item, and a mark at chance."""
    rows = list(reversed(probes))

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for index, probe in enumerate(rows):
            overall = probe.kind == "all"
            score = probe.score
            colour = COLOURS["base"] if not overall else INK
            axes.plot([score.low, score.high], [index, index], color=colour, linewidth=2)
            axes.plot(score.estimate, index, marker="o", color=colour, markersize=6)
            axes.plot(probe.chance, index, marker="|", color=MUTED, markersize=9, markeredgewidth=1.6)
        axes.set_yticks(range(len(rows)), [name_probe(probe) for probe in rows])
        for tick, probe in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set(color=INK, fontweight="bold" if probe.kind == "all" else "normal")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(rows) - 0.4))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        axes.spines["left"].set_visible(False)
        style_axes(axes, x_label="right answers;  | is chance", grid="both")

    alt = "Share of right answers, with chance in brackets. " + "; ".join(
        f"{name_probe(probe)} {format_percent(probe.score.estimate)} ({format_percent(probe.chance)})"
        for probe in probes
    )
    return draw_chart("probes", paint, alt=alt, height=62 + 17 * len(rows))


def draw_frontier(report: Report) -> Chart:
    """Gold against KL: what is gained for how far a model has moved from SFT."""
    points = {
        policy: (figures.kl, figures.gold)
        for policy, figures in report.behaviour.items()
        if figures.kl is not None
    }

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        if report.ppo and {"kl", "gold"} <= set(report.ppo.series):
            half = max(1, len(report.ppo.series["kl"].values) // 12)
            path = [smooth(report.ppo.series[name].values, half) for name in ("kl", "gold")]
            axes.plot(*path, color=COLOURS["ppo"], alpha=0.45, linewidth=1.4)
        ranked = sorted(points, key=lambda policy: -points[policy][1].estimate)
        for rank, policy in enumerate(ranked):
            kl, gold = points[policy]
            axes.errorbar(
                kl.estimate,
                gold.estimate,
                xerr=error_bars([kl]),
                yerr=error_bars([gold]),
                color=COLOURS[policy],
                marker=MARKERS[policy],
                markersize=8,
                elinewidth=1.4,
            )
            axes.annotate(
                POLICY_NAMES[policy],
                (kl.estimate, gold.estimate),
                xytext=(9, 5 if rank == 0 else -14),  # the best above, the others below: two are often close
                textcoords="offset points",
                color=COLOURS[policy],
                fontweight="bold",
            )
        axes.margins(0.14)
        style_axes(axes, x_label="KL from SFT, nats a reply", y_label="mean gold score", grid="both")

    alt = "Gold score against KL from SFT: " + "; ".join(
        f"{POLICY_NAMES[policy]} {gold.estimate:.2f} at {kl.estimate:.1f} nats a reply"
        for policy, (kl, gold) in points.items()
    )
    return draw_chart("frontier", paint, alt=alt, height=270)
