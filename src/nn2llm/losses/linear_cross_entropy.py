"""Cross-entropy of a linear layer, without ever holding all its logits.

The last layer of a language model is the largest tensor of all: 8 rows of 1,024 tokens with GPT-2's
vocabulary make 8,192 x 50,257 logits, 1.6 GB in float32, and their gradient as much again. Yet each row of
logits is used once. So take a chunk of rows at a time: compute its logits, its loss, and at once the
gradients of the loss with respect to the hidden states and the weight; then forget the logits. The loss is
a scalar, so its gradient by any later operation is only a factor, which backward multiplies in.

For one row with logits x = W h, l = soft_cap(x), L = logsumexp(l), p = softmax(l), label y and smoothing e:

    loss   = L - (1 - e) l_y - e mean(l) + z L^2
    d/dl   = p (1 + 2 z L) - (1 - e) onehot(y) - e / V
    d/dx   = d/dl * (1 - (l / cap)^2)                       since tanh' = 1 - tanh^2
    d/dh   = W^T d/dx,      d/dW = d/dx h^T

Read after cross_entropy.py, whose result this equals. Used by models/gpt.py for large vocabularies.
Source of the idea: Wijmans et al. 2024, "Cut Your Losses", https://arxiv.org/abs/2411.09009 (as a kernel).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from nn2llm.losses.cross_entropy import (
    IGNORE_INDEX,
    Reduction,
    check_options,
    fast_cross_entropy,
    soft_cap,
)

__all__ = ["linear_cross_entropy"]


def linear_cross_entropy(
    hidden: Float[Tensor, "N C"],
    weight: Float[Tensor, "V C"],
    labels: Int[Tensor, " N"],
    *,
    chunk_size: int = 1024,
    softcap: float | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    ignore_index: int = IGNORE_INDEX,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""]:
    """cross_entropy(soft_cap(hidden @ weight.T), labels), with at most `chunk_size` rows of logits in memory.

    Under autocast the matrix products run in its precision; logits, loss and softmax are float32 at least,
    and the weight's gradient is summed over chunks in float32. Gradients are made in the forward pass (if
    anything needs them), so backward is cheap; it cannot be differentiated again. Inside torch.compile all
    logits are held at once: leave the loss outside, as train/ does.

    Raises:
        ValueError: if chunk_size < 1, reduction is "none", or an option is out of range.
    """
    check_options(label_smoothing, z_loss, reduction)
    if reduction == "none":
        raise ValueError(
            "reduction must be 'mean' or 'sum' here, got 'none': the gradients are made for one scalar."
        )
    if chunk_size < 1:
        raise ValueError(
            f"chunk_size must be at least 1, got {chunk_size}. Typical: 512 to 4096 rows of logits."
        )
    if softcap is not None and softcap <= 0:
        raise ValueError(f"the soft cap must be > 0, got {softcap}. Typical: 15 to 50; None turns it off.")

    if torch.compiler.is_compiling():
        # torch 2.11 on a GPU compiles the function below into a loss without any gradient, and says nothing.
        logits = hidden @ weight.T
        capped = logits if softcap is None else soft_cap(logits.float(), softcap)
        return fast_cross_entropy(
            capped,
            labels,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            reduction=reduction,
        )

    device_type = hidden.device.type
    if torch.is_autocast_enabled(device_type):
        product_dtype = torch.get_autocast_dtype(device_type)
    else:
        product_dtype = torch.promote_types(hidden.dtype, weight.dtype)
    # asked here, because inside the function gradient mode is always off
    needs_grad = torch.is_grad_enabled()
    loss: Tensor = _LinearCrossEntropy.apply(
        hidden,
        weight,
        labels.long(),
        chunk_size,
        softcap,
        z_loss,
        label_smoothing,
        ignore_index,
        product_dtype,
        needs_grad and hidden.requires_grad,
        needs_grad and weight.requires_grad,
    )
    if reduction == "mean":
        # after the function, not inside: the gradients it makes are then near 1 and do not underflow in
        # half precision
        loss = loss / (labels != ignore_index).sum()
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    """The summed loss. Forward makes the gradients for a grad_output of 1; backward scales them."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        chunk_size: int,
        softcap: float | None,
        z_loss: float,
        label_smoothing: float,
        ignore_index: int,
        product_dtype: torch.dtype,
        needs_hidden_grad: bool,
        needs_weight_grad: bool,
    ) -> Tensor:
        loss_dtype = torch.promote_types(product_dtype, torch.float32)
        loss = hidden.new_zeros((), dtype=loss_dtype)
        grad_hidden = torch.empty_like(hidden) if needs_hidden_grad else None
        grad_weight = torch.zeros_like(weight, dtype=loss_dtype) if needs_weight_grad else None

        with torch.autocast(hidden.device.type, enabled=False):  # dtypes are chosen by hand below
            product_weight = weight.to(product_dtype)
            for start in range(0, hidden.shape[0], chunk_size):
                rows = slice(start, start + chunk_size)
                chunk_hidden = hidden[rows].to(product_dtype)
                logits = (chunk_hidden @ product_weight.T).to(loss_dtype)
                if softcap is not None:
                    logits.div_(softcap).tanh_().mul_(softcap)
                capped = (
                    logits.clone()
                    if softcap is not None and (needs_hidden_grad or needs_weight_grad)
                    else None
                )
                chunk_loss, grad_logits = _loss_and_grad_of_logits(
                    logits, labels[rows], z_loss, label_smoothing, ignore_index
                )
                loss += chunk_loss
                if capped is not None and softcap is not None:
                    grad_logits.mul_(capped.div_(softcap).square_().neg_().add_(1))
                grad_logits = grad_logits.to(product_dtype)
                if grad_hidden is not None:
                    grad_hidden[rows] = grad_logits @ product_weight
                if grad_weight is not None:
                    if product_dtype == loss_dtype:
                        grad_weight.addmm_(grad_logits.T, chunk_hidden)
                    else:
                        grad_weight += grad_logits.T @ chunk_hidden

        ctx.save_for_backward(*(g for g in (grad_hidden, grad_weight) if g is not None))
        ctx.has_grads = (grad_hidden is not None, grad_weight is not None)  # type: ignore[attr-defined]
        ctx.weight_dtype = weight.dtype  # type: ignore[attr-defined]
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        saved = list(ctx.saved_tensors)  # type: ignore[attr-defined]
        has_hidden, has_weight = ctx.has_grads  # type: ignore[attr-defined]
        grad_hidden = saved.pop(0) * grad_loss if has_hidden else None
        grad_weight = (saved.pop(0) * grad_loss).to(ctx.weight_dtype) if has_weight else None  # type: ignore[attr-defined]
        return (grad_hidden, grad_weight, *[None] * 9)


