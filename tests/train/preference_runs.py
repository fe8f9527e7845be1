"""A tiny chat model in a run folder, and preferences with a rule that it can learn: for the tests beside."""

import io
import json
import random
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from nn2llm.core.config_io import save_config
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.preferences import PreferencePair
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.tokenizers import CharTokenizer
from nn2llm.tokenizers.base import END_OF_TEXT
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat
from nn2llm.train.checkpoint import save_checkpoint
from nn2llm.train.session import MachineConfig

ALPHABET = "abcdefghijklmnopqrstuvwxyz .?!"
WORDS = ("sun", "tree", "cat", "bread", "mill", "boat", "hen", "rain")
CPU = MachineConfig(device="cpu", precision="fp32", num_threads=1)


def build_chat() -> ChatFormat:
    return ChatFormat(CharTokenizer(ALPHABET, [END_OF_TEXT, *CHAT_TOKENS]))


def build_model(
    *, seed: int = 1, max_seq_len: int = 64, tie_embeddings: bool = True, dropout: float = 0.0
) -> GPT:
    torch.manual_seed(seed)
    config = GPTConfig(
        vocab_size=build_chat().tokenizer.vocab_size, n_layer=2, n_head=2, n_embd=32, max_seq_len=max_seq_len,
        tie_embeddings=tie_embeddings, dropout=dropout, init="gpt2",
    )  # fmt: skip
    return GPT(config).eval()


def write_run(path: Path, model: GPT | None = None) -> Path:
    """A run folder that holds this model, as if it had been trained."""
    model = model or build_model()
    run = RunFolder(path)
    build_chat().tokenizer.save(run.tokenizer_path)
    save_checkpoint(
        run, step=1, model_config=model.config, weights=model.state_dict(), training_state={}, best_step=1,
        keep=1,
    )  # fmt: skip
    run.metrics_path.write_text('{"step": 1}\n')
    save_config(CPU, run.config_path)  # any object: it only marks a run
    return path


def draw_pairs(
    num_prompts: int, *, seed: int = 1, replies_per_prompt: int = 2, noise: float = 0.0
) -> list[PreferencePair]:
    """Replies that say "good" are preferred to those that say "bad"; with `noise` at times not."""
    draw = random.Random(seed)
    pairs = []
    for number in range(num_prompts):
        prompt = ({"role": "user", "content": f"say {draw.choice(WORDS)} {_spell(number)}?"},)
        replies = [
            (f"{' '.join(draw.sample(WORDS, 2))} {mood}.", mood)
            for mood in ("good", "bad", "fair", "okay")[:replies_per_prompt]
        ]
        for better in range(len(replies)):
            for worse in range(better + 1, len(replies)):
                chosen, rejected = replies[better][0], replies[worse][0]
                if draw.random() < noise:
                    chosen, rejected = rejected, chosen
                pairs.append(PreferencePair(prompt, chosen, rejected))
    return pairs


class Killed(BaseException):
    """What stands for kill -9: nothing in the code catches it, and nothing is saved because of it."""


def kill_at(monkeypatch: Any, trainer_class: type, step: int) -> None:
    """The run dies at the end of this step, before anything of it is written."""
    whole = trainer_class.train_step

    def train_step(self):
        record = whole(self)
        if self.step == step:
            raise Killed
        return record

    monkeypatch.setattr(trainer_class, "train_step", train_step)


def read_log(path: Path) -> list[dict[str, Any]]:
    """metrics.jsonl or samples.jsonl, without times."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def build_console() -> Console:
    """One that is written into memory: `console.file.getvalue()`."""
    return Console(file=io.StringIO(), width=200)


def _spell(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")
