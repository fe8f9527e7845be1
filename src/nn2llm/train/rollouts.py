"""Rollouts: prompts drawn, replies written to them, and what models say of every token of these replies.

A batch holds prompt and reply in one row, padded at the right: under causal attention what stands after a
reply cannot change it, so no mask is needed. As everywhere, `labels[b, t]` is the token after position t, or
-100 where it is not part of the reply; what belongs to that token (log-probability, value, reward) stands
at t too.

Read generation/replies.py before. Used by train/ppo.py and train/grpo.py.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from nn2llm.core.errors import ConfigError, TrainingError
from nn2llm.data.permutation import EpochOrder
from nn2llm.generation.replies import Reply, continue_prompts, encode_prompts
from nn2llm.generation.rows import compute_row_seeds
from nn2llm.losses.cross_entropy import IGNORE_INDEX
from nn2llm.losses.log_probs import compute_logprobs
from nn2llm.losses.ppo import entropy
from nn2llm.models.gpt import GPT
from nn2llm.models.reward_model import RewardModel
from nn2llm.tokenizers.base import Tokenizer
from nn2llm.tokenizers.chat import ChatFormat, Message
from nn2llm.train.checkpoint import load_reward_model

__all__ = [
    "PromptSet",
    "Rollouts",
    "compute_reply_logprobs",
    "load_fitting_reward_model",
    "place_rewards",
    "score_rollouts",
    "split_rows",
    "write_rollouts",
]


class PromptSet:
    """The prompts of a run, and the order in which they are drawn.

    Attributes:
        messages: each prompt as a conversation.
        ids: each prompt as tokens.

    Raises:
        ConfigError: if there is none, or one leaves no room for a reply of `max_new_tokens`.
        DataError: if one is no conversation that a reply is due to.
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[Message]],
        chat: ChatFormat,
        *,
        max_seq_len: int,
        max_new_tokens: int,
        seed: int,
    ) -> None:
        if not prompts:
            raise ConfigError("Prompts to reply to are needed, got an empty list.")
        self.messages = prompts
        self.ids = encode_prompts(chat, prompts, max_seq_len=max_seq_len, room=max_new_tokens)
        self._seed = seed

    def __len__(self) -> int:
        return len(self.ids)

    def draw(self, num: int, *, step: int) -> list[int]:
        """The places of the `num` prompts of iteration `step`: all once, shuffled, then all in another order.

        A function of (seed, step) alone, so a resumed run goes on with the same ones.
        """
        places = np.arange(step * num, (step + 1) * num, dtype=np.int64)
        epochs, within = places // len(self), places % len(self)
        drawn = [
            EpochOrder(len(self), seed=self._seed, epoch=int(epoch))(within[epochs == epoch])
            for epoch in np.unique(epochs)
        ]
        return [int(place) for place in np.concatenate(drawn)]

    def fingerprint(self) -> str:
        """A hash of all their tokens: whether a run is resumed with the same ones."""
        return hashlib.sha256(repr(self.ids).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Prompts and the replies to them."""

    input_ids: Tensor
    """`B T`: prompt, reply, padding."""
    labels: Tensor
    """`B T`: the reply's tokens, each at the position before its own; -100 elsewhere."""
    last: Tensor
    """`B`: position of each reply's last token."""
    finished: Tensor
    """`B`, bool: the reply ended with the end token."""

    @classmethod
    def build(
        cls, prompts: Sequence[Sequence[int]], replies: Sequence[Reply], device: torch.device | str = "cpu"
    ) -> Self:
        """Rows of prompt and reply, padded with token 0 (any would do)."""
        rows = [[*prompt, *reply.ids] for prompt, reply in zip(prompts, replies, strict=True)]
        length = max(len(row) for row in rows)
        input_ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        last = torch.tensor([len(row) - 1 for row in rows])
        starts = torch.tensor([len(prompt) for prompt in prompts])
        positions = torch.arange(length)
        is_before_reply_token = (positions >= starts[:, None] - 1) & (positions < last[:, None])
        labels = input_ids.roll(-1, dims=1).masked_fill(~is_before_reply_token, IGNORE_INDEX)
        finished = torch.tensor([reply.finished for reply in replies])
        return cls(input_ids.to(device), labels.to(device), last.to(device), finished.to(device))

    @property
    def mask(self) -> Tensor:
        """`B T`, True where the next token is one of the reply."""
        return self.labels != IGNORE_INDEX

    @property
    def num_tokens(self) -> int:
        """Tokens of prompts and replies."""
        return int((self.last + 1).sum())

    def select(self, rows: Tensor) -> Self:
        """Some of the rows, cut to the longest of them."""
        length = int(self.last[rows].max()) + 1
        return type(self)(
            self.input_ids[rows, :length], self.labels[rows, :length], self.last[rows], self.finished[rows]
        )


def load_fitting_reward_model(
    run: str | Path, tokenizer: Tokenizer, *, of: str, device: torch.device | str
) -> RewardModel:
    """The reward model of a run, if it reads the same tokens as the policy `of`.

    Raises:
        CheckpointError: if there is none, or it is damaged.
        ConfigError: if its tokenizer is another one.
    """
    reward_model, own = load_reward_model(run, device=device)
    if tokenizer.fingerprint() != own.fingerprint():
        raise ConfigError(
            f"The tokenizers of {of} ({tokenizer.vocab_size} tokens) and {run} ({own.vocab_size} tokens) "
            f"differ, so the reward model cannot read the replies. Train it from {of}."
        )
    return reward_model


def split_rows(num_rows: int, size: int, *, seed: int, epoch: int) -> list[Tensor]:
    """The minibatches of one epoch over a batch: shuffled rows, `size` at a time."""
    order = EpochOrder(num_rows, seed=seed, epoch=epoch)(np.arange(num_rows, dtype=np.int64))
    return list(torch.from_numpy(order).split(size))


def write_rollouts(
    policy: GPT, chat: ChatFormat, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, seed: int
) -> tuple[Rollouts, list[Reply]]:
    """Let the policy reply to encoded prompts, drawing from its own distribution (temperature 1).

    At another temperature its log-probabilities would not be those of the tokens drawn, and the ratios of
    PPO and the KL not what they claim.
    """
    replies = continue_prompts(
        policy,
        chat,
        prompts,
        max_new_tokens=max_new_tokens,
        seeds=compute_row_seeds(seed, len(prompts)),
        batch_size=len(prompts),
    )
    return Rollouts.build(prompts, replies, policy.device), replies


def compute_reply_logprobs(
    model: GPT, rollouts: Rollouts, *, with_entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """log p of each reply token, `B T`, and the entropy of the model where it was drawn, `B T`; 0 elsewhere.

    Only the positions of reply tokens meet the head, the most expensive layer of a small model.
    """
    hidden = model.compute_hidden(rollouts.input_ids)
    logprobs = compute_logprobs(
        (hidden, model.head_weight), rollouts.labels, softcap=model.config.logit_softcap
    )
    if not with_entropy:
        return logprobs, None
    logits = model.compute_logits(hidden[rollouts.mask][None])[0]
    return logprobs, torch.zeros_like(logprobs).masked_scatter(rollouts.mask, entropy(logits))


@torch.no_grad()
def score_rollouts(reward_model: RewardModel, rollouts: Rollouts, *, end_id: int) -> Tensor:
    """The reward model's score of each reply, `B`, read at its end token.

    A reply that was cut is scored as if it ended there: the end token stands in for its last one. The reward
    model has learned to score ends alone, so what it says at any other token means nothing.

    Raises:
        TrainingError: if a score is not a number.
    """
    rows = torch.arange(len(rollouts.last), device=rollouts.last.device)
    input_ids = rollouts.input_ids.clone()
    input_ids[rows, rollouts.last] = end_id
    scores = reward_model.compute_scores(input_ids, rollouts.last).float()
    if not scores.isfinite().all():
        bad = scores[~scores.isfinite()][0].item()
        raise TrainingError(
            f"The reward model gave the score {bad}: its weights are damaged or have diverged. "
            "Train it again with a smaller learning rate, or take an earlier checkpoint."
        )
    return scores


def place_rewards(scores: Tensor, penalties: Tensor, rollouts: Rollouts) -> Tensor:
    """Rewards a token, `B T`: minus the penalty at each token of the reply, plus the score at its last one.

    Args:
        scores: `B`, what the whole reply is worth.
        penalties: `B T`, what each token costs (kl_coef times the KL estimate).
        rollouts: the replies.
    """
    rewards = -penalties.where(rollouts.mask, 0.0)
    rows = torch.arange(len(scores), device=scores.device)
    # the last token stands at `last`, and what belongs to it one position before
    rewards[rows, rollouts.last - 1] += scores
    return rewards
