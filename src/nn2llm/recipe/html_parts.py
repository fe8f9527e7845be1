"""Pieces of HTML that the report's sections share.

Used by report_html.py, study_html.py and the modules of their sections.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from nn2llm import __version__
from nn2llm.evals.intervals import Interval
from nn2llm.recipe.charts import Chart
from nn2llm.recipe.report_figures import Score
from nn2llm.recipe.report_words import POLICY_NAMES, format_number, format_percent

__all__ = [
    "Section",
    "build_facts",
    "build_figure",
    "build_page",
    "build_percent_range",
    "build_range",
    "build_responsive",
    "build_table",
    "note",
    "paragraph",
    "swatch",
    "typeset",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of the page."""

    name: str
    """For links."""
    title: str
    short: str
    """For the navigation."""
    body: str
    """HTML."""
    is_timing: bool = False
    """It differs between two equal runs."""


def typeset(text: str) -> str:
    """Our own text as HTML: escaped, with curly apostrophes, `code` as code. Not for what models write."""
    escaped = escape(text, quote=False).replace("'", "’")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph of our own text."""
    return f"<p{f' class={kind}' if kind else ''}>{typeset(text)}</p>\n"


def note(text: str) -> str:
    """A paragraph that stands out."""
    return paragraph(text, kind="note")


def build_figure(chart: Chart, caption: str, *, title: str = "", wide: bool = False) -> str:
    """A chart with what to see in it."""
    heading = f"<b>{typeset(title)}</b>\n" if title else ""
    return (
        f"<figure{' class=wide' if wide else ''}>\n{heading}{chart.svg}\n"
        f"<figcaption>{typeset(caption)}</figcaption>\n</figure>\n"
    )


def build_responsive(narrow: Chart, wide: Chart, caption: str) -> str:
    """A chart in two shapes, of which the page shows the one that fits."""
    return (
        f'<div class="on-desktop">\n{build_figure(wide, caption, wide=True)}</div>\n'
        f'<div class="on-phone">\n{build_figure(narrow, caption)}</div>\n'
    )


def build_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", total_row: bool = False
) -> str:
    """A table; cells are HTML, the first of each row names it. With `total_row` the first row stands out.

    On a phone each row becomes a heading with its cells below, each under its column's name. The roles say
    that it still is a table.
    """
    title = f"<caption>{typeset(caption)}</caption>" if caption else ""
    columns = "".join(f'<th role="columnheader" scope="col">{cell}</th>' for cell in head)
    labels = [escape(re.sub(r"<[^>]*>", "", cell)) for cell in head]
    body = ""
    for number, (first, *cells) in enumerate(rows):
        kind = ' class="total"' if total_row and number == 0 else ""
        body += f'<tr role="row"{kind}><th role="rowheader" scope="row">{first}</th>' + "".join(
            f'<td role="cell" data-label="{label}">{cell}</td>'
            for label, cell in zip(labels[1:], cells, strict=True)
        )
        body += "</tr>\n"
    return (
        f'<div class="scroll"><table role="table">{title}<thead role="rowgroup"><tr role="row">{columns}</tr>'
        f'</thead>\n<tbody role="rowgroup">\n{body}</tbody></table></div>\n'
    )


def build_facts(facts: Sequence[tuple[str, str, str]]) -> str:
    """Figures in a row: (what, figure, remark)."""
    items = "".join(
        f"<div><dt>{typeset(what)}</dt><dd>{typeset(figure)}"
        + (f"<small>{typeset(remark)}</small>" if remark else "")
        + "</dd></div>\n"
        for what, figure, remark in facts
    )
    return f'<dl class="facts">\n{items}</dl>\n'


def build_range(interval: Interval, digits: int = 2, *, mark: str = "") -> str:
    """A cell: the estimate, and its interval below."""
    dash = "–" if interval.low >= 0 else " to "
    ends = f"{format_number(interval.low, digits)}{dash}{format_number(interval.high, digits)}"
    return f'{format_number(interval.estimate, digits)}{mark}<span class="range">{ends}</span>'


def build_percent_range(score: Score) -> str:
    """The same of a share, in percent."""
    ends = f"{format_number(100 * score.low, 1)}–{format_percent(score.high)}"
    return f'{format_percent(score.estimate)}<span class="range">{ends}</span>'


def swatch(policy: str) -> str:
    """A stage's name with its colour."""
    return f'<span class="swatch" style="--colour: var(--{policy})"></span>{POLICY_NAMES[policy]}'


def build_page(
    *, title: str, eyebrow: str, lede: str, introduction: str, sections: Sequence[Section], figures_file: str
) -> str:
    """A whole page: header, links to the sections, sections, footer. `introduction` is HTML, whole lines.

    What differs between two equal runs stands between TIMINGS marks (report.py can take it out).
    """
    css = files("nn2llm.recipe").joinpath("report.css").read_text(encoding="utf-8")
    links = "".join(f'<li><a href="#{each.name}">{typeset(each.short)}</a></li>' for each in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{typeset(title)}</title>
<link rel="icon" href="data:,">
<style>
{css}</style>
</head>
<body>
<header>
<p class="eyebrow">{eyebrow}</p>
<h1>{typeset(title)}</h1>
<p class="lede">{typeset(lede)}</p>
{introduction}</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>
{"".join(map(_build_section, sections))}</main>
<footer>Made by nn2llm {escape(__version__)} from the files of this folder. All figures are in
<code>{figures_file}</code>.</footer>
</body>
</html>
"""


def _build_section(section: Section) -> str:
    text = f'<section id="{section.name}">\n<h2>{typeset(section.title)}</h2>\n{section.body}</section>\n'
    return f"<!-- timings -->\n{text}<!-- /timings -->\n" if section.is_timing else text
