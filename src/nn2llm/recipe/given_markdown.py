"""report.md of a recipe on given data. Read given_words.py and report_markdown.py before, which uses this."""

from collections.abc import Iterable

from nn2llm.evals.intervals import Interval
from nn2llm.recipe.given_words import (
    IFEVAL_ROWS,
    format_share,
    name_instruction,
)
from nn2llm.recipe.report_figures import Report
from nn2llm.recipe.report_words import POLICY_NAMES, format_interval, format_number, format_percent

__all__ = ["Table", "list_given_samples", "list_given_tables"]

Table = tuple[str, list[str], list[list[str]]]
"""Title, head, rows; the title of a table that goes on is empty."""


def list_given_tables(report: Report) -> list[Table]:
    """All tables, cost apart."""
    given = report.given
    assert given is not None
    tables: list[Table] = []
    if given.policies:
        rows = [
            ["reward", *(_show(f.reward) for f in given.policies.values())],
            ["reward over SFT", *(_show(f.reward_gain) for f in given.policies.values())],
            ["KL from SFT, nats", *(_show(f.kl, 1) for f in given.policies.values())],
            ["tokens", *(_show(f.num_tokens, 1) for f in given.policies.values())],
            ["ended by themselves", *(format_percent(f.finished) for f in given.policies.values())],
        ]
        head = [f"means over {report.num_prompts:,} held-out prompts", *_name(given.policies)]
        tables.append(("Replies", head, rows if "reward" in given.stages else rows[3:]))
    if given.ifeval:
        rows = [
            [title, *(format_share(getattr(figures, name)) for figures in given.ifeval.values())]
            for name, title in IFEVAL_ROWS
        ]
        tables.append(("IFEval", ["followed", *_name(given.ifeval)], rows))
        first = next(iter(given.ifeval.values()))
        kinds = [
            [
                name_instruction(kind),
                str(share.count),
                *(format_percent(f.by_kind[kind].estimate, 0) for f in given.ifeval.values()),
            ]
            for kind, share in first.by_kind.items()
        ]
        tables.append(("", ["instruction, strict", "count", *_name(given.ifeval)], kinds))
    measures: list[list[str]] = []
    if given.base is not None:
        base = given.base
        ends = f"{format_number(base.bits_per_byte_low, 3)} to {format_number(base.bits_per_byte_high, 3)}"
        measures += [
            ["base: bits a byte", f"{format_number(base.bits_per_byte, 3)} ({ends})"],
            ["base: nats a token", format_number(base.nats_per_token, 3)],
            ["the same text, gzip and xz: bits a byte",
             f"{format_number(base.gzip_bits_per_byte, 2)}, {format_number(base.xz_bits_per_byte, 2)}"],
        ]  # fmt: skip
    if given.reply_loss is not None:
        before, after = given.reply_loss
        measures.append(["SFT: nats a reply token, before and after",
                         f"{format_number(before, 3)}, {format_number(after, 3)}"])  # fmt: skip
    if report.reward is not None:
        score = report.reward.accuracy
        text = (
            f"{format_percent(score.estimate)} ({format_percent(score.low)} to {format_percent(score.high)})"
        )
        measures.append([f"reward model: {score.count:,} pairs ranked right", text])
    if given.dpo_accuracy is not None:
        measures.append(
            [f"DPO: {given.dpo_accuracy.count:,} pairs ranked right", format_share(given.dpo_accuracy)]
        )
    if measures:
        tables.append(("Held-out data", ["", "measured"], measures))
    return tables


def list_given_samples(report: Report) -> list[str]:
    """The first prompts and what each stage replied, as Markdown."""
    given = report.given
    assert given is not None
    parts = []
    for sample in given.samples[:4]:
        asked = sample.messages[-1]["content"].strip()
        lines = [f"> {line}" for line in asked.splitlines()]
        lines += ["", *(_quote(policy, reply["text"]) for policy, reply in sample.replies.items())]
        parts.append("\n".join(lines))
    return parts


def _quote(policy: str, text: str) -> str:
    flat = " ".join(text.split()).replace("<", "&lt;")
    return f"- **{POLICY_NAMES[policy]}**: {flat[:400] or '(nothing)'}{'…' if len(flat) > 400 else ''}"


def _name(policies: Iterable[str]) -> list[str]:
    return [POLICY_NAMES[policy] for policy in policies]


def _show(interval: Interval | None, digits: int = 2) -> str:
    if interval is None:
        return "–"
    return f"{format_number(interval.estimate, digits)} ({format_interval(interval, digits)})"
