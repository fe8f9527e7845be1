"""Models whose probabilities are known: a table, and a tiny GPT with random weights."""

from types import SimpleNamespace

import torch
from torch import Tensor

from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig


class TableModel:
    """P(next | this token) from a table of logits [V, V]; nothing before that token matters.

    It notes the shapes it was given, and that it was asked in evaluation mode.
    """

    def __init__(self, table: Tensor, *, max_seq_len: int = 8) -> None:
        self.table = table
        self.config = SimpleNamespace(max_seq_len=max_seq_len)
        self.device = torch.device("cpu")
        self.training = True
        self.num_logits: list[int] = []
        self.shapes: list[tuple[int, int]] = []

    def compute_hidden(self, input_ids: Tensor) -> Tensor:
        assert not self.training
        assert input_ids.shape[1] <= self.config.max_seq_len
        self.shapes.append(tuple(input_ids.shape))
        return torch.nn.functional.one_hot(input_ids, len(self.table)).to(self.table.dtype)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        self.num_logits.append(hidden.shape[1])
        return hidden @ self.table

    def train(self, mode: bool = True) -> "TableModel":
        self.training = mode
        return self


def build_random_gpt(vocab_size: int, *, max_seq_len: int = 16, seed: int = 0, **options: object) -> GPT:
    """A GPT whose predictions depend on all the context, sharply."""
    torch.manual_seed(seed)
    config = GPTConfig(
        vocab_size=vocab_size, n_layer=2, n_head=2, n_embd=16, max_seq_len=max_seq_len, **options
    )
    model = GPT(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model
