"""PPO's losses: raise the chance of tokens that did better than expected, but not by much in one go.

Replies were drawn from the old policy; several steps are then taken on them. With the ratio
r = policy(token) / old policy(token) and the advantage A of the token, the clipped surrogate is

    L = -mean min(r A, clip(r, 1 - c, 1 + c) A)

For A > 0 nothing is gained by r beyond 1 + c, for A < 0 by r below 1 - c: there the gradient is zero. The
minimum keeps it where r went the wrong way, so that mistakes are always undone. The value model learns the
returns by squared error, clipped in the same spirit.

Masks are True at the tokens of the reply. What stands elsewhere does not count, not even NaN.
Read after gae.py and kl.py. Used by train/ppo.py.
Sources: Schulman et al. 2017, https://arxiv.org/abs/1707.06347, eq. 7; value clipping and whitening as in
Ziegler et al. 2019, https://arxiv.org/abs/1909.08593, whose details are told in Huang et al. 2024,
https://arxiv.org/abs/2403.17031.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nn2llm.losses.kl import kl_k3

__all__ = [
    "PolicyLoss",
    "clipped_value_loss",
    "entropy",
    "explained_variance",
    "masked_mean",
    "ppo_policy_loss",
    "whiten",
]


class PolicyLoss(NamedTuple):
    """What `ppo_policy_loss` gives: scalars; all but the loss are figures without gradient."""

    loss: Tensor
    clip_fraction: Tensor
    """Share of tokens at which clipping binds: their gradient is zero. Typical: 0.05 to 0.2."""
    approx_kl: Tensor
    """KL(old policy || policy) a token, in nats, by k3: how far the steps on these replies have gone."""


def ppo_policy_loss(
    logprobs: Float[Tensor, "*shape"],
    old_logprobs: Float[Tensor, "*shape"],
    advantages: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    clip_range: float,
) -> PolicyLoss:
    """The clipped surrogate -min(r A, clip(r) A), averaged over the tokens of the mask (eq. 7).

    `old_logprobs` are the log-probabilities, in nats, under the policy that drew the tokens. On the first
    step, where r = 1, the loss is -mean(A) and its gradient that of policy gradient.

    Raises:
        ValueError: if clip_range is not in (0, 1).
    """
    if not 0 < clip_range < 1:
        raise ValueError(f"clip_range must be in (0, 1), got {clip_range}. Typical: 0.1 to 0.3.")
    # masked before exp: a NaN or infinity in padding would come back through the gradient of `where`
    log_ratios = (logprobs - old_logprobs).where(mask, 0.0)
    ratios = log_ratios.exp()
    free = -ratios * advantages
    clipped = -ratios.clamp(1 - clip_range, 1 + clip_range) * advantages
    loss = masked_mean(torch.maximum(free, clipped), mask)
    with torch.no_grad():
        clip_fraction = masked_mean((clipped > free).to(ratios.dtype), mask)
        approx_kl = masked_mean(kl_k3(torch.zeros_like(log_ratios), log_ratios), mask)
    return PolicyLoss(loss, clip_fraction, approx_kl)


def clipped_value_loss(
    values: Float[Tensor, "*shape"],
    old_values: Float[Tensor, "*shape"],
    returns: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    clip_range_value: float | None,
) -> Float[Tensor, ""]:
    """Half the squared error of the values, the larger of plain and clipped, averaged over the mask.

    1/2 mean max((V - R)^2, (clip(V, V_old - c, V_old + c) - R)^2). The gradient is zero where V has already
    moved by more than c towards the return R. `clip_range_value` c is in units of reward; None turns clipping
    off.

    Raises:
        ValueError: if clip_range_value is not above 0.
    """
    if clip_range_value is not None and not clip_range_value > 0:
        raise ValueError(
            f"clip_range_value must be > 0, got {clip_range_value}. Typical: 0.2; None turns clipping off."
        )
    errors = (values - returns).where(mask, 0.0) ** 2
    if clip_range_value is not None:
        moves = (values - old_values).clamp(-clip_range_value, clip_range_value)
        clipped_errors = (old_values + moves - returns).where(mask, 0.0) ** 2
        errors = torch.maximum(errors, clipped_errors)
    return masked_mean(errors, mask) / 2


def masked_mean(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The mean of x where the mask is True. NaN if it is nowhere (as a loss without labels in torch)."""
    return x.where(mask, 0.0).sum() / mask.sum()


def whiten(
    x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], *, shift_mean: bool = True
) -> Float[Tensor, "*shape"]:
    """(x - mean) / deviation over all tokens of the mask together; 0 elsewhere.

    Advantages are then of size 1 whatever the reward's scale, and one learning rate suits all.
    `shift_mean=False` puts the mean back: for rewards, whose sign means something. The variance divides by n,
    and 1e-8 is added to it, as in Ziegler et al.; equal numbers become 0 (or their mean).
    """
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    whitened = (x - mean) * torch.rsqrt(variance + 1e-8)
    if not shift_mean:
        whitened = whitened + mean
    return whitened.where(mask, 0.0)


def entropy(logits: Float[Tensor, "*shape V"]) -> Float[Tensor, "*shape"]:
    """-sum_v p_v log p_v at each position, in nats and float32 at least.

    log V for equal logits, 0 for a sure thing. Tokens excluded by a logit of -inf count 0.
    """
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    logps = logits.log_softmax(dim=-1)
    # 0 * -inf would be NaN
    return -(logps.exp() * logps.where(logps > -torch.inf, 0.0)).sum(dim=-1)


def explained_variance(
    values: Float[Tensor, "*shape"], returns: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """1 - Var(returns - values) / Var(returns) over the tokens of the mask.

    1: the values foresee the returns; 0: no better than a constant; negative: worse. 0 where the returns vary
    by less than a millionth of their size: there is nothing to explain.
    """

    def variance(x: Tensor) -> Tensor:
        return masked_mean((x - masked_mean(x, mask)) ** 2, mask)

    total = variance(returns)
    varies = total > 1e-12 * masked_mean(returns**2, mask)  # less is float32's rounding of the mean
    return torch.where(varies, 1 - variance(returns - values) / total, 0.0)
