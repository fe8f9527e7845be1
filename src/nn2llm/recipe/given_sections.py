"""The sections of the page of a recipe on given data.

What every report has comes from report_sections.py.

Read given_words.py and report_sections.py before. Used by report_html.py.
"""

from collections.abc import Callable
from html import escape
from typing import Any

from nn2llm.recipe.given_figures import GivenSample, PolicyFigures
from nn2llm.recipe.given_words import (
    GIVEN_GLOSSARY,
    IFEVAL_ROWS,
    describe_given_measurement,
    describe_rewards,
    name_instruction,
)
from nn2llm.recipe.html_parts import (
    Section,
    build_facts,
    build_figure,
    build_percent_range,
    build_range,
    build_responsive,
    build_table,
    note,
    paragraph,
    swatch,
    typeset,
)
from nn2llm.recipe.report_charts import draw_base_loss
from nn2llm.recipe.report_figures import Report
from nn2llm.recipe.report_sections import build_scores, build_wins
from nn2llm.recipe.report_words import POLICY_NAMES, format_number, format_percent
from nn2llm.recipe.training_charts import (
    draw_calibration,
    draw_dpo,
    draw_ppo_course,
    draw_ppo_health,
    draw_reward_accuracy,
)
from nn2llm.recipe.training_sections import build_base

__all__ = ["GIVEN_SECTIONS", "build_given_tiles"]

_GO_ON = "Run the same `nn2llm chatgpt` command again and it goes on from here."

Tile = tuple[str, str, str, tuple[str, str] | None]


def build_given_tiles(report: Report) -> list[Tile]:
    """(colour, stage, name, (figure, what it is)) of each model, for the head of the page."""
    given = report.given
    assert given is not None
    reward = report.reward
    tiles: list[Tile] = [
        ("base", "base", "1 · Base model", _show_base(report)),
        ("sft", "sft", "2 · SFT", _show_sft(report)),
    ]
    if "reward" not in given.stages:
        return tiles
    tiles.append(
        ("proxy", "reward", "3 · Reward model",
         (format_percent(reward.accuracy.estimate), f"of {reward.accuracy.count:,} held-out pairs as people")
         if reward else None)
    )  # fmt: skip
    for stage, name in (("ppo", "4a · PPO"), ("dpo", "4b · DPO")):
        figures = given.policies.get(stage)
        tiles.append((stage, stage, name, _show_gain(figures) if figures else None))
    return tiles


def _show_base(report: Report) -> tuple[str, str] | None:
    if report.base is not None:
        above = f"{format_number(report.base.percent_above, 1)}%"
        return above, "above the lowest loss there can be"
    base = None if report.given is None else report.given.base
    return (format_number(base.bits_per_byte, 3), "bits a byte of held-out text") if base else None


def _show_sft(report: Report) -> tuple[str, str] | None:
    if "sft" in report.gold_by_group:
        return format_number(report.gold_by_group["sft"]["all"].estimate), "gold score"
    loss = None if report.given is None else report.given.reply_loss
    if loss is None:
        return None
    return format_number(loss[1]), f"nats a token of held-out replies, {format_number(loss[0])} before"


def _show_gain(figures: PolicyFigures) -> tuple[str, str] | None:
    if figures.reward_gain is None or figures.kl is None:
        return None
    gain = figures.reward_gain
    sign = "+" if gain.estimate >= 0 else ""
    sure = "" if gain.low > 0 or gain.high < 0 else ", no clear difference"
    what = f"reward over SFT, at {format_number(figures.kl.estimate, 1)} nats{sure}"
    return sign + format_number(gain.estimate), what


def _build_results(report: Report) -> Section:
    given = report.given
    assert given is not None
    title, short = "What each stage does with the same prompts", "Replies in figures"
    if not given.policies:
        body = note(
            "The evaluation has not been made yet: it asks every stage the same held-out prompts. " + _GO_ON
        )
        return Section(name="results", title=title, short=short, body=body)
    policies = list(given.policies)
    rows = [
        ["reward", *(build_range(f.reward) if f.reward else "–" for f in given.policies.values())],
        [
            "reward over SFT",
            *(build_range(f.reward_gain) if f.reward_gain else "–" for f in given.policies.values()),
        ],
        [
            "KL from SFT, nats",
            *(
                "0" if policy == "sft" and f.kl else build_range(f.kl, 1) if f.kl else "–"
                for policy, f in given.policies.items()
            ),
        ],
        ["tokens", *(build_range(f.num_tokens, 1) for f in given.policies.values())],
        ["ended by themselves", *(format_percent(f.finished) for f in given.policies.values())],
    ]
    if "reward" not in given.stages:
        rows = rows[3:]
    told = [describe_rewards(policy, figures) for policy, figures in given.policies.items()]
    body = "".join(paragraph(text) for text in told if text)
    body += build_table([f"means over {report.num_prompts:,} prompts", *map(swatch, policies)], rows)
    return Section(name="results", title=title, short=short, body=body)


