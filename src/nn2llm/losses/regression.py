"""Losses of the first lessons: squared error for numbers, binary cross-entropy for yes or no.

Read before or after cross_entropy.py. Used by models/mlp.py's lessons.
Both equal torch's functions of the same name.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nn2llm.losses.cross_entropy import Reduction

__all__ = ["binary_cross_entropy_with_logits", "mse_loss"]


def mse_loss(
    predictions: Float[Tensor, "*shape"], targets: Float[Tensor, "*shape"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "*reduced"]:
    """Squared error, (prediction - target)^2: up to a constant the surprise, if errors are Gaussian.

    Raises:
        ValueError: if the shapes differ (torch would broadcast [N] against [N, 1] and learn nonsense).
    """
    _check_shapes(predictions, targets)
    return _reduce((predictions - targets) ** 2, reduction)


def binary_cross_entropy_with_logits(
    logits: Float[Tensor, "*shape"], targets: Float[Tensor, "*shape"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "*reduced"]:
    """-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), in nats, for targets t in [0, 1].

    With log sigmoid(x) = -log(1 + e^-x) this is x - x t + log(1 + e^-x). For x << 0 the power e^-x
    overflows, so it is turned: max(x, 0) - x t + log(1 + e^-|x|), equal for either sign.

    Raises:
        ValueError: if the shapes differ.
    """
    _check_shapes(logits, targets)
    return _reduce(logits.clamp(min=0) - logits * targets + (-logits.abs()).exp().log1p(), reduction)


def _check_shapes(predictions: Tensor, targets: Tensor) -> None:
    if predictions.shape != targets.shape:
        raise ValueError(
            f"predictions {tuple(predictions.shape)} and targets {tuple(targets.shape)} must have one shape. "
            "Use squeeze or unsqueeze on one of them."
        )


def _reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")
