"""report.html: one page that needs no script, no network and no other file.

Plain string templates; whatever comes from a file or a model goes through `html.escape`. What differs between
two equal runs stands between TIMINGS marks (report.py can take it out).
Read report_words.py, report_sections.py before. Used by report.py.
"""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from nn2llm import __version__
from nn2llm.recipe.html_parts import typeset
from nn2llm.recipe.report_figures import Report, Timings
from nn2llm.recipe.report_sections import SECTIONS, Section, build_cost
from nn2llm.recipe.report_words import format_number, format_percent, summarise

__all__ = ["build_html"]


def build_html(report: Report, timings: Timings) -> str:
    """The page."""
    sections = [section for build in SECTIONS if (section := build(report)) is not None]
    sections.append(build_cost(report, timings))
    title = "A chat model's report card" if "evaluation" in report.stages else "A chat model in the making"
    css = files("nn2llm.recipe").joinpath("report.css").read_text(encoding="utf-8")
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
<p class="eyebrow">nn2llm · from raw text to an aligned chat model</p>
<h1>{typeset(title)}</h1>
<p class="lede">{typeset(summarise(report))}</p>
{_build_stages(report)}
</header>
{_build_navigation(sections)}
<main>
{"".join(map(_build_section, sections))}</main>
<footer>Made by nn2llm {escape(__version__)} from the files of this folder. All figures are in
<code>report.json</code>.</footer>
</body>
</html>
"""


def _build_section(section: Section) -> str:
    text = f'<section id="{section.name}">\n<h2>{typeset(section.title)}</h2>\n{section.body}</section>\n'
    return f"<!-- timings -->\n{text}<!-- /timings -->\n" if section.is_timing else text


def _build_navigation(sections: Sequence[Section]) -> str:
    links = "".join(f'<li><a href="#{each.name}">{typeset(each.short)}</a></li>' for each in sections)
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _build_stages(report: Report) -> str:
    """The five models in the order of the recipe, each with the figure that tells most."""

    def gold(policy: str) -> tuple[str, str] | None:
        if policy not in report.behaviour:
            return None
        pair = report.compare(policy, "sft")
        text = "gold score"
        if pair is not None:
            sure = "" if pair.is_clear else ", no clear difference"
            text += f", win rate {format_percent(pair.win_rate.estimate, 0)} over SFT{sure}"
        return format_number(report.behaviour[policy].gold.estimate), text

    tiles: list[tuple[str, str, tuple[str, str] | None]] = []
    base = report.base
    tiles.append(
        (
            "base",
            "1 · Base model",
            (f"{format_number(base.percent_above, 1)}%", "above the lowest loss there can be")
            if base
            else None,
        )
    )
    sft = gold("sft")
    if sft is not None and "sft" in report.held_out_questions:
        answered = format_percent(report.held_out_questions["sft"].estimate, 0)
        sft = (sft[0], f"gold score, {answered} of held-out questions right")
    tiles.append(("sft", "2 · SFT", sft))
    reward = report.reward
    shown = None
    if reward is not None:
        best = f" of {format_percent(reward.best_possible)} possible" if reward.best_possible else ""
        shown = (format_percent(reward.accuracy.estimate), f"of pairs ranked right,{best}".rstrip(","))
    tiles.append(("proxy", "3 · Reward model", shown))
    tiles.append(("ppo", "4a · PPO", gold("ppo")))
    tiles.append(("dpo", "4b · DPO", gold("dpo")))
    items = ""
    for (colour, name, figure), stage in zip(tiles, ("base", "sft", "reward", "ppo", "dpo"), strict=True):
        if figure is None:
            done = report.stages.get(stage)
            figure = ("not measured yet", done.headline) if done else ("not done yet", "")
            kind = " class=absent"
        else:
            kind = ""
        number, what = figure
        items += (
            f'<li style="--colour: var(--{colour})"{kind}><span class="name">{name}</span>'
            f'<span class="figure">{typeset(number)}</span><span class="what">{typeset(what)}</span></li>'
        )
    return f'<ol class="stages">{items}</ol>'
