"""The sections of the page about single stages: base model and SFT, reward model, PPO, DPO.

Read html_parts.py before. Used by report_sections.py.
"""

from html import escape

from nn2llm.recipe.html_parts import (
    Section,
    build_facts,
    build_figure,
    build_percent_range,
    build_responsive,
    build_table,
    note,
    paragraph,
    swatch,
    typeset,
)
from nn2llm.recipe.report_charts import draw_base_loss, draw_probes
from nn2llm.recipe.report_figures import Report, RewardFigures
from nn2llm.recipe.report_words import (
    choose_probes,
    describe_control,
    describe_course,
    describe_difference,
    format_number,
    format_percent,
    name_feature,
    name_probe,
)
from nn2llm.recipe.training_charts import (
    draw_biases,
    draw_calibration,
    draw_dpo,
    draw_ppo_course,
    draw_ppo_health,
    draw_reward_accuracy,
)

__all__ = ["build_base", "build_dpo", "build_ppo", "build_reward"]

_GO_ON = "Run the same `nn2llm chatgpt` command again and it goes on from here."


def build_base(report: Report) -> Section | None:
    """Loss against the floor, probes, and the questions that only SFT lets it answer."""
    curves = report.curves.get("base", {})
    if report.base is None and not curves:
        return None
    body = paragraph(
        "The base model reads raw text about the village and learns to predict it. What it knows shows in "
        "two ways: how few bits it needs for text that it has never seen, and whether it finds a true "
        "continuation more probable than false ones."
    )
    if report.base is not None:
        base = report.base
        body += build_facts(
            [
                ("loss above the floor", f"{format_number(base.percent_above, 1)}%", "0% is perfect"),
                (
                    "bits per byte",
                    format_number(base.bits_per_byte, 3),
                    f"floor {format_number(base.floor_bits_per_byte, 3)}",
                ),
                (
                    "nats a document",
                    format_number(base.nats_per_document, 1),
                    f"floor {format_number(base.floor_nats_per_document, 1)}",
                ),
            ]
        )
    body += '<div class="pair">\n'
    if "val_bits_per_byte" in curves:
        body += build_figure(
            draw_base_loss(curves, report.base),
            "Held-out text, as training went on. The floor is what the program that wrote the text needs.",
            title="Learning to read",
        )
    if report.probes:
        body += build_figure(
            draw_probes(choose_probes(report)),
            "Multiple choice by probability. Grammar: of two sentences the right one. Recall: facts of the "
            "village. Context: a fact told just before. Few-shot: a form of answer shown in examples. Lines "
            "are 95% intervals.",
            title="What it knows and picks up",
        )
    body += "</div>\n" + _build_probe_table(report) + _build_questions(report)
    return Section(
        name="base", title="The base model, and what SFT lets out of it", short="Base and SFT", body=body
    )


def _build_probe_table(report: Report) -> str:
    if not report.probes:
        return ""
    rows = [
        [
            typeset(name_probe(probe)),
            build_percent_range(probe.score),
            format_percent(probe.chance),
            f"{probe.score.count:,}",
        ]
        for probe in report.probes
    ]
    table = build_table(["multiple choice", "right", "chance", "items"], rows)
    return f"<details><summary>All kinds of items</summary>\n{table}</details>\n"


def _build_questions(report: Report) -> str:
    scores = report.held_out_questions
    if not scores:
        return ""
    body = "<h3>Questions about the village that no demonstration asked</h3>\n" + paragraph(
        "The facts are in the raw text, so the base model may know them; SFT teaches it to answer, with "
        "other questions about other facts."
    )
    row = [build_percent_range(score) for score in scores.values()]
    count = next(iter(scores.values())).count
    return body + build_table(["", *map(swatch, scores)], [[f"right answers of {count}", *row]])


def build_reward(report: Report) -> Section | None:
    """Accuracy beside the best possible, calibration, biases beside the control."""
    reward, control = report.reward, report.reward_control
    chart = draw_reward_accuracy(report)
    if reward is None and chart is None:
        return None
    body = paragraph(
        "A labeller compared pairs of SFT's replies, and the reward model learned to predict the choice. The "
        f"labeller likes quality, but not only quality. {describe_control(report)}"
    )
    if reward is not None:
        body += _build_reward_table(reward, control)
        if reward.shortfall is not None:
            body += paragraph(_describe_shortfall(reward))
    body += '<div class="pair">\n'
    if chart is not None:
        body += build_figure(
            chart,
            "Held-out pairs, as training went on. Dashed: what no model exceeds but by luck.",
            title="Ranking pairs",
        )
    if reward is not None:
        body += build_figure(
            draw_calibration(reward, control),
            "On the dashed line a model is right as often as it says; below it, it is too sure of itself. "
            "Bars are 95% intervals.",
            title="Does it know what it does not know?",
        )
        if reward.biases:
            body += build_figure(
                draw_biases(reward, control),
                "How much each property counts when the others are equal, for the labeller (circle) and for "
                "the reward model that learned from them (diamond). Only quality should.",
                title="What counts in a reply",
            )
            body += _build_bias_table(reward, control)
    body += "</div>\n"
    return Section(
        name="reward", title="The reward model, and what it has learned", short="Reward model", body=body
    )


