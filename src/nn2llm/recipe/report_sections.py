"""The sections of the page about what came out: scores, win rates, replies, method, words, cost.

Read html_parts.py before. training_sections.py has those about single stages. Used by report_html.py.
"""

import itertools
from collections.abc import Callable
from html import escape
from typing import Any

from nn2llm.core.progress import format_count, format_duration
from nn2llm.recipe.html_parts import (
    Section,
    build_facts,
    build_figure,
    build_range,
    build_responsive,
    build_table,
    note,
    paragraph,
    swatch,
    typeset,
)
from nn2llm.recipe.report_charts import draw_frontier, draw_gold_by_group
from nn2llm.recipe.report_figures import Report, Sample, Timings
from nn2llm.recipe.report_words import (
    GLOSSARY,
    GROUP_MEANINGS,
    POLICY_NAMES,
    SAMPLE_NAMES,
    STAGE_NAMES,
    describe_measurement,
    describe_sample_rule,
    format_gap,
    format_number,
    format_percent,
    format_signed,
    name_group,
    name_kind,
)
from nn2llm.recipe.training_sections import build_base, build_dpo, build_ppo, build_reward

__all__ = ["SECTIONS", "Section", "build_cost", "build_scores", "build_wins"]


def build_scores(report: Report) -> Section:
    """Mean gold score by group of prompts."""
    if not report.gold_by_group:
        body = note(
            "The evaluation has not been made yet: it asks every stage the same held-out prompts. Run the "
            "same `nn2llm chatgpt` command again and it goes on from here."
        )
        return Section(name="scores", title="What each stage can do", short="Scores", body=body)
    policies = list(report.gold_by_group)
    rows = []
    for group in ("all", *report.groups):
        count = report.num_prompts if group == "all" else report.groups[group]
        meaning = GROUP_MEANINGS.get(group, "")
        name = f"{escape(name_group(group))}<span class=small> · {count:,}</span>"
        if meaning:
            name += f'<br><small style="font-weight: 400">{escape(meaning)}</small>'
        cells = [
            build_range(report.gold_by_group[policy][group], mark=_mark_gain(report, policy, group))
            for policy in policies
        ]
        rows.append([name, *cells])
    table = build_table(["group · prompts", *map(swatch, policies)], rows, total_row=True)
    caption = "Mean gold score of the replies to the same held-out prompts, 0 to 1, with 95% intervals. " + (
        "Arrows in the table: clearly above or below SFT on the same prompts." if _has_marks(report) else ""
    )
    chart = build_responsive(
        draw_gold_by_group(report, wide=False), draw_gold_by_group(report, wide=True), caption
    )
    kinds = build_table(
        ["kind of prompt", *map(swatch, policies)],
        [
            [
                escape(name_kind(kind)),
                *(build_range(report.gold_by_kind[policy][kind]) for policy in policies),
            ]
            for kind in report.gold_by_kind[policies[0]]
        ],
    )
    by_kind = f"<details><summary>By kind of prompt</summary>\n{kinds}</details>\n"
    return Section(
        name="scores",
        title="What each stage can do",
        short="Scores",
        body=chart + table + by_kind,
    )


def _mark_gain(report: Report, policy: str, group: str) -> str:
    """An arrow where a stage is clearly better or worse than SFT."""
    gains = report.gains_by_group.get(policy, {})
    pair = report.compare(policy, "sft") if group == "all" else gains.get(group)
    if pair is None or not pair.is_clear:
        return ""
    if pair.difference.low > 0:
        return ' <span class="up" role="img" aria-label="clearly above SFT">▲</span>'
    return ' <span class="down" role="img" aria-label="clearly below SFT">▼</span>'


def _has_marks(report: Report) -> bool:
    return any(
        _mark_gain(report, policy, group)
        for policy in report.gold_by_group
        for group in ("all", *report.groups)
    )


