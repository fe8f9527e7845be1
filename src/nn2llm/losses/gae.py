"""Generalised advantage estimation: how much better than expected did each token turn out?

V(t) is what the value model expects of the reply before token t is written, r(t) the reward for writing it.
The surprise of one step is

    delta(t) = r(t) + gamma V(t+1) - V(t)

and an advantage adds up the surprises that follow, each counted less than the one before:

    A(t) = delta(t) + (gamma lambda) A(t+1),      return(t) = A(t) + V(t)

lambda = 0 trusts the value model wholly (low variance, biased by its errors), lambda = 1 not at all: then the
return is the discounted sum of the rewards that came, whatever the values are.

Read before ppo.py. Used by train/ppo.py.
Source: Schulman et al. 2016, https://arxiv.org/abs/1506.02438, eq. 16.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Advantages", "compute_gae"]


class Advantages(NamedTuple):
    """What `compute_gae` gives, both `B T`, 0 at masked positions, without gradient."""

    advantages: Tensor
    returns: Tensor


@torch.no_grad()
def compute_gae(
    rewards: Float[Tensor, "B T"],
    values: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    gamma: float,
    gae_lambda: float,
) -> Advantages:
    """Advantages and returns of B replies, in units of reward. mask[b, t]: token t is part of reply b.

    `rewards[b, t]` is for token t, `values[b, t]` the expectation before it. After a reply's last token
    nothing follows, so the value there is 0: also for a reply cut off by its length limit (its text is scored
    as it stands). What stands at masked positions does not count, not even NaN. Padding may be on either
    side.

    Raises:
        ValueError: if gamma or gae_lambda is not in [0, 1].
    """
    for name, number in (("gamma", gamma), ("gae_lambda", gae_lambda)):
        if not 0 <= number <= 1:
            raise ValueError(
                f"{name} must be in [0, 1], got {number}. Typical for replies: gamma 1, gae_lambda 0.95."
            )
    rewards, values = rewards.where(mask, 0.0), values.where(mask, 0.0)
    advantages = torch.zeros_like(values)
    next_value = next_advantage = values.new_zeros(len(values))
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        # 0 at padding: what comes after the last token (or before the first) is then no part of the sum
        next_advantage = (delta + gamma * gae_lambda * next_advantage).where(mask[:, t], 0.0)
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    return Advantages(advantages, advantages + values)