def _build_base(report: Report) -> Section | None:
    given, curves = report.given, report.curves.get("base", {})
    assert given is not None
    base = given.base
    if report.base is not None:
        return build_base(report)
    if base is None and "val_bits_per_byte" not in curves:
        return None
    body = ""
    if base is not None:
        body += build_facts(
            [
                (
                    "bits a byte",
                    format_number(base.bits_per_byte, 3),
                    f"{format_number(base.bits_per_byte_low, 3)} to "
                    f"{format_number(base.bits_per_byte_high, 3)}",
                ),
                ("nats a token", format_number(base.nats_per_token, 3), ""),
                ("perplexity", format_number(base.perplexity, 1), "per token"),
                ("gzip", format_number(base.gzip_bits_per_byte, 2), "bits a byte, the same text"),
                ("xz", format_number(base.xz_bits_per_byte, 2), "bits a byte, the same text"),
            ]
        )
        body += paragraph(
            f"On {base.measured_tokens:,.0f} tokens of held-out text ({base.measured_documents:,.0f} "
            "pieces), each read with context.",
            kind="small",
        )
    if "val_bits_per_byte" in curves and len(curves["val_bits_per_byte"].steps) > 1:
        body += '<div class="pair">\n' + build_figure(
            draw_base_loss(curves, None), "Held-out text, as training went on.", title="Learning to read"
        )
        body += "</div>\n"
    return Section(name="base", title="The base model on text it has never seen", short="Base", body=body)


def _build_reward(report: Report) -> Section | None:
    reward, chart = report.reward, draw_reward_accuracy(report)
    if reward is None and chart is None:
        return None
    body = ""
    if reward is not None:
        score = reward.accuracy
        body += paragraph(
            f"Of {score.count:,} held-out pairs it gives the reply that was chosen the higher score in "
            f"{format_percent(score.estimate)} ({format_percent(score.low)} to "
            f"{format_percent(score.high)}); guessing gives 50%. People disagree with each other too, so "
            "100% cannot be reached; how far it could go is not known here."
        )
    body += '<div class="pair">\n'
    if chart is not None:
        body += build_figure(chart, "Held-out pairs, as training went on.", title="Ranking pairs")
    if reward is not None and reward.calibration:
        body += build_figure(
            draw_calibration(reward, None),
            "On the dashed line a model is right as often as it says; below it, it is too sure of itself. "
            "Bars are 95% intervals.",
            title="Does it know what it does not know?",
        )
    return Section(
        name="reward",
        title="The reward model on held-out pairs",
        short="Reward model",
        body=body + "</div>\n",
    )


def _build_ppo(report: Report) -> Section | None:
    course = report.ppo
    if course is None:
        return None
    body = "" if "ppo" in report.stages else note(f"PPO is still under way. {_GO_ON}")
    body += build_responsive(
        draw_ppo_course(course, noise=None, wide=False),
        draw_ppo_course(course, noise=None, wide=True),
        "Means over the replies of each iteration, to training prompts. Thin: as logged; thick: smoothed.",
    )
    body += "<h3>Vital signs</h3>\n" + build_responsive(
        draw_ppo_health(course, wide=False),
        draw_ppo_health(course, wide=True),
        "What one watches while PPO runs, smoothed. The dashed reward has the KL penalty taken off. Entropy "
        "near 0: it always writes the same. Clip fraction: tokens whose probability wanted to change by more "
        "than is allowed. Explained variance: how well the value model foresees rewards, 1 is perfectly.",
    )
    return Section(name="ppo", title="PPO on the reward model", short="PPO", body=body)