def build_wins(report: Report) -> Section | None:
    """Each stage against each other, prompt by prompt."""
    if not report.comparisons:
        return None
    items = ""
    for pair in report.comparisons:
        parts = ""
        for kind, count in (("wins", pair.wins), ("ties", pair.ties), ("losses", pair.losses)):
            share = count / pair.num_prompts
            text = f"{format_percent(share, 0)}" if share >= 0.06 else ""
            parts += f'<span class="{kind}" style="width: {100 * share:.2f}%">{text}</span>'
        first, second = POLICY_NAMES[pair.first], POLICY_NAMES[pair.second]
        rate = pair.win_rate
        label = f"{first} is better on {pair.wins} prompts, equal on {pair.ties}, worse on {pair.losses}"
        difference = pair.difference
        sure = "" if pair.is_clear else ": no clear difference"
        items += (
            f'<li style="--first: var(--{pair.first}); --second: var(--{pair.second})">'
            f'<span class="who">{first} <small>against</small> {second}</span>'
            f'<span class="bar" role="img" aria-label="{label}">{parts}</span>'
            f'<span class="rate"><b>{format_percent(rate.estimate)}</b> '
            f"<small>{format_number(100 * rate.low, 1)} to {format_percent(rate.high)}</small></span>"
            f'<small class="gain">gold {format_signed(difference.estimate)} '
            f"({format_gap(difference, 3)}){sure}</small></li>\n"
        )
    body = paragraph(
        "How often one stage's reply to a prompt has the higher gold score: wins on the left, ties in the "
        "middle, losses on the right. The win rate counts a tie as half; the notches mark one half. Below it "
        "is the difference of the mean gold scores. Brackets and small figures are 95% intervals, paired by "
        "prompt."
    )
    body += f'<ul class="duels">\n{items}</ul>\n'
    return Section(name="wins", title="Which stage wins", short="Win rates", body=body)


def _build_distance(report: Report) -> Section | None:
    """Gold, utility, proxy, KL, length side by side."""
    if not any(figures.kl for figures in report.behaviour.values()):
        return None
    rows = []
    for policy, figures in report.behaviour.items():
        rows.append(
            [
                swatch(policy),
                build_range(figures.gold),
                build_range(figures.utility),
                build_range(figures.reward) if figures.reward else "–",
                build_range(figures.kl) if figures.kl and policy != "sft" else "0" if figures.kl else "–",
                build_range(figures.num_tokens, 1),
                format_percent(figures.finished),
            ]
        )
    head = ["means a reply", "gold", "utility", "reward", "KL, nats", "tokens", "finished"]
    body = '<div class="pair">\n' + build_figure(
        draw_frontier(report),
        "Each stage at its gold score and its distance from SFT, with 95% intervals"
        + ("; the line is PPO on its way, on training prompts." if report.ppo else "."),
    )
    text = (
        "PPO and DPO start as the SFT model and move away from it. KL says how far: the mean over replies of "
        "log P(reply | this model) − log P(reply | SFT), in nats. The less of it a gain takes, the better: "
        "far from SFT the reward model judges replies of a kind that it has never seen."
    )
    if report.temperature not in (None, 1.0):
        text += f" At temperature {report.temperature:g} this mean is only near the KL divergence."
    prices = [
        (
            f"{POLICY_NAMES[policy]}: gold a nat",
            format_number(pair.difference.estimate / figures.kl.estimate, 3),
            f"{format_number(pair.difference.estimate, 3)} for {format_number(figures.kl.estimate, 1)} nats",
        )
        for policy, figures in report.behaviour.items()
        if (pair := report.compare(policy, "sft")) and pair.is_clear and figures.kl and figures.kl.low > 0
    ]
    body += f"<div>{paragraph(text)}{build_facts(prices) if prices else ''}</div></div>\n" + build_table(
        head, rows
    )
    return Section(name="distance", title="How far they moved from SFT", short="KL", body=body)


