"""Direct Preference Optimization and its family: learn from pairs, without a reward model.

The policy that maximises reward - beta KL(policy || ref) is ref(y) exp(r(y) / beta) / Z. Solved for the
reward: r(y) = beta log(policy(y) / ref(y)) + beta log Z, where Z depends on the prompt alone and cancels in a
pair. So the policy holds a reward of its own, and preference losses can be put on it directly. With the gap
of log-ratios

    h = log(policy(chosen) / ref(chosen)) - log(policy(rejected) / ref(rejected))

the family is:    DPO     -log sigmoid(beta h)
                  cDPO    -(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h)
                  hinge   max(0, 1 - beta h)
                  IPO     (h - 1 / (2 beta))^2

DPO pushes h up without end. That overfits where labels are few or wrong: cDPO takes a share e of them for
wrong, IPO asks for a fixed gap, and both have their lowest point at a finite h.

Read after preference.py (DPO is its loss on implicit rewards) and log_probs.py, which makes the inputs. Used
by train/dpo.py. All inputs are log p(reply | prompt) of P pairs, in nats, summed over the reply's tokens.
Sources: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, eq. 5 and 7; IPO: Azar et al. 2023,
https://arxiv.org/abs/2310.12036, eq. 17; cDPO: Mitchell 2023, https://ericmitchell.ai/cdpo.pdf; hinge: Zhao
et al. 2023 (SLiC), https://arxiv.org/abs/2305.10425, and Liu et al. 2023 (RSO),
https://arxiv.org/abs/2309.06657.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["cdpo_loss", "dpo_loss", "hinge_loss", "implicit_rewards", "ipo_loss"]


def dpo_loss(
    policy_chosen_logps: Float[Tensor, " P"],
    policy_rejected_logps: Float[Tensor, " P"],
    ref_chosen_logps: Float[Tensor, " P"],
    ref_rejected_logps: Float[Tensor, " P"],
    *,
    beta: float,
) -> Float[Tensor, " P"]:
    """DPO's loss of each pair, -log sigmoid(beta h), in nats (Rafailov et al., eq. 7).

    Equals log 2 where policy and reference agree.

    Raises:
        ValueError: if beta <= 0.
    """
    _check_beta(beta)
    gaps = _compute_gaps(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    # logsigmoid: log(sigmoid(x)) becomes -inf for badly ranked pairs
    return -F.logsigmoid(beta * gaps)


def cdpo_loss(
    policy_chosen_logps: Float[Tensor, " P"],
    policy_rejected_logps: Float[Tensor, " P"],
    ref_chosen_logps: Float[Tensor, " P"],
    ref_rejected_logps: Float[Tensor, " P"],
    *,
    beta: float,
    label_smoothing: float,
) -> Float[Tensor, " P"]:
    """Conservative DPO: DPO's loss if each label is wrong with chance `label_smoothing` (e), in nats.

    -(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h), lowest where sigmoid(beta h) = 1 - e (Mitchell).
    With e = 0 this is `dpo_loss`. TRL's "robust" loss is another one: it subtracts the second term and
    divides by 1 - 2e, which gives DPO's loss on true labels in expectation, and has no lower bound.

    Raises:
        ValueError: if beta <= 0, or label_smoothing is not in [0, 0.5).
    """
    _check_beta(beta)
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(
            f"label_smoothing must be in [0, 0.5), got {label_smoothing}: it is the chance that a "
            "label is wrong, and from 0.5 on labels would tell nothing."
        )
    gaps = _compute_gaps(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    right, wrong = -F.logsigmoid(beta * gaps), -F.logsigmoid(-beta * gaps)
    return (1 - label_smoothing) * right + label_smoothing * wrong


def hinge_loss(
    policy_chosen_logps: Float[Tensor, " P"],
    policy_rejected_logps: Float[Tensor, " P"],
    ref_chosen_logps: Float[Tensor, " P"],
    ref_rejected_logps: Float[Tensor, " P"],
    *,
    beta: float,
) -> Float[Tensor, " P"]:
    """max(0, 1 - beta h) of each pair (RSO's "hinge-norm"): once beta h reaches 1 a pair teaches no more.

    Equals 1 where policy and reference agree.

    Raises:
        ValueError: if beta <= 0.
    """
    _check_beta(beta)
    gaps = _compute_gaps(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    return F.relu(1 - beta * gaps)


def ipo_loss(
    policy_chosen_logps: Float[Tensor, " P"],
    policy_rejected_logps: Float[Tensor, " P"],
    ref_chosen_logps: Float[Tensor, " P"],
    ref_rejected_logps: Float[Tensor, " P"],
    *,
    beta: float,
) -> Float[Tensor, " P"]:
    """IPO's loss of each pair, (h - 1 / (2 beta))^2, in nats squared (Azar et al., eq. 17; beta: their tau).

    Equals 1 / (4 beta^2) where policy and reference agree; zero where the gap is 1 / (2 beta).

    The paper's h is of summed log-probabilities. TRL 1.16 divides each reply's by its tokens, so that long
    replies do not weigh more (a comment there says that IPO's authors did so too): pass `mean_logps` for
    that. The gap to reach is then 1 / (2 beta) nats a token, so beta means something else.

    Raises:
        ValueError: if beta <= 0.
    """
    _check_beta(beta)
    gaps = _compute_gaps(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    return (gaps - 1 / (2 * beta)) ** 2


def implicit_rewards(
    policy_logps: Float[Tensor, " P"], ref_logps: Float[Tensor, " P"], beta: float
) -> Float[Tensor, " P"]:
    """beta log(policy / ref) of each reply: the reward for which this policy is the best (eq. 5, without Z).

    Known up to a constant of the prompt, so compare replies to one prompt only. 0 where the two agree.

    Raises:
        ValueError: if beta <= 0.
    """
    _check_beta(beta)
    return beta * (policy_logps - ref_logps)


def _compute_gaps(
    policy_chosen: Tensor, policy_rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor
) -> Tensor:
    return (policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)


def _check_beta(beta: float) -> None:
    if not beta > 0:
        raise ValueError(f"beta must be > 0, got {beta}. Typical: 0.05 to 0.5.")
