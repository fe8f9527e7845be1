"""What training minimises: pure functions on tensors, in nats.

Read cross_entropy.py first, then linear_cross_entropy.py; regression.py is for the first lessons. For
learning from preferences: preference.py, log_probs.py, dpo.py; kl.py, gae.py, ppo.py, grpo.py. Each loss has
a version to read and, where torch has one, the fast call it equals; tests hold them together.
"""

from nn2llm.losses.cross_entropy import (
    IGNORE_INDEX,
    count_targets,
    cross_entropy,
    fast_cross_entropy,
    soft_cap,
)
from nn2llm.losses.dpo import cdpo_loss, dpo_loss, hinge_loss, implicit_rewards, ipo_loss
from nn2llm.losses.gae import Advantages, compute_gae
from nn2llm.losses.grpo import GroupPolicyLoss, group_advantages, grpo_loss
from nn2llm.losses.kl import exact_kl, kl_k1, kl_k2, kl_k3
from nn2llm.losses.linear_cross_entropy import linear_cross_entropy
from nn2llm.losses.log_probs import compute_logprobs, mean_logps, sum_logps
from nn2llm.losses.ppo import (
    PolicyLoss,
    clipped_value_loss,
    entropy,
    explained_variance,
    masked_mean,
    ppo_policy_loss,
    whiten,
)
from nn2llm.losses.preference import bradley_terry_loss, centering_penalty
from nn2llm.losses.regression import binary_cross_entropy_with_logits, mse_loss

__all__ = [
    "IGNORE_INDEX",
    "Advantages",
    "GroupPolicyLoss",
    "PolicyLoss",
    "binary_cross_entropy_with_logits",
    "bradley_terry_loss",
    "cdpo_loss",
    "centering_penalty",
    "clipped_value_loss",
    "compute_gae",
    "compute_logprobs",
    "count_targets",
    "cross_entropy",
    "dpo_loss",
    "entropy",
    "exact_kl",
    "explained_variance",
    "fast_cross_entropy",
    "group_advantages",
    "grpo_loss",
    "hinge_loss",
    "implicit_rewards",
    "ipo_loss",
    "kl_k1",
    "kl_k2",
    "kl_k3",
    "linear_cross_entropy",
    "masked_mean",
    "mean_logps",
    "mse_loss",
    "ppo_policy_loss",
    "soft_cap",
    "sum_logps",
    "whiten",
]
