"""Reads a recipe's folder and computes the figures of its report.

Read report_figures.py before, which says what they are. Used by report.py.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nn2llm.core.errors import DataError
from nn2llm.core.files import read_json
from nn2llm.evals.intervals import Interval, bootstrap_difference, bootstrap_mean, wilson_interval
from nn2llm.evals.win_rates import (
    Comparison,
    GroupMean,
    compare_all_pairs,
    compare_scores,
    compute_mean_score,
    compute_means_by_group,
)
from nn2llm.recipe.given_data import is_given, read_given
from nn2llm.recipe.report_figures import (
    GROUPS,
    POLICIES,
    STAGES,
    BaseFigures,
    Behaviour,
    Bias,
    CalibrationBin,
    Effect,
    OwnReplies,
    Probe,
    Report,
    RewardFigures,
    Sample,
    Score,
    StageFigures,
    Timings,
)
from nn2llm.recipe.report_series import Series, read_course, read_records, read_series

__all__ = ["read_report"]

_SETTINGS = (
    "world",
    "seed",
    "demonstrations.num_tasks",
    "demonstrations.flaws",
    "preferences.num_prompts",
    "preferences.replies_per_prompt",
    "preferences.labeller.noise",
    "ppo.batch_size",
    "ppo.kl_coef",
    "ppo.target_kl",
    "dpo.loss",
    "dpo.beta",
)
"""What the report names of config.json. No paths and no machine: they differ between equal runs."""


def read_report(out: Path) -> tuple[Report, Timings]:
    """Read the folder of a recipe, finished or not.

    Raises:
        DataError: if it holds no stage that has ended, or a file is damaged.
    """
    stage_files = {stage: out / stage / "stage.json" for stage in STAGES}
    finished = {stage: read_json(path) for stage, path in stage_files.items() if path.is_file()}
    if not finished:
        raise DataError(
            f"{out} has no stage that has ended, so there is nothing to report. "
            f"Run `nn2llm chatgpt --out {out}` first."
        )
    try:
        config = read_json(out / "config.json") if (out / "config.json").is_file() else {}
        return _read_given(out, config, finished) if is_given(config) else _read(out, finished)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"A file of {out} is not as this version writes it ({reason}). "
            f"Delete {out / 'evaluation'} and run `nn2llm chatgpt --out {out}` again."
        ) from error


def _read(out: Path, finished: dict[str, Any]) -> tuple[Report, Timings]:
    summary, lines = _read_evaluation(out, finished)
    policies = [policy for policy in POLICIES if lines and policy in lines[0]["replies"]]
    scores = {policy: [line["replies"][policy]["gold"] for line in lines] for policy in policies}
    groups = [line["group"] for line in lines]
    kinds = [line["kind"] for line in lines]
    aligned = [policy for policy in ("ppo", "dpo") if policy in policies and "sft" in policies]
    behaviour = {policy: _measure_behaviour(lines, policy) for policy in policies}
    reward = summary.get("reward") or None
    control = (reward or {}).get("control") or None
    sample_policy = next((policy for policy in ("ppo", "dpo", "sft", "base") if policy in policies), None)
    sample_before = next((policy for policy in ("sft", "base") if policy in policies), None)
    if sample_before == sample_policy:
        sample_before = "base" if sample_policy == "sft" and "base" in policies else None
    # Until the evaluation is made, what the stage measured as it ended.
    floor = summary.get("floor") or finished.get("base", {}).get("metrics", {})
    report = Report(
        settings=_read_settings(out / "config.json"),
        stages=_read_stages(finished),
        missing=tuple(stage for stage in STAGES if stage not in finished),
        num_prompts=len(lines),
        temperature=summary.get("temperature"),
        base=_read_base(floor),
        probes=tuple(
            Probe(probe["name"], probe["kind"], _read_score(probe), probe["chance"])
            for probe in summary.get("probes", ())
        ),
        held_out_questions=_read_questions(summary),
        groups={group: groups.count(group) for group in _in_order(groups)},
        gold_by_group={
            policy: {"all": behaviour[policy].gold} | _by_name(compute_means_by_group(values, groups))
            for policy, values in scores.items()
        },
        gold_by_kind={
            policy: _by_name(compute_means_by_group(values, kinds)) for policy, values in scores.items()
        },
        gains_by_group={policy: _compare_groups(scores, policy, groups) for policy in aligned},
        behaviour=behaviour,
        bias_gains={
            policy: bootstrap_difference(_list_bias(lines, policy), _list_bias(lines, "sft"))
            for policy in aligned
        },
        comparisons=tuple(compare_all_pairs(scores)) if len(lines) > 1 else (),
        reward=_read_reward(reward) if reward else None,
        reward_control=_read_reward(control) if control else None,
        ppo=read_course(out / "ppo" / "metrics.jsonl"),
        curves=_read_curves(out, ("base", "sft", "reward", "reward_control", "dpo")),
        samples=tuple(_choose_samples(lines, sample_policy, sample_before)) if sample_policy else (),
        sample_policy=sample_policy,
        sample_before=sample_before,
    )
    return report, _read_timings(out, finished)


def _read_evaluation(out: Path, finished: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """summary.json and replies.jsonl; empty until the stage is done."""
    if "evaluation" not in finished:
        return {}, []
    folder = out / "evaluation"
    return read_json(folder / "summary.json"), read_records(folder / "replies.jsonl")


def _read_stages(finished: dict[str, Any]) -> dict[str, StageFigures]:
    return {
        stage: StageFigures(float(values["tokens"]), float(values["flops"]), str(values["headline"]))
        for stage, values in finished.items()
    }


def _read_questions(summary: dict[str, Any]) -> dict[str, Score]:
    return {
        policy: _read_score(figures)
        for policy, figures in summary.get("held_out_questions", {}).items()
        if policy in POLICIES
    }


def _read_curves(out: Path, stages: Sequence[str]) -> dict[str, dict[str, Series]]:
    return {stage: series for stage in stages if (series := read_series(out / stage / "metrics.jsonl"))}


def _read_timings(out: Path, finished: dict[str, Any]) -> Timings:
    return Timings(out.as_posix(), {stage: float(values["seconds"]) for stage, values in finished.items()})


def _read_given(out: Path, config: dict[str, Any], finished: dict[str, Any]) -> tuple[Report, Timings]:
    """Of a recipe on given data; gold scores where a micro-world knows them."""
    summary, lines = _read_evaluation(out, finished)
    given = read_given(config, finished, summary, lines)
    finished = {stage: finished[stage] for stage in given.stages if stage in finished}
    scores = {
        policy: [line["replies"][policy]["gold"] for line in lines]
        for policy in given.policies
        if given.has_world
    }
    groups, kinds = ([line[name] for line in lines] if scores else [] for name in ("group", "kind"))
    aligned = [policy for policy in ("ppo", "dpo") if policy in scores and "sft" in scores]
    reward = summary.get("reward") or _read_judgement(out, finished)
    report = Report(
        settings=_read_settings(out / "config.json"),
        stages=_read_stages(finished),
        missing=tuple(stage for stage in given.stages if stage not in finished),
        num_prompts=len(lines),
        temperature=summary.get("temperature"),
        base=_read_base(finished.get("base", {}).get("metrics", {})),
        probes=(),
        held_out_questions=_read_questions(summary),
        groups={group: groups.count(group) for group in _in_order(groups)},
        gold_by_group={
            policy: {"all": compute_mean_score(values)} | _by_name(compute_means_by_group(values, groups))
            for policy, values in scores.items()
        },
        gold_by_kind={
            policy: _by_name(compute_means_by_group(values, kinds)) for policy, values in scores.items()
        },
        gains_by_group={policy: _compare_groups(scores, policy, groups) for policy in aligned},
        behaviour={},
        bias_gains={},
        comparisons=tuple(compare_all_pairs(scores)) if scores and len(lines) > 1 else (),
        reward=_read_reward(reward) if reward else None,
        reward_control=None,
        ppo=read_course(out / "ppo" / "metrics.jsonl") if "ppo" in given.stages else None,
        curves=_read_curves(
            out, [stage for stage in ("base", "sft", "reward", "dpo") if stage in given.stages]
        ),
        samples=(),
        sample_policy=None,
        sample_before=None,
        given=given,
    )
    return report, _read_timings(out, finished)


def _read_judgement(out: Path, finished: dict[str, Any]) -> dict[str, Any] | None:
    """What stage reward wrote of itself, until the evaluation has it."""
    judgement = read_json(out / "reward" / "judgement.json") if "reward" in finished else None
    assert judgement is None or isinstance(judgement, dict)
    return judgement


def _read_settings(path: Path) -> dict[str, Any]:
    """Settings by dotted name; those that are not there are left out."""
    config = read_json(path) if path.is_file() else {}
    settings: dict[str, Any] = {}
    for name in _SETTINGS:
        value = config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            settings[name] = value
    return settings


def _read_base(floor: dict[str, Any]) -> BaseFigures | None:
    names = [field.name for field in dataclasses.fields(BaseFigures)]
    return BaseFigures(**{name: float(floor[name]) for name in names}) if "percent_above" in floor else None


def _read_score(values: dict[str, Any]) -> Score:
    return Score(values["accuracy"], values["low"], values["high"], values["count"])


def _in_order(groups: Sequence[str]) -> list[str]:
    known = [group for group in GROUPS if group in groups]
    return known + [group for group in dict.fromkeys(groups) if group not in known]


def _by_name(means: Sequence[GroupMean]) -> dict[str, Interval]:
    return {mean.group: mean.mean for mean in means}


def _compare_groups(
    scores: dict[str, list[float]], policy: str, groups: Sequence[str]
) -> dict[str, Comparison]:
    """Group → policy against SFT, for groups of at least two prompts."""
    rows = {group: [i for i, name in enumerate(groups) if name == group] for group in dict.fromkeys(groups)}
    return {
        group: compare_scores(
            [scores[policy][i] for i in chosen], [scores["sft"][i] for i in chosen], names=(policy, "sft")
        )
        for group, chosen in rows.items()
        if len(chosen) > 1
    }


def _list_bias(lines: Sequence[dict[str, Any]], policy: str) -> list[float]:
    return [line["replies"][policy]["utility"] - line["replies"][policy]["gold"] for line in lines]


def _measure_behaviour(lines: Sequence[dict[str, Any]], policy: str) -> Behaviour:
    replies = [line["replies"][policy] for line in lines]

    def mean(name: str) -> Interval | None:
        values = [reply[name] for reply in replies if reply[name] is not None]
        return bootstrap_mean(values) if len(values) > 1 else None

    utility, num_tokens = mean("utility"), mean("num_tokens")
    if utility is None or num_tokens is None:
        raise ValueError("evaluation/replies.jsonl has fewer than two prompts")
    return Behaviour(
        gold=compute_mean_score([reply["gold"] for reply in replies]),
        utility=utility,
        bias=bootstrap_mean(_list_bias(lines, policy)),
        reward=mean("reward"),
        kl=mean("kl"),
        num_tokens=num_tokens,
        finished=sum(bool(reply["finished"]) for reply in replies) / len(replies),
    )


def _read_accuracy(values: dict[str, Any]) -> Score:
    return Score(values["accuracy"], values["accuracy_low"], values["accuracy_high"], values["num_pairs"])


def _read_reward(values: dict[str, Any]) -> RewardFigures:
    expected, own = values.get("expected_accuracy"), values.get("own_replies")
    return RewardFigures(
        accuracy=_read_accuracy(values),
        own_replies=None if own is None else OwnReplies(_read_accuracy(own), own["best_possible"]),
        num_training_pairs=values.get("num_training_pairs"),
        expected_accuracy=None if expected is None else _read_effect(values, "expected_accuracy"),
        best_possible=values["best_possible"],
        gold_agreement=values["gold_agreement"],
        calibration=tuple(_read_bin(each) for each in values["calibration"] if each["count"]),
        calibration_error=values.get("calibration_error"),
        biases=tuple(
            Bias(
                bias["name"],
                _read_effect(bias, "labeller", scale=bias.get("spread", 1.0)),
                _read_effect(bias, "reward_model", scale=bias.get("spread", 1.0)),
            )
            for bias in values["biases"]
        ),
    )


def _read_effect(values: dict[str, Any], name: str, *, scale: float = 1.0) -> Effect:
    estimate, low, high = (values.get(f"{name}{end}", values[name]) for end in ("", "_low", "_high"))
    return Effect(scale * estimate, scale * low, scale * high)


def _read_bin(values: dict[str, Any]) -> CalibrationBin:
    count, observed = values["count"], values["observed"]
    interval = wilson_interval(min(observed * count, count), count)
    return CalibrationBin(values["predicted"], Score(observed, interval.low, interval.high, count))


def _choose_samples(lines: Sequence[dict[str, Any]], policy: str, before: str | None) -> list[Sample]:
    """Up to three prompts of each kind, by the gold scores of `policy` and of `before`.

    The one in the middle, the one with the largest gain, the lowest; of equals the first.
    """
    chosen: dict[str, list[Sample]] = {}
    ordered = sorted(lines, key=lambda line: (line["kind"], line["replies"][policy]["gold"], line["index"]))
    for kind, group in itertools.groupby(ordered, key=lambda line: line["kind"]):
        some = list(group)
        middle = some[len(some) // 2]["replies"][policy]["gold"]
        picks = {"typical": next(line for line in some if line["replies"][policy]["gold"] == middle)}
        if before is not None:
            gains = [line["replies"][policy]["gold"] - line["replies"][before]["gold"] for line in some]
            if max(gains) > 0:
                picks["gained"] = some[gains.index(max(gains))]
        picks["worst"] = some[0]
        different = {line["index"]: (choice, line) for choice, line in reversed(picks.items())}
        chosen[kind] = [
            Sample(
                kind,
                line["group"],
                choice,
                line["index"],
                tuple(line["messages"]),
                _keep_shown(line["replies"]),
            )
            for choice, line in sorted(different.values(), key=lambda pick: list(picks).index(pick[0]))
        ]
    kinds = dict.fromkeys(line["kind"] for line in lines)
    groups = _in_order([line["group"] for line in lines])
    by_group = sorted(kinds, key=lambda kind: groups.index(chosen[kind][0].group))
    return [sample for kind in by_group for sample in chosen[kind]]


def _keep_shown(replies: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        policy: {name: replies[policy][name] for name in ("text", "gold", "finished")}
        for policy in POLICIES
        if policy in replies
    }
