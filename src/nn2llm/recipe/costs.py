"""What a stage cost in tokens and floating-point operations.

Counted are the matrix products of the mathematics (models/accounting.py), every token at the model's full
context: a trained token forward and backward, three passes; a token that is only read or written one pass, a
third of that. Written tokens are counted as if each were computed once, which the cache sees to. Not counted:
padding, norms, activations, the optimizer, and the evaluations during training.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nn2llm.models.accounting import compute_flops_per_token
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.reward_model import RewardModel
from nn2llm.recipe.engine import StageOutcome
from nn2llm.train.stage_result import StageResult

__all__ = ["Ledger", "conclude"]


@dataclass(slots=True)
class Ledger:
    """Sums up what a stage computes."""

    tokens: int = 0
    """Tokens that went through a model, forward and backward."""
    forward_tokens: int = 0
    """Tokens that went through one forward alone; twice where two models read them."""
    flops: float = 0.0

    def train(self, config: GPTConfig, num_tokens: int, *, has_head: bool = True) -> None:
        """Tokens forward and backward. `has_head=False`: a model that gives one number a token."""
        self.tokens += num_tokens
        self.flops += num_tokens * _compute_flops(config, has_head)

    def train_reward(self, model: RewardModel, num_tokens: int) -> None:
        """A reward model's tokens: of a frozen GPT below checking layers forward alone, with its head."""
        if not model.num_checking_layers:
            self.train(model.config, num_tokens, has_head=False)
            return
        self.tokens += num_tokens
        self.flops += num_tokens * (
            _compute_flops(model.config, True) / 3 + _compute_flops(_checking_config(model), False)
        )

    def score(self, model: RewardModel, num_tokens: int) -> None:
        """Tokens that a reward model reads."""
        self.read(model.config, num_tokens, has_head=model.num_checking_layers > 0)
        if model.num_checking_layers:
            self.flops += num_tokens * _compute_flops(_checking_config(model), False) / 3

    def read(self, config: GPTConfig, num_tokens: int, *, has_head: bool = True) -> None:
        """Tokens forward alone: read, scored or written."""
        self.forward_tokens += num_tokens
        self.flops += num_tokens * _compute_flops(config, has_head) / 3


def conclude(
    headline: str,
    ledger: Ledger,
    metrics: Mapping[str, float],
    *,
    result: StageResult | None = None,
    training_s: float = 0.0,
) -> StageOutcome:
    """What a stage came to, with its cost."""
    return StageOutcome(
        headline=headline,
        tokens=ledger.tokens + ledger.forward_tokens,
        flops=ledger.flops,
        metrics={**metrics, "trained_tokens": ledger.tokens, "forward_tokens": ledger.forward_tokens},
        training_s=training_s if result is None else result.training_s,
    )


def _checking_config(model: RewardModel) -> GPTConfig:
    """A GPT of as many layers as stand above the frozen one."""
    return replace(model.config, n_layer=model.num_checking_layers)


def _compute_flops(config: GPTConfig, has_head: bool) -> float:
    """A token's, forward and backward."""
    return compute_flops_per_token(config if has_head else replace(config, vocab_size=1), config.max_seq_len)
