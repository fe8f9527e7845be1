"""Cross-entropy: how surprised the model is by the token that came, in nats.

A model gives V logits x for the next token y. Its probability of token v is softmax(x)_v = exp(x_v) / sum_u
exp(x_u), so the surprise at y is

    -log softmax(x)_y = logsumexp(x) - x_y

Divide by log 2 for bits. A model that knows nothing (all logits equal) is surprised by log V.

Read first in this room. Used by models/gpt.py and train/; the version that never holds all the logits is in
linear_cross_entropy.py. Taught in `loss-functions`.
Sources: label smoothing, Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7; z-loss,
Chowdhery et al. 2022 (PaLM), https://arxiv.org/abs/2204.02311, section 5; soft cap, Gemma 2 2024,
https://arxiv.org/abs/2408.00118.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["IGNORE_INDEX", "Reduction", "count_targets", "cross_entropy", "fast_cross_entropy", "soft_cap"]

IGNORE_INDEX = -100
"""The label of a position that is no target (padding, a given prompt). The same value as in torch."""

Reduction = Literal["mean", "sum", "none"]
"""`sum` is what a trainer needs: it divides by the targets of all micro-batches and all machines together."""


def count_targets(labels: Int[Tensor, "*shape"], *, ignore_index: int = IGNORE_INDEX) -> Int[Tensor, ""]:
    """The number of labels that count. A tensor, so that a GPU is not made to wait."""
    return (labels != ignore_index).sum()


def soft_cap(logits: Float[Tensor, "*shape"], cap: float) -> Float[Tensor, "*shape"]:
    """cap * tanh(logits / cap): near the identity for small logits, never beyond ±cap.

    Raises:
        ValueError: if cap <= 0.
    """
    if cap <= 0:
        raise ValueError(f"the soft cap must be > 0, got {cap}. Typical: 15 to 50; None turns it off.")
    return cap * torch.tanh(logits / cap)


def cross_entropy(
    logits: Float[Tensor, "N V"],
    labels: Int[Tensor, " N"],
    *,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " N"]:
    """Cross-entropy written out, in nats. Equals F.cross_entropy (and adds the z-loss).

    With `label_smoothing` e the target is a mixture: 1 - e on the label, e spread evenly over all V tokens.
    `z_loss` adds z_loss * logsumexp(x)^2, which keeps the logits from drifting (PaLM uses 1e-4).
    Ignored positions count zero; the mean is over the others, and is NaN if there are none (as in torch).

    Raises:
        ValueError: for a label that is neither ignored nor in [0, V), or an option out of range.
    """
    check_options(label_smoothing, z_loss, reduction)
    check_labels(labels, logits.shape[1], ignore_index)

    is_target = labels != ignore_index
    safe_labels = labels.where(is_target, 0)  # any valid index: these rows are zeroed below

    # Subtract the largest logit: exp never overflows, the largest term is exp(0) = 1, and large numbers
    # cancel before they are added. The loss does not change, so no gradient need flow through the maximum
    # (detach)
    largest = logits.max(dim=1, keepdim=True).values.detach()
    shifted = logits - largest
    log_sum_exp = shifted.exp().sum(dim=1).log()

    label_logit = shifted.gather(1, safe_labels[:, None].long()).squeeze(1)
    loss = log_sum_exp - (1 - label_smoothing) * label_logit
    if label_smoothing > 0:
        loss = loss - label_smoothing * shifted.mean(dim=1)
    if z_loss > 0:
        loss = loss + z_loss * (log_sum_exp + largest.squeeze(1)) ** 2
    loss = loss.where(is_target, 0.0)

    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    return loss.sum() / is_target.sum()


def fast_cross_entropy(
    logits: Float[Tensor, "N V"],
    labels: Int[Tensor, " N"],
    *,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " N"]:
    """The same on torch's fused kernel; logits of half precision are raised to float32 first.

    Labels are not checked beforehand (that would make a GPU wait); torch reports those out of range.

    Raises:
        ValueError: for an option out of range.
    """
    check_options(label_smoothing, z_loss, reduction)
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    loss = F.cross_entropy(
        logits, labels.long(), ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction
    )
    if z_loss > 0:
        is_target = labels != ignore_index
        squared = (logits.logsumexp(dim=1) ** 2).where(is_target, 0.0)
        if reduction == "sum":
            squared = squared.sum()
        elif reduction == "mean":
            squared = squared.sum() / is_target.sum()
        loss = loss + z_loss * squared
    return loss


def check_options(label_smoothing: float, z_loss: float, reduction: str) -> None:
    """Reject options that mean nothing.

    Raises:
        ValueError: naming the option, its value and the range.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}. Typical: 0 or 0.1.")
    if z_loss < 0:
        raise ValueError(f"z_loss must be >= 0, got {z_loss}. Typical: 0 or 0.0001.")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")


def check_labels(labels: Tensor, num_classes: int, ignore_index: int) -> None:
    """Find a label that no logit belongs to. Reads the labels, so a GPU waits for it.

    Raises:
        ValueError: naming the first such label.
    """
    is_wrong = (labels != ignore_index) & ((labels < 0) | (labels >= num_classes))
    if is_wrong.any():
        wrong = int(labels[is_wrong][0])
        raise ValueError(
            f"label {wrong} is outside [0, {num_classes}) and is not ignore_index={ignore_index}. "
            "Were the tokens made with a larger vocabulary than the model's?"
        )
