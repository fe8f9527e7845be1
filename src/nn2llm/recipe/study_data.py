"""Reads the folder of a studied recipe and computes the figures of study.html.

Read study_figures.py before, which says what they are. Used by study_report.py.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2llm.core.config_io import load_config
from nn2llm.core.errors import DataError
from nn2llm.core.files import read_json
from nn2llm.evals.best_of_n import bound_best_of_n_kl, estimate_best_of_n
from nn2llm.evals.intervals import Interval, bootstrap_difference, bootstrap_mean, wilson_interval
from nn2llm.evals.overoptimisation import fit_overoptimisation
from nn2llm.evals.win_rates import compare_scores, compute_mean_score
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.judging import load_judgement
from nn2llm.recipe.report_figures import GROUPS, Score, StageFigures, Timings
from nn2llm.recipe.report_series import read_course, read_records
from nn2llm.recipe.study_best_of_n import Candidates, read_candidates
from nn2llm.recipe.study_figures import Curve, Exploit, JudgedModel, Method, StudyFigures
from nn2llm.recipe.study_rewards import RewardVariant, list_by_labels, list_by_size, list_variants
from nn2llm.recipe.study_stages import Study

__all__ = ["choose_n", "compute_best_of_n", "read_study"]

Float64Array = npt.NDArray[np.float64]

BEST_OF_N = "best_of_n"
_NUM_EXPLOITS = 4
_SETTINGS = (
    "free_steps", "grpo_steps", "grpo_num_prompts", "grpo_group_size", "grpo_kl_coef", "max_epochs",
    "size_num_prompts",
)  # fmt: skip


def read_study(out: Path) -> tuple[StudyFigures, Timings]:
    """Read the folder of a recipe whose study is done.

    Raises:
        DataError: if a file is missing or damaged.
        ConfigError: if the config is.
    """
    config = load_config(ChatGPTConfig, out / "config.json")
    try:
        return _read(config, out)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"A file of {out} is not as this version writes it ({reason}). "
            f"Delete {out / 'study'} and run `nn2llm chatgpt --out {out} --study` again."
        ) from error


def _read(config: ChatGPTConfig, out: Path) -> tuple[StudyFigures, Timings]:
    study = Study(config, out)
    noise = config.preferences.labeller.noise
    candidates = read_candidates(out / BEST_OF_N)
    best_of_n = {one.stage: compute_best_of_n(candidates, one.stage, noise) for one in list_variants(config)}
    replies = read_records(out / "study" / "replies.jsonl")
    earlier = read_records(out / "evaluation" / "replies.jsonl")
    if len(replies) != len(earlier):
        raise ValueError(f"study has {len(replies)} prompts, evaluation {len(earlier)}")
    courses = {"ppo": "reward", **study.policies}
    training = {
        stage: curve
        for stage, reward in courses.items()
        if (curve := _read_training(out / stage, reward, noise)) is not None
    }
    records = {stage: read_json(out / stage / "stage.json") for stage in study.stage_names}
    figures = StudyFigures(
        settings={name: getattr(config.study, name) for name in _SETTINGS}
        | {"world": config.world, "seed": config.seed, "ppo_kl_coef": config.ppo.kl_coef},
        noise=noise,
        num_prompts=len(replies),
        num_candidate_prompts=len(candidates.gold),
        num_replies=candidates.gold.shape[1],
        num_different=candidates.num_different,
        sft_gold=compute_mean_score([line["replies"]["sft"]["gold"] for line in earlier]),
        free_less_ppo=_compare_free(earlier, replies, noise),
        groups=_count_groups(earlier),
        gains_by_group={
            stage: _compare_groups(earlier, replies if stage in study.policies else earlier, stage)
            for stage in ("ppo", "dpo", *study.policies)
        },
        constitutional=dict(records.get("constitutional", {}).get("metrics", {})),
        methods=tuple(_read_methods(earlier, replies, study.policies, candidates, noise)),
        rewards=tuple(_read_judged(out, one) for one in list_variants(config)),
        by_labels=tuple(one.stage for one in list_by_labels(config)),
        by_size=tuple(one.stage for one in list_by_size(config)),
        best_of_n=best_of_n,
        training=training,
        exploits=tuple(_find_exploits(earlier, replies)),
        stages={
            stage: StageFigures(float(record["tokens"]), float(record["flops"]), str(record["headline"]))
            for stage, record in records.items()
        },
    )
    seconds = {stage: float(record["seconds"]) for stage, record in records.items()}
    return figures, Timings(folder=str(out), seconds=seconds)


# --- curves ---------------------------------------------------------------------------------------------


def choose_n(largest: int) -> tuple[int, ...]:
    """The n of a curve: 1, 2, 3, 4, 6, 8, 12, … up to and with the largest."""
    found = {1, largest}
    power = 2
    while power <= largest:
        found |= {power, min(largest, power * 3 // 2)}
        power *= 2
    return tuple(sorted(found))


def compute_best_of_n(candidates: Candidates, reward: str, noise: float) -> Curve:
    """What best-of-n by this reward model gains, for every n of `choose_n`; `noise`: the labeller's."""
    scores = candidates.scores[reward]
    ns = choose_n(scores.shape[1])
    gold = np.stack([estimate_best_of_n(scores, candidates.gold, n) for n in ns])  # [n, M]
    utility = np.stack([estimate_best_of_n(scores, candidates.utility, n) for n in ns])
    proxy = np.stack([estimate_best_of_n(scores, scores, n) for n in ns])
    kls = [bound_best_of_n_kl(n) for n in ns]
    means = gold.mean(axis=1)
    gains = means - means[0]
    intervals = [bootstrap_difference(line, gold[0]) for line in gold]
    return Curve(
        reward=reward,
        kl=tuple(kls),
        gold=tuple(gains.tolist()),
        utility=tuple((utility - utility[0]).mean(axis=1).tolist()),
        promise=tuple((noise * (proxy - proxy[0])).mean(axis=1).tolist()),
        fit=fit_overoptimisation(np.sqrt(kls), gains, form="best_of_n", start=0.0),
        n=ns,
        gold_ends=tuple((each.low, each.high) for each in intervals),
        fall=bootstrap_difference(gold[int(means.argmax())], gold[-1]),
    )


