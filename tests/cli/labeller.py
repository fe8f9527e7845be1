"""A program that labels, as one behind a pipe does; and a tiny model whose replies it can compare."""

import io
import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import torch

from nn2llm.data.pair_batches import build_rows, encode_row
from nn2llm.losses.log_probs import compute_logprobs, sum_logps
from nn2llm.models.gpt import GPT
from tests.train.preference_runs import build_chat, build_model

Screen = dict[str, Any]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def build_talker(seed: int) -> GPT:
    """A model that replies to anything with three to six letters, each as probable as any other."""
    model, chat, draw = build_model(seed=seed), build_chat(), random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        rows = []
        for _ in range(16):
            asked, reply = ("".join(draw.choices(LETTERS, k=draw.randint(3, 6))) for _ in range(2))
            rows.append(encode_row(chat, [{"role": "user", "content": f"say {asked}?"}], reply))
        batch = build_rows(rows, pad_id=chat.tokenizer.end_of_text_id)
        source = (model.compute_hidden(batch.input_ids), model.head_weight)
        loss = -sum_logps(compute_logprobs(source, batch.labels)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


class Labeller:
    """Stands for stdin and stdout at once; `choose` gives the key for a screen, None for the end of input."""

    def __init__(self, choose: Callable[[Screen], str | None]) -> None:
        self.out = io.StringIO()
        self.choose = choose
        self.keys: list[str | None] = []

    @property
    def screens(self) -> list[Screen]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        self.keys.append(self.choose(self.screens[-1]))
        return "" if self.keys[-1] is None else f"{self.keys[-1]}\n"


def type_keys(keys: Iterable[str]) -> Labeller:
    """One who types these keys, whatever is shown."""
    script = iter(keys)
    return Labeller(lambda _: next(script, None))


def prefer(measure: Callable[[str], float]) -> Labeller:
    """One with a taste: the reply that measures more."""

    def choose(screen: Screen) -> str:
        first, second = measure(screen["1"]), measure(screen["2"])
        return "t" if first == second else "1" if first > second else "2"

    return Labeller(choose)
