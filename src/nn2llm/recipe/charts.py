"""What every chart of the report has in common: size, type, colours, and SVG that fits into a page.

matplotlib draws with placeholder colours; in the SVG they become CSS variables, so that one chart is right on
light and dark pages and in print. Text stays text: it takes the page's font and can be selected and searched.
One unit of a chart is one CSS pixel on a phone: charts are 340 wide, and those that gain from a wide screen
are drawn a second time for it.
Read before report_charts.py, which has the charts themselves.
"""

import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "MARKERS",
    "NARROW",
    "WIDE",
    "Chart",
    "choose_marker",
    "draw_chart",
    "error_bars",
    "label_ends",
    "style_axes",
]

NARROW, WIDE = 340, 900
"""Widths of charts: on a phone or in a column, and across a wide screen."""

# A placeholder each: which hue it is matters to nobody, that no two are equal does.
COLOURS: dict[str, str] = {
    name: f"#0a{index:02x}5e"
    for index, name in enumerate(
        (
            "ink",
            "muted",
            "line",
            "paper",
            "base",
            "sft",
            "ppo",
            "dpo",
            "proxy",
            "utility",
            "gold",
            "grpo",
            "free",
            "best",
            "constitutional",
        ),
        start=1,
    )
}
"""Name of a CSS variable → the placeholder to draw with."""

MARKERS = {
    "base": "s", "sft": "o", "ppo": "D", "dpo": "^", "grpo": "v", "free": "X", "best": "P",
    "constitutional": "h",
}  # fmt: skip
"""Stages differ by shape too, for those who do not see the colours."""

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.labelsize": 10.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": COLOURS["ink"],
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": COLOURS["ink"],
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}


class HasEnds(Protocol):
    """An interval around an estimate."""

    @property
    def estimate(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture and what it shows, in words."""

    svg: str
    alt: str
    width: int


def draw_chart(
    name: str, paint: Callable[["Figure"], None], *, alt: str, height: int, width: int = NARROW
) -> Chart:
    """Let `paint` draw on a figure of width x height units, and make SVG of it.

    Args:
        name: unique in the page: ids inside the SVG begin with it.
        alt: what a screen reader says instead of the chart.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # Not on top of the user's own matplotlibrc: the same figures make the same page everywhere.
    plain: dict[Any, Any] = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if "backend" not in key
    }
    with matplotlib.rc_context(plain | _STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(width / 72, height / 72))
        paint(figure)
        image = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(image, format="svg", transparent=True, metadata=nothing)
    return Chart(_clean(image.getvalue(), name, alt), alt, width)


def style_axes(
    axes: "Axes",
    *,
    title: str | None = None,
    x_label: str | None = None,
    y_label: str | None = None,
    grid: Literal["x", "y", "both"] = "y",
) -> None:
    """Labels, and a grid along x, y or both. Called last: ticks that were set stay."""
    from matplotlib.ticker import AutoLocator

    if title:
        axes.set_title(title)
    if x_label:
        axes.set_xlabel(x_label)
    if y_label:
        axes.set_ylabel(y_label)
    if axes.get_xscale() == "linear" and isinstance(axes.xaxis.get_major_locator(), AutoLocator):
        axes.locator_params(axis="x", nbins=6)  # long numbers would touch on a phone
    if grid != "both":
        axes.grid(False, axis="x" if grid == "y" else "y")


def label_ends(
    axes: "Axes", labels: Sequence[tuple[float, float, str, str]], *, min_gap: float = 0.085
) -> None:
    """Names at the right ends of lines: (x, y, text, colour). Those too near each other are moved apart.

    `min_gap` is the least distance, as a share of the axis.
    """
    low, high = axes.get_ylim()
    span = high - low
    places = sorted(((y - low) / span, x, text, colour) for x, y, text, colour in labels)
    heights = [place for place, *_ in places]
    for _ in range(20):  # push neighbours apart, both by half
        for i in range(len(heights) - 1):
            lack = min_gap - (heights[i + 1] - heights[i])
            if lack > 0:
                heights[i] -= lack / 2
                heights[i + 1] += lack / 2
    lowest, highest = 0.02, 0.98
    for i in reversed(range(len(heights))):  # and down, where the top would be left …
        heights[i] = min(heights[i], highest)
        highest = heights[i] - min_gap
    for i in range(len(heights)):  # … or up
        heights[i] = max(heights[i], lowest)
        lowest = heights[i] + min_gap
    for (_, x, text, colour), height in zip(places, heights, strict=True):
        axes.annotate(
            text,
            (x, low + height * span),
            xytext=(5, 0),
            textcoords="offset points",
            color=COLOURS[colour],
            fontsize=10.5,
            fontweight="bold",
            va="center",
            annotation_clip=False,
        )


def choose_marker(values: Sequence[float]) -> str:
    """Dots on a curve of few points: one point alone would be no line at all."""
    return "o" if len(values) <= 12 else ""


def error_bars(intervals: Sequence[HasEnds]) -> list[list[float]]:
    """How far each interval reaches down and up from its estimate: [[down, …], [up, …]]."""
    return [
        [max(0.0, each.estimate - each.low) for each in intervals],
        [max(0.0, each.high - each.estimate) for each in intervals],
    ]


def _clean(svg: str, name: str, alt: str) -> str:
    """Only what a page needs: no prolog, no size, no ids that nothing refers to, variables for colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    referred = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(
        r' id="([^"]*)"',
        lambda found: f' id="{name}-{found[1]}"' if found[1] in referred else "",
        svg,
    )
    svg = re.sub(r'(url\(|xlink:href=")#', lambda found: f"{found[1].replace('xlink:', '')}#{name}-", svg)
    # The page's font. Older matplotlib writes `font: bold 10px 'DejaVu Sans'`: weight and size stay.
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(
        r"font: (?:(bold|\d00) )?([\d.]+)px [^;\"]*",
        lambda found: (f"font-weight: {found[1]}; " if found[1] else "") + f"font-size: {found[2]}px",
        svg,
    )
    for colour, placeholder in COLOURS.items():
        svg = svg.replace(placeholder, f"var(--{colour})")
    view_box = re.search(r'viewBox="[^"]*"', svg)
    if view_box is None:
        raise AssertionError("matplotlib wrote an SVG without a viewBox")
    svg = re.sub(
        r"<svg[^>]*>",
        f'<svg xmlns="http://www.w3.org/2000/svg" {view_box[0]} role="img" aria-label="{html.escape(alt)}">',
        svg,
        count=1,
    )
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"|<g/>', "", svg)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()
