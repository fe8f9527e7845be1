"""How good a reward model is, on the held-out pairs that stage preferences wrote.

    judgement.json    in the stage's folder: all figures, and those of pairs without a stray reply apart

Computed once, as stages reward and reward_control end; stage evaluation puts both into its summary.
Read preferences.py and evals/reward_accuracy.py before. Used by stages.py and evaluation.py.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nn2llm.core.files import read_json, write_json_atomic
from nn2llm.data.pair_batches import encode_pairs
from nn2llm.data.preferences import load_preferences
from nn2llm.evals.reply_scores import compute_row_scores
from nn2llm.evals.reward_accuracy import evaluate_reward_model
from nn2llm.recipe.costs import Ledger
from nn2llm.recipe.preferences import list_pair_files
from nn2llm.tokenizers.chat import ChatFormat
from nn2llm.train.checkpoint import load_reward_model

__all__ = ["judge_reward_model", "load_judgement", "write_judgement"]

_FILE = "judgement.json"
_OF_OWN_REPLIES = (
    "accuracy", "accuracy_low", "accuracy_high", "expected_accuracy", "best_possible", "num_pairs",
)  # fmt: skip


def write_judgement(run: Path, judgement: dict[str, Any]) -> None:
    """Keep it beside the model. Raises StorageError where the disk does not take it."""
    write_json_atomic(run / _FILE, judgement)


def load_judgement(run: Path) -> dict[str, Any]:
    """What `write_judgement` wrote. Raises DataError where it is missing or broken."""
    judgement = read_json(run / _FILE)
    assert isinstance(judgement, dict)
    return judgement


def judge_reward_model(
    run: Path,
    preferences: Path,
    prefix: str = "",
    *,
    device: torch.device | str = "cpu",
    ledger: Ledger | None = None,
) -> dict[str, Any]:
    """All figures on the held-out pairs in the folder `preferences`; `own_replies`: without the stray ones.

    `prefix` is "" or "control_".

    Raises:
        Nn2llmError: if the model or a file is missing or damaged.
    """
    model, tokenizer = load_reward_model(run, device=device)
    files = list_pair_files(preferences, "val", prefix)
    found = [pair for path in files for pair in load_preferences(path)]
    pairs = encode_pairs(found, ChatFormat(tokenizer), max_seq_len=model.config.max_seq_len)
    # Not splitlines(): it would also cut at a U+2028 inside a reply, and `kept` counts lines of JSON.
    lines = [[line for line in path.read_text(encoding="utf-8").split("\n") if line] for path in files]
    known = [json.loads(line) for part in lines for line in part]
    scores = compute_row_scores(model, pairs.rows)
    gaps = scores[pairs.chosen] - scores[pairs.rejected]
    if ledger is not None:
        ledger.score(model, sum(len(row.ids) for row in pairs.rows))

    def evaluate(chosen: np.ndarray) -> dict[str, Any]:
        """Of the pairs with these places among those that fit into the context."""
        about = [known[at] for at in pairs.kept[chosen]]
        names = list(about[0]["features"][0])
        return evaluate_reward_model(
            gaps[chosen],
            probabilities=[pair["probability"] for pair in about],
            gold_gaps=[pair["golds"][0] - pair["golds"][1] for pair in about],
            features={
                name: [pair["features"][0][name] - pair["features"][1][name] for pair in about]
                for name in names
            },
            groups=pairs.prompts[chosen],
        ).to_dict()

    everything = np.arange(pairs.num_pairs)
    own = everything[pairs.kept < len(lines[0])]  # the first file; the second holds the stray pairs
    report = evaluate(everything)
    if len(files) > 1 and len(own) > 1:
        of_own = evaluate(own)
        report["own_replies"] = {name: of_own[name] for name in _OF_OWN_REPLIES}
    return report
