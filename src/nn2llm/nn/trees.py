"""Token trees: several replies behind one copy of their prompt, each computed as if it stood there alone.

A row of tokens holds a prompt (branch 0) and its replies side by side (branches 1, 2, …):

    tokens     p0 p1 p2 | a0 a1 | b0 b1 b2 | pad
    branches    0  0  0    1  1    2  2  2   -1
    positions   0  1  2    3  4    3  4  5    0

A reply sees the prompt and itself, never its neighbours, and its positions go on from the prompt's. So every
hidden state is the one of the reply in a row of its own, while the prompt is computed once: with five replies
to a prompt of their length, 6 pieces instead of 10.
Read after masks.py. Used by models/gpt.py and models/reward_model.py; data/pair_batches.py builds them.
Source: the trees of speculative decoding, Miao et al. 2023 (SpecInfer), https://arxiv.org/abs/2305.09781,
section 4.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["TokenTree"]


@dataclass(frozen=True, slots=True)
class TokenTree:
    """How the tokens of B rows hang together. Every row begins with at least one token of branch 0."""

    positions: Int[Tensor, "B T"]
    """Of each token in its own conversation, from 0."""
    branches: Int[Tensor, "B T"]
    """0: the prompt; 1, 2, …: a reply, its tokens side by side; -1: padding, at the right."""

    def build_mask(self, window: int | None = None) -> Bool[Tensor, "B 1 T T"]:
        """True where the query (second last axis) sees the key (last axis).

        `window`: at most so many positions in all, counted in the token's own conversation.
        """
        num_tokens = self.branches.shape[1]
        columns = torch.arange(num_tokens, device=self.branches.device)
        keys = self.branches[:, None, :]
        mask = (columns <= columns[:, None]) & ((keys == 0) | (keys == self.branches[:, :, None]))
        if window is not None:
            mask = mask & (self.positions[:, None, :] > self.positions[:, :, None] - window)
        return mask[:, None]

    def list_parents(self) -> Int[Tensor, "B T"]:
        """The column of the token before each in its own conversation; of the first token, its own.

        A reply's first token follows the prompt's last.
        """
        columns = torch.arange(self.branches.shape[1], device=self.branches.device)
        before = (columns - 1).clamp(min=0).expand_as(self.branches)
        begins = (self.branches != self.branches.gather(1, before)) & (self.branches > 0)
        last_of_prompt = (self.branches == 0).sum(dim=1, keepdim=True) - 1
        return torch.where(begins, last_of_prompt, before)

    def to(self, device: torch.device | str) -> "TokenTree":
        """The tree on `device`."""
        return TokenTree(self.positions.to(device), self.branches.to(device))