def _build_reward_table(reward: RewardFigures, control: RewardFigures | None) -> str:
    rows = []
    for name, model in (("the biased labeller", reward), ("unbiased control", control)):
        if model is None:
            continue
        score = model.accuracy
        rows.append(
            [
                name,
                build_percent_range(score),
                format_percent(model.best_possible) if model.best_possible is not None else "–",
                format_percent(model.gold_agreement) if model.gold_agreement is not None else "–",
                format_percent(model.calibration_error) if model.calibration_error is not None else "–",
            ]
        )
        if model.own_replies is not None:
            own = model.own_replies
            share = build_percent_range(own.accuracy)
            name = f"the same, {own.accuracy.count:,} pairs of replies written to their prompt"
            rows.append([name, share, format_percent(own.best_possible), "", ""])
    head = [
        f"learned from · {reward.accuracy.count:,} held-out pairs",
        "right",
        "best possible",
        "agrees with gold",
        "calibration error",
    ]
    return build_table(head, rows)


def _describe_shortfall(reward: RewardFigures) -> str:
    shortfall = 100 * (reward.shortfall or 0.0)
    distance = (
        f"The reward model is {format_number(shortfall, 1)} points from it."
        if shortfall > 0
        else "On these pairs the reward model is as good as that."
    )
    return (
        "The best possible is not 100%: asked twice about the same pair, the labeller would not always "
        f"choose alike. {distance}"
    )


def _build_bias_table(reward: RewardFigures, control: RewardFigures | None) -> str:
    others = {bias.name: bias for bias in control.biases} if control else {}
    rows = []
    for bias in reward.biases:
        row = [
            escape(name_feature(bias.name)),
            *(format_number(effect.estimate) for effect in (bias.labeller, bias.reward_model)),
        ]
        if control:
            other = others.get(bias.name)
            row += (
                [format_number(effect.estimate) for effect in (other.labeller, other.reward_model)]
                if other
                else ["–", "–"]
            )
        rows.append(row)
    head = ["log-odds", "labeller", "model"] + (["unbiased", "its model"] if control else [])
    return f"<div>{build_table(head, rows, caption='The same in numbers')}</div>\n"


def build_ppo(report: Report) -> Section | None:
    """Proxy, utility, gold and KL as PPO goes on; the vital signs."""
    if report.ppo is None:
        return None
    course = report.ppo
    body = "" if "ppo" in report.stages else note(f"PPO is still under way. {_GO_ON}")
    body += "".join(
        map(
            paragraph,
            filter(None, [describe_difference(report, "ppo", "sft"), " ".join(describe_course(report))]),
        )
    )
    noise = report.settings.get("preferences.labeller.noise")
    caption = (
        "Proxy, labeller and gold, on the same replies. "
        + (
            "In the first panel all three are in one unit: the reward model's score times the labeller's "
            "noise is an estimate of utility, up to a constant. Where the lines part, the reward model and "
            "the labeller see a gain that the truth does not. "
            if noise
            else "Where the reward model's score rises and gold does not, PPO exploits the reward model. "
        )
        + "Thin: as logged; thick: smoothed."
    )
    body += build_responsive(
        draw_ppo_course(course, noise=noise, wide=False),
        draw_ppo_course(course, noise=noise, wide=True),
        caption,
    )
    body += "<h3>Vital signs</h3>\n" + build_responsive(
        draw_ppo_health(course, wide=False),
        draw_ppo_health(course, wide=True),
        "What one watches while PPO runs, smoothed. The dashed reward has the KL penalty taken off. Entropy "
        "near 0: it always writes the same. Clip fraction: tokens whose probability wanted to change by more "
        "than is allowed. Explained variance: how well the value model foresees rewards, 1 is perfectly.",
    )
    return Section(name="ppo", title="PPO: proxy, labeller and truth", short="PPO", body=body)


def build_dpo(report: Report) -> Section | None:
    """DPO's curves."""
    curves = report.curves.get("dpo", {})
    if not curves:
        return None
    chart = draw_dpo(curves, wide=False)
    wide_chart = draw_dpo(curves, wide=True)
    if chart is None or wide_chart is None:
        return None
    body = "" if "dpo" in report.stages else note(f"DPO is still under way. {_GO_ON}")
    body += paragraph(
        "DPO needs no reward model and writes no replies: it raises the probability of the reply that was "
        "chosen, against the one that was not, relative to SFT. It sees the pairs that the reward model saw. "
        + describe_difference(report, "dpo", "sft")
    )
    body += build_responsive(
        chart,
        wide_chart,
        "Pairs ranked right: those whose chosen reply has the higher implicit reward, β log(policy / SFT). "
        "Implicit reward: that of chosen and of rejected replies. Where both fall, the model moves away from "
        "both, from the rejected ones faster.",
    )
    return Section(name="dpo", title="DPO: the same choices, without a reward model", short="DPO", body=body)
