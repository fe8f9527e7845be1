"""report.html: one page that needs no script, no network and no other file.

Plain string templates; whatever comes from a file or a model goes through `html.escape`. What differs between
two equal runs stands between TIMINGS marks (report.py can take it out).
Read report_words.py, report_sections.py before. Used by report.py.
"""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from nn2llm import __version__
from nn2llm.recipe.given_sections import GIVEN_SECTIONS, Tile, build_given_tiles
from nn2llm.recipe.given_words import summarise_given
from nn2llm.recipe.html_parts import typeset
from nn2llm.recipe.report_figures import Report, Timings
from nn2llm.recipe.report_sections import SECTIONS, Section, build_cost
from nn2llm.recipe.report_words import format_number, format_percent, summarise

__all__ = ["build_html"]

_STUDY_LINK = """<p><a href="study.html">The study of this recipe</a>: GRPO, best-of-n and PPO without its KL
term beside these models, and what happens when a reward model is trusted too far.</p>
"""


def build_html(report: Report, timings: Timings, *, has_study: bool = False) -> str:
    """The page; with a link to study.html where that is there."""
    builders = SECTIONS if report.given is None else GIVEN_SECTIONS
    sections = [section for build in builders if (section := build(report)) is not None]
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
<p class="lede">{typeset(summarise(report) if report.given is None else summarise_given(report))}</p>
{_build_stages(report)}
{_STUDY_LINK if has_study else ""}</header>
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
    """The models in the order of the recipe, each with the figure that tells most."""
    tiles = _list_tiles(report) if report.given is None else build_given_tiles(report)
    items = ""
    for colour, stage, name, shown in tiles:
        figure = shown
        if figure is None:
            done = report.stages.get(stage)
            waits = "not measured yet" if report.missing else "not measured"
            figure = (waits, done.headline) if done else ("not done yet", "")
        kind = " class=absent" if shown is None else ""
        number, what = figure
        items += (
            f'<li style="--colour: var(--{colour})"{kind}><span class="name">{name}</span>'
            f'<span class="figure">{typeset(number)}</span><span class="what">{typeset(what)}</span></li>'
        )
    return f'<ol class="stages">{items}</ol>'


def _list_tiles(report: Report) -> list[Tile]:
    """Of a micro-world's recipe."""

    def gold(policy: str) -> tuple[str, str] | None:
        if policy not in report.behaviour:
            return None
        pair = report.compare(policy, "sft")
        text = "gold score"
        if pair is not None:
            sure = "" if pair.is_clear else ", no clear difference"
            text += f", win rate {format_percent(pair.win_rate.estimate, 0)} over SFT{sure}"
        return format_number(report.behaviour[policy].gold.estimate), text

    tiles: list[Tile] = []
    base = report.base
    tiles.append(
        (
            "base",
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
    tiles.append(("sft", "sft", "2 · SFT", sft))
    reward = report.reward
    shown = None
    if reward is not None:
        best = f" of {format_percent(reward.best_possible)} possible" if reward.best_possible else ""
        shown = (format_percent(reward.accuracy.estimate), f"of pairs ranked right,{best}".rstrip(","))
    tiles.append(("proxy", "reward", "3 · Reward model", shown))
    tiles.append(("ppo", "ppo", "4a · PPO", gold("ppo")))
    tiles.append(("dpo", "dpo", "4b · DPO", gold("dpo")))
    return tiles
