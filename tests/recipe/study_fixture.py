"""A studied recipe's folder with figures that could be real, written in milliseconds: for the report's tests.

Of the training runs PPO without the KL term over-optimises: its reward goes on rising, its gold score falls
back. `python -m tests.recipe.study_fixture OUT` writes one to look at.
"""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nn2llm.core.config_io import save_config
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.study_config import StudyConfig
from nn2llm.recipe.study_rewards import list_variants
from nn2llm.recipe.study_stages import Study
from tests.recipe.micro import micro

KINDS = (("question", "answers"), ("harm", "harmlessness"), ("list", "instructions"))
NUM_PROMPTS, NUM_CANDIDATE_PROMPTS, NUM_REPLIES = 40, 12, 16
START = 0.6
"""Gold score of the SFT model."""


def build_config() -> ChatGPTConfig:
    """Two label counts beside all 16, and three sizes."""
    study = StudyConfig(
        label_counts=(4, 8), layer_counts=(1, 2), size_num_prompts=8, num_prompts=NUM_CANDIDATE_PROMPTS,
        num_replies=NUM_REPLIES,
    )  # fmt: skip
    return dataclasses.replace(micro(), study=study)


def write_study_folder(out: Path, *, num_iterations: int = 30) -> Path:
    """All files that study_data.py reads."""
    config = build_config()
    rng = np.random.default_rng(1)
    save_config(config, out / "config.json")
    study = Study(config, out)
    for stage in study.stage_names:
        record = {"name": stage, "key": "k", "seconds": 12.5, "tokens": 1000, "flops": 1e9, "metrics": {}}
        _write(out / stage / "stage.json", record | {"headline": f"headline of {stage}"})
    counts = {"broken": 0.31, "revised": 0.24, "num_pairs": 700.0}
    record = json.loads((out / "constitutional" / "stage.json").read_text())
    _write(out / "constitutional" / "stage.json", record | {"metrics": counts})
    for number, variant in enumerate(list_variants(config)):
        accuracy = {"accuracy": 0.6 + 0.02 * number, "num_pairs": 500, "best_possible": 0.8}
        own = {"accuracy": 0.58 + 0.02 * number}
        _write(
            out / variant.stage / "judgement.json",
            accuracy | {"own_replies": own, "num_training_pairs": 9 * variant.num_prompts},
        )
    for stage in ("ppo", *(policy for policy in study.policies if policy != "constitutional")):
        falls = stage.startswith("ppo_free")
        _write_lines(out / stage / "metrics.jsonl", _train(num_iterations, rng, falls=falls))
    _write_lines(out / "best_of_n" / "replies.jsonl", _draw_candidates(config, rng))
    earlier, replies = _answer(study, rng)
    _write_lines(out / "evaluation" / "replies.jsonl", earlier)
    _write_lines(out / "study" / "replies.jsonl", replies)
    return out


def _train(num_iterations: int, rng: np.random.Generator, *, falls: bool) -> list[dict[str, float]]:
    """Iterations at distances from 0 to 2.5, with gold = START + d (0.5 - 0.4 log d), or without the bend."""
    lines = []
    for step in range(num_iterations):
        d = 2.5 * step / (num_iterations - 1) if falls else 0.8 * step / (num_iterations - 1)
        bend = 0.4 * d * math.log(d) if d and falls else 0.0
        gain = (0.5 if falls else 0.25) * d - bend
        noise = 0.004 * rng.normal(size=3)
        lines.append(
            {
                "step": step + 1, "tokens": 100.0 * step, "kl": d * d, "gold": START + gain + noise[0],
                "utility": START + 0.1 + 0.4 * d + noise[1], "reward": 1 + 2.5 * d + noise[2], "seconds": 1.0,
            }
        )  # fmt: skip
    return lines


def _draw_candidates(config: ChatGPTConfig, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Reward models that see the gold score through noise, less of it the more labels they have."""
    lines = []
    for number in range(NUM_CANDIDATE_PROMPTS):
        gold = rng.uniform(0.3, 0.9, size=NUM_REPLIES // 2)
        scores = {
            one.stage: (gold / 0.2 + 8 / one.num_prompts * rng.normal(size=len(gold))).tolist()
            for one in list_variants(config)
        }
        lines.append(
            {
                "index": number, "kind": "question", "group": "answers", "messages": _ask(number),
                "replies": ["a reply"] * len(gold), "gold": gold.tolist(), "utility": (gold + 0.1).tolist(),
                "scores": scores, "drawn": [place // 2 for place in range(NUM_REPLIES)],
            }
        )  # fmt: skip
    return lines


def _answer(study: Study, rng: np.random.Generator) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    skills = {"sft": 0.0, "ppo": 0.2, "dpo": 0.15, "grpo": 0.18, "constitutional": 0.1}
    earlier, replies = [], []
    for number in range(NUM_PROMPTS):
        kind, group = KINDS[number % len(KINDS)]
        easy = rng.uniform(0.3, 0.75)

        def reply(policy: str, easy: float = easy) -> dict[str, Any]:
            gold = float(np.clip(easy + skills.get(policy, -0.3) + 0.02 * rng.normal(), 0, 1))
            free = policy.startswith("ppo_free")
            reward = 6.0 if free else gold / 0.2
            return {
                "text": f"says {policy}", "gold": gold, "utility": gold + 0.1, "reward": reward,
                "kl": 0.0 if policy == "sft" else 7.0 if free else 0.7, "num_tokens": 9, "finished": True,
            }  # fmt: skip

        old = {policy: reply(policy) for policy in ("sft", "ppo", "dpo")}
        base = {"text": "and then", "gold": 0.0, "utility": 0.0, "reward": None, "kl": None, "num_tokens": 9,
                "finished": True}  # fmt: skip
        where = {"index": number, "kind": kind, "group": group}
        earlier.append(where | {"messages": _ask(number), "replies": {"base": base, **old}})
        sft_rewards = dict.fromkeys(set(study.policies.values()), old["sft"]["reward"])
        new = {policy: reply(policy) for policy in study.policies}
        replies.append(where | {"replies": new, "sft_rewards": sft_rewards})
    return earlier, replies


def _ask(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Where does number {number} live?"}]


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _write_lines(path: Path, values: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


if __name__ == "__main__":
    from nn2llm.recipe.study_report import write_study

    print(*write_study(write_study_folder(Path(sys.argv[1]))))
