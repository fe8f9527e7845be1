"""Reads the folder of a recipe on given data and computes the figures of its report.

Read given_figures.py and report_data.py before. Used by report_data.py.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nn2llm.evals.intervals import bootstrap_difference, bootstrap_mean
from nn2llm.recipe.evaluation import POLICIES
from nn2llm.recipe.given_figures import (
    GivenBase,
    GivenFigures,
    GivenSample,
    IFEvalFigures,
    PolicyFigures,
)
from nn2llm.recipe.score import Score

__all__ = ["is_given", "read_given"]

_NUM_SAMPLES = 8
_PAIRED = ("preferences", "reward", "ppo", "dpo")


def is_given(config: Mapping[str, Any]) -> bool:
    """Whether a recipe's config.json is of one whose pairs, or all of it, were given."""
    return config.get("world") == "none" or bool(config.get("given", {}).get("preferences"))


def read_given(
    config: Mapping[str, Any],
    finished: Mapping[str, Any],
    summary: Mapping[str, Any],
    lines: Sequence[dict[str, Any]],
) -> GivenFigures:
    """The figures of given data.

    Args:
        config: config.json.
        finished: stage → its stage.json.
        summary: summary.json of stage evaluation; {} where it is not done.
        lines: replies.jsonl of it.
    """
    given = config["given"]
    base, sft = (finished.get(stage, {}).get("metrics", {}) for stage in ("base", "sft"))
    pairs = finished.get("preferences", {}).get("metrics", {})
    dpo = finished.get("dpo", {}).get("metrics", {})
    policies = [policy for policy in POLICIES if lines and policy in lines[0]["replies"]]
    stages = ("base", "sft", *(_PAIRED if given["preferences"] else ()), "evaluation")
    counts = {
        "conversations": sft.get("num_conversations"),
        "val_conversations": sft.get("num_val_conversations"),
        "pairs": pairs.get("train_num_pairs"),
        "val_pairs": pairs.get("val_num_pairs"),
    }
    return GivenFigures(
        sources=_name_sources(given),
        stages=stages,
        has_world=config.get("world") != "none",
        base=_read_base(base),
        reply_loss=(sft["val_loss_before"], sft["val_loss"]) if "val_loss_before" in sft else None,
        counts={name: int(count) for name, count in counts.items() if count is not None},
        policies={policy: _measure(lines, policy) for policy in policies},
        dpo_accuracy=Score(dpo["accuracy"], dpo["accuracy_low"], dpo["accuracy_high"], int(dpo["num_pairs"]))
        if "accuracy" in dpo
        else None,
        ifeval={policy: _read_ifeval(report) for policy, report in summary.get("ifeval", {}).items()},
        ifeval_left_out=summary.get("ifeval_left_out", 0),
        samples=tuple(_take_sample(line) for line in lines[:_NUM_SAMPLES]),
    )


def _name_sources(given: Mapping[str, Any]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for name in ("base", "corpus", "sft_data", "preferences", "ifeval"):
        value = given.get(name)
        paths = [value] if isinstance(value, str) else list(value or ())
        if paths:
            sources[name] = ", ".join(
                path if path.startswith("hf:") else Path(path).name or path for path in paths
            )
    return sources


def _read_base(metrics: Mapping[str, float]) -> GivenBase | None:
    names = [field.name for field in dataclasses.fields(GivenBase)]
    return (
        GivenBase(**{name: float(metrics[name]) for name in names}) if metrics.keys() >= set(names) else None
    )


def _measure(lines: Sequence[dict[str, Any]], policy: str) -> PolicyFigures:
    replies = [line["replies"][policy] for line in lines]
    rewards = [reply["reward"] for reply in replies]
    kls = [reply["kl"] for reply in replies]
    before = [line["replies"].get("sft", {}).get("reward") for line in lines]
    has_gain = policy not in {"base", "sft"} and None not in rewards and None not in before
    return PolicyFigures(
        reward=None if None in rewards else bootstrap_mean(rewards),
        reward_gain=bootstrap_difference(rewards, before) if has_gain else None,
        kl=None if None in kls else bootstrap_mean(kls),
        num_tokens=bootstrap_mean([reply["num_tokens"] for reply in replies]),
        finished=sum(bool(reply["finished"]) for reply in replies) / len(replies),
    )


def _read_ifeval(report: Mapping[str, Any]) -> IFEvalFigures:
    prompts, instructions = int(report["num_prompts"]), int(report["num_instructions"])

    def share(values: Mapping[str, float], count: int) -> Score:
        return Score(values["estimate"], values["low"], values["high"], count)

    return IFEvalFigures(
        prompt_strict=share(report["prompt_strict"], prompts),
        prompt_loose=share(report["prompt_loose"], prompts),
        instruction_strict=share(report["instruction_strict"], instructions),
        instruction_loose=share(report["instruction_loose"], instructions),
        by_kind={name: share(values, report["counts"][name]) for name, values in report["by_kind"].items()},
    )


def _take_sample(line: Mapping[str, Any]) -> GivenSample:
    replies = {
        policy: {name: line["replies"][policy].get(name) for name in ("text", "finished", "reward", "gold")}
        for policy in POLICIES
        if policy in line["replies"]
    }
    return GivenSample(line["index"], tuple(line["messages"]), replies)
