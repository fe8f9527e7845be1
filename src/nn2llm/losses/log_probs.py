"""What a model thinks of given tokens: log p of each, and of whole replies.

`labels[b, t]` is the token after position t, or -100 where nothing is asked (the prompt, padding), as
everywhere in this project. So a reply's log-probability is the sum of its row: what DPO compares and PPO's
ratios are made of.

Read after cross_entropy.py: a log-probability is its negative. Used by train/dpo.py, train/ppo.py and
generation/.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nn2llm.losses.cross_entropy import IGNORE_INDEX, fast_cross_entropy, soft_cap

__all__ = ["compute_logprobs", "mean_logps", "sum_logps"]


def compute_logprobs(
    source: Float[Tensor, "B T V"] | tuple[Float[Tensor, "B T C"], Float[Tensor, "V C"]],
    labels: Int[Tensor, "B T"],
    *,
    softcap: float | None = None,
    max_logits: int = 2**26,
) -> Float[Tensor, "B T"]:
    """log p(labels[b, t] | what stands before), in nats; 0 where the label is -100.

    `source` is the logits, or the pair (hidden states, head weight): then only rows with a label meet the
    head, and at most `max_logits` logits (by default 256 MB in float32) stand in memory at a time, their
    softmax being computed again for the gradient. The result is float32 at least.

    `softcap` is the model's `logit_softcap`, applied to the logits made here; logits that are passed have it.

    Raises:
        ValueError: for a softcap beside logits, or one that is not above 0.
    """
    if isinstance(source, Tensor):
        if softcap is not None:
            raise ValueError(
                f"softcap={softcap} is for (hidden, head weight): GPT.compute_logits has capped these logits."
            )
        return -fast_cross_entropy(source.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)

    hidden, weight = source
    rows = (labels != IGNORE_INDEX).flatten().nonzero().squeeze(1)
    targets = labels.flatten()[rows]
    hidden = hidden.flatten(0, 1)[rows]
    chunk_size = max(1, max_logits // weight.shape[0])
    if len(rows) <= chunk_size:
        logprobs = _compute_rows(hidden, weight, targets, softcap)
    else:
        pieces = []
        for piece, piece_targets in zip(hidden.split(chunk_size), targets.split(chunk_size), strict=True):
            if torch.is_grad_enabled():
                logprobs = checkpoint(
                    _compute_rows,
                    piece,
                    weight,
                    piece_targets,
                    softcap,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            else:
                logprobs = _compute_rows(piece, weight, piece_targets, softcap)
            pieces.append(logprobs)
        logprobs = torch.cat(pieces)
    return logprobs.new_zeros(labels.numel()).index_copy(0, rows, logprobs).view_as(labels)


def sum_logps(logprobs: Float[Tensor, "B T"]) -> Float[Tensor, " B"]:
    """log p(reply | prompt) of each row, in nats: the sum over its tokens. The others hold 0."""
    return logprobs.sum(dim=1)


def mean_logps(logprobs: Float[Tensor, "B T"], labels: Int[Tensor, "B T"]) -> Float[Tensor, " B"]:
    """The same divided by the row's labels that count: nats a token. 0 for a row without any.

    For losses normalised by length, such as IPO as TRL computes it.
    """
    return logprobs.sum(dim=1) / (labels != IGNORE_INDEX).sum(dim=1).clamp(min=1)


def _compute_rows(
    hidden: Float[Tensor, "N C"],
    weight: Float[Tensor, "V C"],
    targets: Int[Tensor, " N"],
    softcap: float | None,
) -> Float[Tensor, " N"]:
    logits = F.linear(hidden, weight)
    if softcap is not None:
        logits = soft_cap(logits, softcap)
    return -fast_cross_entropy(logits, targets, reduction="none")
