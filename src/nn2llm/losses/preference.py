"""What trains a reward model: the Bradley-Terry loss on pairs, with a margin, and a penalty that centres it.

A labeller saw two replies to one prompt and chose one. Bradley and Terry say: with scores r,

    P(chosen beats rejected) = sigmoid(r_chosen - r_rejected)

so the surprise at the choice is -log sigmoid(r_chosen - r_rejected). Only differences count: adding a
constant to all scores changes nothing, and the centring penalty takes that freedom away.

Read after cross_entropy.py (this is binary cross-entropy of a difference). Used by train/reward.py; dpo.py
puts log-ratios in the place of scores.
Sources: Bradley and Terry 1952; Ouyang et al. 2022 (InstructGPT), https://arxiv.org/abs/2203.02155, eq. 1;
margin: Touvron et al. 2023 (Llama 2), https://arxiv.org/abs/2307.09288, eq. 2; centring: Eisenstein et al.
2023, https://arxiv.org/abs/2312.09244.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["bradley_terry_loss", "centering_penalty"]


def bradley_terry_loss(
    chosen_scores: Float[Tensor, " P"],
    rejected_scores: Float[Tensor, " P"],
    *,
    margins: Float[Tensor, " P"] | None = None,
) -> Float[Tensor, " P"]:
    """-log sigmoid(r_chosen - r_rejected - margin) of each of P pairs, in nats.

    log 2 where the scores differ by just the margin. A margin (0 or more, in nats of log-odds) asks for a
    larger gap where the labeller was sure; without margins they are 0. Average over the pairs to train.
    """
    gaps = chosen_scores - rejected_scores
    if margins is not None:
        gaps = gaps - margins
    # logsigmoid: log(sigmoid(x)) becomes -inf for badly ranked pairs
    return -F.logsigmoid(gaps)


def centering_penalty(
    chosen_scores: Float[Tensor, " P"], rejected_scores: Float[Tensor, " P"]
) -> Float[Tensor, " P"]:
    """(r_chosen + r_rejected)^2 of each of P pairs: zero where the pair's scores stand around 0.

    Its gradient is along r_chosen + r_rejected alone, so it does not pull the two scores together. Add it
    with a small coefficient (TRL's `center_rewards_coefficient`; typical: 0.01).
    """
    return (chosen_scores + rejected_scores) ** 2