def _loss_and_grad_of_logits(
    logits: Tensor, labels: Tensor, z_loss: float, label_smoothing: float, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """The summed loss of a chunk, and its gradient, written over `logits` [n, V] to save memory."""
    num_classes = logits.shape[1]
    is_target = labels != ignore_index
    safe_labels = labels.where(is_target, 0)[:, None]

    largest = logits.max(dim=1, keepdim=True).values
    shifted = logits.sub_(largest)
    log_sum_exp = shifted.logsumexp(dim=1, keepdim=True)
    loss = log_sum_exp - (1 - label_smoothing) * shifted.gather(1, safe_labels)
    if label_smoothing > 0:
        loss -= label_smoothing * shifted.mean(dim=1, keepdim=True)
    if z_loss > 0:
        loss += z_loss * (log_sum_exp + largest) ** 2
    loss = loss.squeeze(1).where(is_target, 0.0).sum()

    grad = shifted.sub_(log_sum_exp).exp_()  # softmax
    if z_loss > 0:
        grad.mul_(1 + 2 * z_loss * (log_sum_exp + largest))
    grad.scatter_add_(1, safe_labels, grad.new_full(safe_labels.shape, label_smoothing - 1))
    if label_smoothing > 0:
        grad.sub_(label_smoothing / num_classes)
    grad.mul_(is_target[:, None])
    return loss, grad
