"""report.md: the report's figures as short tables, for a terminal, a chat or a pull request.

Read report_words.py before. Used by report.py.
"""

from collections.abc import Sequence

from nn2llm.core.progress import format_count, format_duration
from nn2llm.evals.intervals import Interval
from nn2llm.recipe.given_markdown import list_given_samples, list_given_tables
from nn2llm.recipe.given_words import describe_given_measurement, summarise_given
from nn2llm.recipe.report_figures import Report, Timings
from nn2llm.recipe.report_words import (
    POLICY_NAMES,
    STAGE_NAMES,
    choose_probes,
    describe_course,
    describe_measurement,
    format_gap,
    format_interval,
    format_number,
    format_percent,
    name_feature,
    name_group,
    name_probe,
    summarise,
)

__all__ = ["build_markdown"]


def build_markdown(report: Report, timings: Timings) -> str:
    """The whole file."""
    title = "A chat model's report card" if "evaluation" in report.stages else "A chat model in the making"
    if report.given is not None:
        return _build_given(title, report, timings)
    parts = [
        f"# {title}",
        summarise(report),
        *_build_scores(report),
        *_build_wins(report),
        *_build_base(report),
        *_build_reward(report),
        *_build_ppo(report),
        "## How it was measured",
        *describe_measurement(report),
        "Charts, replies side by side and what the words mean are in report.html; all figures in "
        "report.json.",
        _build_cost(report, timings),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _build_given(title: str, report: Report, timings: Timings) -> str:
    """Of a recipe on given data."""
    parts = [f"# {title}", summarise_given(report)]
    for name, head, rows in list_given_tables(report):
        parts += [f"## {name}"] if name else []
        parts.append(_table(head, rows))
        if name == "Replies":
            parts += [*_build_scores(report), *_build_wins(report)]
    samples = list_given_samples(report)
    parts += ["## The first held-out prompts", *samples] if samples else []
    parts += ["## How it was measured", *describe_given_measurement(report)]
    parts += [
        "Charts and more replies are in report.html; all figures in report.json.",
        _build_cost(report, timings),
    ]
    return "\n\n".join(parts) + "\n"


def _build_scores(report: Report) -> list[str]:
    policies = list(report.gold_by_group)
    if not policies:
        return []
    head = ["mean gold score (95% interval)", "prompts", *(POLICY_NAMES[policy] for policy in policies)]
    rows = [
        [
            name_group(group),
            str(report.num_prompts if group == "all" else report.groups[group]),
            *(_show(report.gold_by_group[policy][group]) for policy in policies),
        ]
        for group in ("all", *report.groups)
    ]
    return ["## Scores by stage", _table(head, rows)]


def _build_wins(report: Report) -> list[str]:
    if not report.comparisons:
        return []
    rows = [
        [
            f"{POLICY_NAMES[pair.first]} over {POLICY_NAMES[pair.second]}",
            f"{format_percent(pair.win_rate.estimate)} ({format_percent(pair.win_rate.low)} to "
            f"{format_percent(pair.win_rate.high)})",
            f"{pair.wins} / {pair.ties} / {pair.losses}",
            f"{format_number(pair.difference.estimate, 3)} ({format_gap(pair.difference, 3)})",
        ]
        for pair in report.comparisons
    ]
    return [
        "## Win rates",
        _table(["", "win rate", "wins / ties / losses", "difference of mean gold"], rows),
    ]


def _build_base(report: Report) -> list[str]:
    parts = []
    if report.base is not None:
        base = report.base
        rows = [
            [
                "bits per byte",
                format_number(base.bits_per_byte, 4),
                format_number(base.floor_bits_per_byte, 4),
            ],
            [
                "nats a document",
                format_number(base.nats_per_document, 2),
                format_number(base.floor_nats_per_document, 2),
            ],
        ]
        parts += ["## Base model", _table(["held-out text", "model", "floor"], rows)]
    if report.probes:
        rows = [
            [
                name_probe(probe),
                _show_percent(probe.score.estimate, probe.score.low, probe.score.high),
                format_percent(probe.chance),
            ]
            for probe in choose_probes(report)
        ]
        parts.append(_table(["probe", "right", "chance"], rows))
    if report.held_out_questions:
        rows = [
            [POLICY_NAMES[policy], _show_percent(score.estimate, score.low, score.high)]
            for policy, score in report.held_out_questions.items()
        ]
        parts.append(_table(["questions that no demonstration asked", "right"], rows))
    return parts


def _build_reward(report: Report) -> list[str]:
    if report.reward is None:
        return []
    models = [("biased labeller", report.reward), ("unbiased control", report.reward_control)]
    rows = [
        [
            name,
            _show_percent(model.accuracy.estimate, model.accuracy.low, model.accuracy.high),
            "–" if model.best_possible is None else format_percent(model.best_possible),
            "–" if model.gold_agreement is None else format_percent(model.gold_agreement),
        ]
        for name, model in models
        if model is not None
    ]
    if report.reward.own_replies is not None:
        own = report.reward.own_replies
        share = _show_percent(own.accuracy.estimate, own.accuracy.low, own.accuracy.high)
        rows.insert(1, ["replies written to their prompt", share, format_percent(own.best_possible), ""])
    parts = [
        "## Reward model",
        _table(["", "ranks as its labeller did", "best possible", "ranks as gold does"], rows),
    ]
    if report.reward.biases:
        rows = [
            [
                name_feature(bias.name),
                format_number(bias.labeller.estimate),
                format_number(bias.reward_model.estimate),
            ]
            for bias in report.reward.biases
        ]
        parts.append(_table(["log-odds in a typical pair", "labeller", "reward model"], rows))
    return parts


def _build_ppo(report: Report) -> list[str]:
    if report.ppo is None:
        return []
    rows = [
        [name.replace("_", " "), format_number(trend.start), format_number(trend.end)]
        for name, trend in report.ppo.trends.items()
    ]
    parts = ["## PPO", " ".join(describe_course(report))]
    if rows:
        parts.append(_table(["mean of the replies", "at first", "at last"], rows))
    return parts


def _build_cost(report: Report, timings: Timings) -> str:
    rows = [
        [
            STAGE_NAMES[stage],
            format_duration(timings.seconds[stage]),
            format_count(figures.tokens) if figures.tokens else "–",
            f"{figures.flops:.1e}" if figures.flops else "–",
            figures.headline,
        ]
        for stage, figures in report.stages.items()
    ]
    total = format_duration(sum(timings.seconds.values()))
    rows.append(["All", total, "", f"{sum(figures.flops for figures in report.stages.values()):.1e}", ""])
    table = _table(["stage", "time", "tokens", "FLOPs", "result"], rows)
    talk = f"Talk to it: `nn2llm chat {timings.folder}`\n\n" if "sft" in report.stages else ""
    return f"<!-- timings -->\n\n## Cost\n\n{table}\n\n{talk}<!-- /timings -->"


def _show(interval: Interval) -> str:
    return f"{format_number(interval.estimate)} ({format_interval(interval)})"


def _show_percent(estimate: float, low: float, high: float) -> str:
    return f"{format_percent(estimate)} ({format_percent(low)} to {format_percent(high)})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of GitHub's Markdown; the first column is left-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)


def _escape(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
