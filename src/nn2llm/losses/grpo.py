"""GRPO's loss: PPO without a value model. What a reply is worth is told by the other replies to its prompt.

The old policy writes G replies to each prompt. A reply's advantage is its score against its group's,

    A_i = (r_i - mean(r)) / (deviation(r) + 1e-4)

the same at each of its tokens. The surrogate is PPO's; nearness to the reference is no part of the reward but
a term of the loss, estimated by k3:

    L = -mean min(r A, clip(r) A) + kl_coef * mean (e^-d - 1 + d),    d = log policy - log ref

Two choices have a bias that was found later (Liu et al.). Dividing by the deviation makes much of prompts to
which all replies are about equally good; `scale=False` leaves it out. And the mean over each reply's own
tokens first ("reply") makes a long bad reply cost less a token than a short one, so that failures grow
longer; "token" averages over all tokens, "constant" divides by the largest length that a reply may have.

Read after ppo.py. Used by train/grpo.py. Taught in `grpo`.
Sources: Shao et al. 2024 (DeepSeekMath), https://arxiv.org/abs/2402.03300, eq. 3; Liu et al. 2025 (Dr. GRPO),
https://arxiv.org/abs/2503.20783; averaging over tokens and the higher upper clip: Yu et al. 2025 (DAPO),
https://arxiv.org/abs/2503.14476.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nn2llm.losses.kl import kl_k3
from nn2llm.losses.ppo import masked_mean

__all__ = ["Averaging", "GroupPolicyLoss", "group_advantages", "grpo_loss"]

Averaging = Literal["reply", "token", "constant"]
"""Over each reply's tokens and then over replies; over all tokens; by the largest length of a reply."""

_EPSILON = 1e-4
"""Added to a group's deviation, as in TRL: a group of nearly equal scores is not blown up."""


class GroupPolicyLoss(NamedTuple):
    """What `grpo_loss` gives: scalars; all but the loss are figures without gradient."""

    loss: Tensor
    clip_fraction: Tensor
    """Share of tokens at which clipping binds."""
    approx_kl: Tensor
    """KL(old policy || policy) a token, in nats, by k3."""


def group_advantages(
    scores: Float[Tensor, " B"], group_size: int, *, scale: bool = True
) -> Float[Tensor, " B"]:
    """Each score less its group's mean, over its group's deviation (with n - 1) plus 1e-4.

    Groups stand side by side: the first `group_size` scores belong to one prompt. A group whose scores are
    all equal teaches nothing: its advantages are 0.

    Raises:
        ValueError: if group_size is below 2, or does not divide the number of scores.
    """
    if group_size < 2:
        raise ValueError(f"group_size must be at least 2, got {group_size}: one reply has no other to beat.")
    if len(scores) % group_size:
        raise ValueError(f"{len(scores)} scores do not make groups of {group_size}.")
    groups = scores.view(-1, group_size)
    advantages = groups - groups.mean(dim=1, keepdim=True)
    if scale:
        advantages = advantages / (groups.std(dim=1, keepdim=True) + _EPSILON)
    # equal scores: their mean is rounded, and 1e-8 over 1e-4 would not be 0
    same = (groups == groups[:, :1]).all(dim=1, keepdim=True)
    return advantages.masked_fill(same, 0.0).view(-1)


def grpo_loss(
    logprobs: Float[Tensor, "B T"],
    old_logprobs: Float[Tensor, "B T"],
    advantages: Float[Tensor, " B"],
    mask: Bool[Tensor, "B T"],
    *,
    ref_logprobs: Float[Tensor, "B T"] | None = None,
    kl_coef: float = 0.0,
    clip_range: float = 0.2,
    clip_range_high: float | None = None,
    averaging: Averaging = "reply",
    max_length: int | None = None,
) -> GroupPolicyLoss:
    """The clipped surrogate of whole replies, and kl_coef times the k3 estimate of the KL from the reference.

    Args:
        logprobs: of the tokens, in nats, under the policy that learns.
        old_logprobs: under the one that drew them.
        advantages: of each reply.
        mask: True at the tokens of the replies.
        ref_logprobs: under the reference; only needed where kl_coef is above 0.
        kl_coef: weight of the KL; 0 leaves it out.
        clip_range: how far a ratio may move down, and up where there is no clip_range_high.
        clip_range_high: how far it may move up.
        averaging: see `Averaging`.
        max_length: the divisor of "constant".

    Raises:
        ValueError: for a clip range outside (0, 1), a missing reference or length, an unknown averaging.
    """
    if not 0 < clip_range < 1:
        raise ValueError(f"clip_range must be in (0, 1), got {clip_range}. Typical: 0.2.")
    high = clip_range if clip_range_high is None else clip_range_high
    if not high > 0:
        raise ValueError(f"clip_range_high must be > 0, got {high}. Typical: 0.2 to 0.3.")
    # masked before exp: a NaN or infinity in padding would come back through the gradient of `where`
    log_ratios = (logprobs - old_logprobs).where(mask, 0.0)
    ratios = log_ratios.exp()
    free = -ratios * advantages[:, None]
    clipped = -ratios.clamp(1 - clip_range, 1 + high) * advantages[:, None]
    losses = torch.maximum(free, clipped)
    if kl_coef:
        if ref_logprobs is None:
            raise ValueError("kl_coef is above 0, so ref_logprobs are needed.")
        differences = (logprobs - ref_logprobs).where(mask, 0.0)
        losses = losses + kl_coef * kl_k3(differences, torch.zeros_like(differences))
    loss = _average(losses.where(mask, 0.0), mask, averaging, max_length)
    with torch.no_grad():
        clip_fraction = masked_mean((clipped > free).to(ratios.dtype), mask)
        approx_kl = masked_mean(kl_k3(torch.zeros_like(log_ratios), log_ratios), mask)
    return GroupPolicyLoss(loss, clip_fraction, approx_kl)


def _average(
    losses: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], averaging: Averaging, max_length: int | None
) -> Float[Tensor, ""]:
    if averaging == "reply":
        return (losses.sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()
    if averaging == "token":
        return losses.sum() / mask.sum().clamp(min=1)
    if averaging == "constant":
        if max_length is None or max_length < 1:
            raise ValueError(f"averaging 'constant' needs a max_length of at least 1, got {max_length}.")
        return losses.sum() / (len(losses) * max_length)
    raise ValueError(f"unknown averaging {averaging!r}. Choose from: reply, token, constant.")