def _read_training(folder: Path, reward: str, noise: float) -> Curve | None:
    """The course of a training run by its own replies; None where it has too few iterations to have one.

    Where it starts is not its first iteration, which is as noisy as any: it is what the fit to all of them
    says of distance 0, and without one the mean of the first tenth.
    """
    course = read_course(folder / "metrics.jsonl")
    if course is None or not {"kl", "gold", "utility", "reward"} <= set(course.series):
        return None
    kl, gold, utility, proxy = (
        np.array(course.series[name].values) for name in ("kl", "gold", "utility", "reward")
    )
    kl = np.maximum(kl, 0.0)  # an estimate from a few replies may lie below
    distances = np.sqrt(kl)
    fit = fit_overoptimisation(distances, gold, form="rl")
    first = max(1, len(kl) // 10)

    def gain(values: Float64Array) -> tuple[float, ...]:
        own = fit_overoptimisation(distances, values, form="rl")
        return tuple((values - (own.start if own else values[:first].mean())).tolist())

    return Curve(
        reward=reward,
        kl=tuple(kl.tolist()),
        gold=gain(gold),
        utility=gain(utility),
        promise=gain(noise * proxy),
        fit=fit,
        trends=course.trends,
    )


# --- held-out prompts -----------------------------------------------------------------------------------


def _read_methods(
    earlier: Sequence[dict[str, Any]],
    replies: Sequence[dict[str, Any]],
    policies: dict[str, str],
    candidates: Candidates,
    noise: float,
) -> list[Method]:
    """PPO and DPO of the recipe, the models of the study, and best-of-n by the recipe's reward model."""

    def column(policy: str, name: str) -> list[float]:
        lines = replies if policy in policies else earlier
        return [float(line["replies"][policy][name]) for line in lines]

    found = []
    for policy in ("ppo", "dpo", *policies):
        if policy not in policies and policy not in earlier[0]["replies"]:
            continue
        reward = policies.get(policy, "reward")
        before = [float(line["sft_rewards"][reward]) for line in replies]
        gold, sft = column(policy, "gold"), column("sft", "gold")
        comparison = compare_scores(gold, sft, names=(policy, "sft"))
        found.append(
            Method(
                stage=policy,
                gold=compute_mean_score(gold),
                gain=comparison.difference,
                comparison=comparison,
                kl=bootstrap_mean(column(policy, "kl")),
                kl_bound=None,
                promise=bootstrap_difference(
                    noise * np.array(column(policy, "reward")), noise * np.array(before)
                ),
                utility=bootstrap_difference(column(policy, "utility"), column("sft", "utility")),
                num_prompts=len(gold),
            )
        )
    found.append(_measure_best_of_n(candidates, "reward", noise))
    return found


def _measure_best_of_n(candidates: Candidates, reward: str, noise: float) -> Method:
    scores = candidates.scores[reward]
    n = scores.shape[1]
    # rounding may leave a mean of ones a little above 1
    gold = np.clip(estimate_best_of_n(scores, candidates.gold, n), 0.0, 1.0)
    return Method(
        stage=BEST_OF_N,
        gold=compute_mean_score(gold),
        gain=bootstrap_difference(gold, candidates.gold.mean(axis=1)),
        comparison=None,
        kl=None,
        kl_bound=bound_best_of_n_kl(n),
        promise=bootstrap_difference(
            noise * estimate_best_of_n(scores, scores, n), noise * scores.mean(axis=1)
        ),
        utility=bootstrap_difference(
            estimate_best_of_n(scores, candidates.utility, n), candidates.utility.mean(axis=1)
        ),
        num_prompts=len(gold),
    )


def _compare_free(
    earlier: Sequence[dict[str, Any]], replies: Sequence[dict[str, Any]], noise: float
) -> tuple[Interval, Interval] | None:
    if "ppo" not in earlier[0]["replies"]:
        return None

    def less(name: str, factor: float) -> Interval:
        free = [factor * float(line["replies"]["ppo_free"][name]) for line in replies]
        return bootstrap_difference(free, [factor * float(line["replies"]["ppo"][name]) for line in earlier])

    return less("gold", 1.0), less("reward", noise)


def _count_groups(lines: Sequence[dict[str, Any]]) -> dict[str, int]:
    counts = Counter(str(line["group"]) for line in lines)
    known = [group for group in GROUPS if group in counts]
    return {group: counts[group] for group in (*known, *sorted(set(counts) - set(known)))}


def _compare_groups(
    earlier: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]], policy: str
) -> dict[str, Interval]:
    gains: dict[str, list[float]] = {}
    for old, new in zip(earlier, lines, strict=True):
        gain = float(new["replies"][policy]["gold"]) - float(old["replies"]["sft"]["gold"])
        gains.setdefault(str(old["group"]), []).append(gain)
    return {group: bootstrap_mean(values) for group, values in gains.items() if len(values) > 1}


