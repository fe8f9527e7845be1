"""report.html: one page that needs no script, no network and no other file.

Plain string templates; whatever comes from a file or a model goes through `html.escape`. What differs between
two equal runs stands between TIMINGS marks (report.py can take it out).
Read report_words.py, report_sections.py before. Used by report.py.
"""

from nn2llm.recipe.given_sections import GIVEN_SECTIONS, Tile, build_given_tiles
from nn2llm.recipe.given_words import summarise_given
from nn2llm.recipe.html_parts import build_page, typeset
from nn2llm.recipe.report_figures import Report, Timings
from nn2llm.recipe.report_sections import SECTIONS, build_cost
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
    return build_page(
        title=title,
        eyebrow="nn2llm · from raw text to an aligned chat model",
        lede=summarise(report) if report.given is None else summarise_given(report),
        introduction=f"{_build_stages(report)}\n{_STUDY_LINK if has_study else ''}",
        sections=sections,
        figures_file="report.json",
    )


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
