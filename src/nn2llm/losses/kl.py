"""How far a policy has moved from its reference: KL(policy || ref) = E_policy[log policy(x) - log ref(x)].

Summed over the vocabulary it is exact (`exact_kl`), but needs both models' logits. From the token that the
policy drew alone, with the log-ratio d = log policy(x) - log ref(x), it can be estimated:

    k1 = d                      unbiased; negative at times, and noisy
    k2 = d^2 / 2                biased by the third order of d; never negative
    k3 = e^-d - 1 + d           unbiased; never negative. d, and a term of mean zero that undoes its swings

As a *penalty in the reward* (no gradient through it; PPO) all three do what they estimate. As a *loss* that
is differentiated over samples drawn from the policy they differ, for the samples depend on the policy too:

    the mean gradient of k1 is 0,    of k2 that of KL(policy || ref),    of k3 that of KL(ref || policy)

Read before ppo.py. Used by train/ppo.py and its figures.
Sources: Schulman 2020, http://joschu.net/blog/kl-approx.html; gradients: Tang and Munos 2025,
https://arxiv.org/abs/2506.09477.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["exact_kl", "kl_k1", "kl_k2", "kl_k3"]


def kl_k1(
    logprobs: Float[Tensor, "*shape"], ref_logprobs: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """d = log policy - log ref of tokens the policy drew, in nats: unbiased.

    Summed over a reply it estimates the KL of whole replies without bias.
    """
    return logprobs - ref_logprobs


def kl_k2(
    logprobs: Float[Tensor, "*shape"], ref_logprobs: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """d^2 / 2, in nats: close to the KL where the two are close, and its gradient is right on average."""
    return (logprobs - ref_logprobs) ** 2 / 2


def kl_k3(
    logprobs: Float[Tensor, "*shape"], ref_logprobs: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """e^-d - 1 + d, in nats: unbiased and never negative.

    It is infinite where the reference finds a token e^88 times as likely (float32): the policy does not draw
    such.
    """
    log_ratio = ref_logprobs - logprobs
    # expm1: e^x - 1 loses every digit for small x, and here x is mostly small
    return torch.expm1(log_ratio) - log_ratio


def exact_kl(
    logits: Float[Tensor, "*shape V"], ref_logits: Float[Tensor, "*shape V"]
) -> Float[Tensor, "*shape"]:
    """sum_v p_v (log p_v - log q_v) at each position, in nats.

    p = softmax(logits), q = softmax(ref_logits), in float32 at least. Tokens that the policy excludes (a
    logit of -inf) count 0; infinite where only the reference excludes one.
    """
    logps, ref_logps = (_to_float(x).log_softmax(dim=-1) for x in (logits, ref_logits))
    differences = (logps - ref_logps).where(logps > -torch.inf, 0.0)
    return (logps.exp() * differences).sum(dim=-1)


def _to_float(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
