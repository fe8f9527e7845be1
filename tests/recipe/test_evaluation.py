"""The figures of a reward model on pairs from a file. The whole stage is run by test_engine.py."""

import json
from pathlib import Path

import pytest
import torch

from nn2llm.core.config_io import save_config
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.preferences import PreferencePair, save_preferences
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.reward_model import RewardModel
from nn2llm.recipe.judging import judge_reward_model
from nn2llm.tokenizers import CharTokenizer
from nn2llm.tokenizers.base import END_OF_TEXT
from nn2llm.tokenizers.chat import CHAT_TOKENS
from nn2llm.train.checkpoint import save_checkpoint
from nn2llm.train.session import MachineConfig

LINE_SEPARATOR = "\u2028"  # str.splitlines cuts here, and JSON leaves it as it is


def write_reward_run(path: Path) -> Path:
    tokenizer = CharTokenizer("abcd" + LINE_SEPARATOR, [END_OF_TEXT, *CHAT_TOKENS])
    torch.manual_seed(1)
    config = GPTConfig(vocab_size=tokenizer.vocab_size, n_layer=1, n_head=1, n_embd=8, max_seq_len=24)
    model = RewardModel.from_gpt(GPT(config))
    torch.nn.init.normal_(model.score.weight)
    run = RunFolder(path)
    tokenizer.save(run.tokenizer_path)
    save_checkpoint(
        run, step=1, model_config=config, weights=model.state_dict(), training_state={}, best_step=1, keep=1,
        kind="reward",
    )  # fmt: skip
    run.metrics_path.write_text("")
    save_config(MachineConfig(), run.config_path)  # any object: it only marks a run
    return path


def test_each_pair_has_what_its_own_line_says(tmp_path: Path) -> None:
    run = write_reward_run(tmp_path / "reward")
    replies = [("a", "b"), ("a" + LINE_SEPARATOR + "b", "c"), ("a" * 30, "b"), ("c", "d"), ("dd", "a")]
    prompts = [({"role": "user", "content": word},) for word in ("a", "bad", "cab", "dab", "add")]
    pairs = [PreferencePair(prompt, *two) for prompt, two in zip(prompts, replies, strict=True)]
    sure = (0.9, 0.8, 0.5, 0.7, 0.6)  # the third pair does not fit into the context, and is left out
    extras = [
        {"probability": p, "golds": [number, 0.0], "features": [{"length": number % 2}, {"length": 0}]}
        for number, p in enumerate(sure)
    ]
    path = tmp_path / "val.jsonl"
    save_preferences(path, pairs, extras=extras)
    judged = judge_reward_model(run, tmp_path)
    assert judged["num_pairs"] == 4
    assert judged["best_possible"] == pytest.approx((0.9 + 0.8 + 0.7 + 0.6) / 4)
    assert "own_replies" not in judged  # there are no others
    json.dumps(judged)

    save_preferences(tmp_path / "stray_val.jsonl", pairs[:2], extras=[extras[2], extras[2]])
    judged = judge_reward_model(run, tmp_path)
    assert judged["num_pairs"] == 6
    assert judged["best_possible"] == pytest.approx((0.9 + 0.8 + 0.7 + 0.6 + 0.5 + 0.5) / 6)
    assert judged["own_replies"]["num_pairs"] == 4
    assert judged["own_replies"]["best_possible"] == pytest.approx((0.9 + 0.8 + 0.7 + 0.6) / 4)