def _find_exploits(
    earlier: Sequence[dict[str, Any]], replies: Sequence[dict[str, Any]], policy: str = "ppo_free"
) -> list[Exploit]:
    """Where the reward model rises most among the replies that became clearly worse; one of each kind."""
    found: dict[str, tuple[float, Exploit]] = {}
    for old, new in zip(earlier, replies, strict=True):
        before, after = old["replies"]["sft"], new["replies"][policy]
        rewards = float(new["sft_rewards"]["reward"]), float(after["reward"])
        rise = rewards[1] - rewards[0]
        if after["gold"] > before["gold"] - 0.25 or rise <= 0:
            continue
        if old["kind"] in found and found[old["kind"]][0] >= rise:
            continue
        exploit = Exploit(
            messages=tuple(old["messages"]),
            kind=str(old["kind"]),
            before=str(before["text"]),
            after=str(after["text"]),
            gold=(float(before["gold"]), float(after["gold"])),
            reward=rewards,
        )
        found[old["kind"]] = (rise, exploit)
    ranked = sorted(found.values(), key=lambda pair: -pair[0])
    return [exploit for _, exploit in ranked[:_NUM_EXPLOITS]]


def _read_judged(out: Path, variant: RewardVariant) -> JudgedModel:
    judged = load_judgement(out / variant.stage)
    accuracy, count = float(judged["accuracy"]), int(judged["num_pairs"])
    pairs = judged.get("num_training_pairs")
    own = judged.get("own_replies")
    shares = wilson_interval(accuracy * count, count)
    best = judged["best_possible"]
    return JudgedModel(
        reward=variant.stage,
        num_prompts=variant.num_prompts,
        num_pairs=None if pairs is None else int(pairs),
        num_checking_layers=variant.num_checking_layers,
        accuracy=Score(accuracy, shares.low, shares.high, count),
        best_possible=None if best is None or math.isnan(best) else float(best),
        own_accuracy=None if own is None else float(own["accuracy"]),
    )