def _build_dpo(report: Report) -> Section | None:
    given, curves = report.given, report.curves.get("dpo", {})
    assert given is not None
    chart, wide_chart = draw_dpo(curves, wide=False), draw_dpo(curves, wide=True)
    if chart is None or wide_chart is None:
        return None
    body = "" if "dpo" in report.stages else note(f"DPO is still under way. {_GO_ON}")
    if given.dpo_accuracy is not None:
        share = given.dpo_accuracy
        body += paragraph(
            f"Of {share.count:,} held-out pairs it raised the chosen reply more than the rejected one in "
            f"{format_percent(share.estimate)} ({format_percent(share.low)} to {format_percent(share.high)})."
        )
    body += build_responsive(
        chart,
        wide_chart,
        "Pairs ranked right: those whose chosen reply has the higher implicit reward, β log(policy / SFT). "
        "Where both implicit rewards fall, the model moves away from both, from the rejected ones faster.",
    )
    return Section(name="dpo", title="DPO on the same pairs", short="DPO", body=body)


def _build_ifeval(report: Report) -> Section | None:
    given = report.given
    assert given is not None
    if not given.ifeval:
        return None
    policies = list(given.ifeval)
    rows = [
        [title, *(build_percent_range(getattr(figures, name)) for figures in given.ifeval.values())]
        for name, title in IFEVAL_ROWS
    ]
    first = next(iter(given.ifeval.values()))
    body = paragraph(
        f"{first.prompt_strict.count:,} prompts with {first.instruction_strict.count:,} instructions that a "
        "program can check: at least so many words, no commas, a title in double angle brackets. They tell "
        "whether a model does what it is told, not whether what it says is right. Some are followed by "
        "accident: a model that had learned nothing followed all of 12% of the prompts in 8 tokens a reply."
    )
    body += build_table(["followed", *map(swatch, policies)], rows)
    kinds = [
        [
            f"{escape(name_instruction(kind))}<span class=small> · {share.count}</span>",
            *(build_percent_range(figures.by_kind[kind]) for figures in given.ifeval.values()),
        ]
        for kind, share in first.by_kind.items()
    ]
    table = build_table(["instruction, strict", *map(swatch, policies)], kinds)
    body += f"<details><summary>By instruction</summary>\n{table}</details>\n"
    return Section(name="ifeval", title="Does it follow instructions? IFEval", short="IFEval", body=body)


def _build_replies(report: Report) -> Section | None:
    given = report.given
    assert given is not None
    if not given.samples:
        return None
    body = paragraph(
        f"Nobody picked these: they are the first {len(given.samples)} of the held-out prompts, whose order "
        "was drawn. They are what people wrote to a data set, and may offend."
    )
    for number, sample in enumerate(given.samples):
        body += (
            f"<details{' open' if number < 3 else ''}><summary>Prompt {sample.index}</summary>\n"
            f"{_build_sample(sample)}</details>\n"
        )
    return Section(name="replies", title="Replies, side by side", short="Replies", body=body)


def _build_sample(sample: GivenSample) -> str:
    turns = "".join(
        f'<p class="{"assistant" if turn["role"] == "assistant" else "user"}">{escape(turn["content"])}</p>'
        for turn in sample.messages
    )
    replies = "".join(_build_reply(policy, reply) for policy, reply in sample.replies.items())
    return (
        f'<div class="sample"><div class="turns">{turns}</div>\n<div class="replies">{replies}</div></div>\n'
    )


def _build_reply(policy: str, reply: dict[str, Any]) -> str:
    text = escape(reply["text"].strip()) or '<span class="empty">says nothing</span>'
    cut = "" if reply["finished"] else ' <span class="cut">… (cut at its longest)</span>'
    known = [
        f"{name} {format_number(reply[name])}" for name in ("gold", "reward") if reply.get(name) is not None
    ]
    return (
        f'<div style="--colour: var(--{policy})"><div class="top"><b>{POLICY_NAMES[policy]}</b>'
        f'<span>{", ".join(known)}</span></div><div class="text">{text}{cut}</div></div>\n'
    )


def _build_method(report: Report) -> Section:
    body = "".join(map(paragraph, describe_given_measurement(report)))
    words = "".join(
        f"<dt>{typeset(word)}</dt><dd>{typeset(meaning)}</dd>\n" for word, meaning in GIVEN_GLOSSARY
    )
    body += f'<h3>What the words mean</h3>\n<dl class="words">\n{words}</dl>\n'
    return Section(name="method", title="How it was measured", short="Method and words", body=body)


def _build_gold(report: Report) -> Section | None:
    """In a micro-world with given pairs."""
    return build_scores(report) if report.gold_by_group else None


GIVEN_SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    _build_results,
    _build_gold,
    build_wins,
    _build_ifeval,
    _build_base,
    _build_reward,
    _build_ppo,
    _build_dpo,
    _build_replies,
    _build_method,
)
"""In the order of the page; the cost comes last."""
