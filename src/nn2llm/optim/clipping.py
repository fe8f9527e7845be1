"""Gradient clipping: bound the length of one step's gradient, keep its direction.

Used by train/. Equals torch.nn.utils.clip_grad_norm_. Taught in `training-loop`.
Source: Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["clip_grad_norm"]


@torch.no_grad()
def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients together so that their joint L2 norm is at most `max_norm`; return the norm before.

    The norm is a tensor and no value is read, so a GPU is not made to wait. `max_norm` = inf only measures.
    One NaN or infinite gradient makes the norm NaN or inf, and scaling then spreads NaN or zeroes the rest:
    nothing is hidden, so check the returned norm before the optimizer's step (train/ stops there).

    Raises:
        ValueError: if max_norm <= 0.
    """
    if not max_norm > 0:
        raise ValueError(
            f"max_norm must be > 0, got {max_norm}. Typical: 1.0; inf measures without clipping."
        )
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return torch.zeros(())
    # the norm of all is the norm of the norms
    norms = torch._foreach_norm(grads)
    total = torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))
    if max_norm == float("inf"):
        return total
    factor = (max_norm / (total + 1e-6)).clamp(max=1.0)  # 1e-6 as in torch: a zero gradient stays zero
    for grad in grads:
        grad.mul_(factor.to(grad.device))
    return total