def _build_replies(report: Report) -> Section | None:
    if not report.samples:
        return None
    body = paragraph(describe_sample_rule(report))
    for group, samples in itertools.groupby(report.samples, key=lambda sample: sample.group):
        body += f"<h3>{escape(name_group(group))}</h3>\n"
        for number, (kind, some) in enumerate(itertools.groupby(samples, key=lambda sample: sample.kind)):
            golds = [
                f"{POLICY_NAMES[policy]} {format_number(by_kind[kind].estimate)}"
                for policy, by_kind in report.gold_by_kind.items()
            ]
            body += (
                f"<details{' open' if number == 0 else ''}><summary>{escape(name_kind(kind))} "
                f"<span class=small>· mean gold {', '.join(golds)}</span></summary>\n"
                + "".join(map(_build_sample, some))
                + "</details>\n"
            )
    return Section(name="replies", title="Replies, side by side", short="Replies", body=body)


def _build_sample(sample: Sample) -> str:
    turns = "".join(
        f'<p class="{"assistant" if turn["role"] == "assistant" else "user"}">{escape(turn["content"])}</p>'
        for turn in sample.messages
    )
    replies = "".join(_build_reply(policy, reply) for policy, reply in sample.replies.items())
    title = SAMPLE_NAMES[sample.choice]
    return (
        f'<div class="sample"><h4>{title} · prompt {sample.index}</h4>\n<div class="turns">{turns}</div>\n'
        f'<div class="replies">{replies}</div></div>\n'
    )


def _build_reply(policy: str, reply: dict[str, Any]) -> str:
    text = escape(reply["text"].strip()) or '<span class="empty">says nothing</span>'
    cut = "" if reply["finished"] else ' <span class="cut">… (cut at its longest)</span>'
    return (
        f'<div style="--colour: var(--{policy})"><div class="top"><b>{POLICY_NAMES[policy]}</b>'
        f"<span>gold {format_number(reply['gold'])}</span></div>"
        f'<div class="text">{text}{cut}</div></div>\n'
    )


def _build_method(report: Report) -> Section:
    body = "".join(map(paragraph, describe_measurement(report)))
    words = "".join(f"<dt>{typeset(word)}</dt><dd>{typeset(meaning)}</dd>\n" for word, meaning in GLOSSARY)
    body += f'<h3>What the words mean</h3>\n<dl class="words">\n{words}</dl>\n'
    return Section(name="method", title="How it was measured", short="Method and words", body=body)


def build_cost(report: Report, timings: Timings) -> Section:
    """What each stage took. The only section with times and the folder's name."""
    rows = []
    for stage, figures in report.stages.items():
        seconds = timings.seconds[stage]
        speed = _format_speed(figures.flops / seconds) if seconds > 0 and figures.flops else "–"
        rows.append(
            [
                escape(STAGE_NAMES[stage]),
                format_duration(seconds),
                format_count(figures.tokens) if figures.tokens else "–",
                _format_power(figures.flops),
                speed,
                f'<span class="words">{escape(figures.headline)}</span>',
            ]
        )
    total = [
        "All",
        format_duration(sum(timings.seconds.values())),
        format_count(sum(figures.tokens for figures in report.stages.values())),
        _format_power(sum(figures.flops for figures in report.stages.values())),
        "",
        "",
    ]
    head = ["stage", "time", "tokens", "FLOPs", "FLOP/s", '<span class="words">result</span>']
    body = build_table(head, [total, *rows], total_row=True)
    body += paragraph(
        "Times are of this run on this machine; all else on this page is the same for every run with these "
        "settings. FLOPs are those of matrix products: three passes for a token that is trained on, one for "
        "a token that is read or written.",
        kind="small",
    )
    if "sft" in report.stages:
        folder = escape(timings.folder)
        body += f"<p>Talk to it: <code>nn2llm chat {folder}</code></p>\n"
    return Section(name="cost", title="What each stage cost", short="Cost", body=body, is_timing=True)


def _format_speed(value: float) -> str:
    """2.23 T: the unit stands in the table's head."""
    text = format_count(value)
    return f"{text[:-1]} {text[-1]}" if text[-1].isalpha() else text


def _format_power(value: float) -> str:
    """1.5 × 10<sup>13</sup>."""
    if not value:
        return "–"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} × 10<sup>{int(exponent)}</sup>"


SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    build_scores,
    build_wins,
    _build_distance,
    build_base,
    build_reward,
    build_ppo,
    build_dpo,
    _build_replies,
    _build_method,
)
"""In the order of the page; the cost comes last."""
