"""Adam and AdamW: a step of its own size for every weight.

Adam divides each weight's mean gradient by the root of its mean squared gradient, so that a step is about
lr whatever the gradient's scale. AdamW shrinks the weights beside that step (decoupled decay), not through
the gradient, where the division would undo it.

Read after sgd.py. Used by lessons; equal to torch.optim.Adam and AdamW, whose fused version trains
(combined.py). Taught in `momentum-and-adam`.
Sources: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1; Loshchilov and Hutter 2019,
https://arxiv.org/abs/1711.05101, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Algorithm 1 of Kingma and Ba, for step t = 1, 2, …:

    m <- beta1 m + (1 - beta1) g            mean of gradients
    v <- beta2 v + (1 - beta2) g^2          mean of squares
    w <- w - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    m and v start at 0, so early they are too small by 1 - beta^t; dividing by it corrects that.
    Weight decay adds weight_decay * w to g.
    """

    decoupled_weight_decay = False

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Raises ValueError for a negative setting or a beta outside [0, 1)."""
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"{name} must be >= 0, got {value}.")
        for beta in betas:
            if not 0 <= beta < 1:
                raise ValueError(
                    f"betas must be in [0, 1), got {betas}. Typical: (0.9, 0.95) for language models."
                )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Tensor | float | None:  # type: ignore[override]
        """Move every parameter that has a gradient. `closure`, if given, computes the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        for group in self.param_groups:
            lr, eps, weight_decay = group["lr"], group["eps"], group["weight_decay"]
            beta1, beta2 = group["betas"]
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad
                if weight_decay != 0:
                    if self.decoupled_weight_decay:
                        w *= 1 - lr * weight_decay
                    else:
                        g = g + weight_decay * w

                state = self.state[w]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    state["exp_avg"] = torch.zeros_like(w)
                    state["exp_avg_sq"] = torch.zeros_like(w)
                state["step"] += 1
                t = state["step"].item()
                m, v = state["exp_avg"], state["exp_avg_sq"]

                m.mul_(beta1).add_(g, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
                m_hat = m / (1 - beta1**t)
                v_hat = v / (1 - beta2**t)
                w -= lr * m_hat / (v_hat.sqrt() + eps)
        return loss


class AdamW(Adam):
    """Adam, with w <- (1 - lr * weight_decay) w before the step in place of the L2 penalty."""

    decoupled_weight_decay = True

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        """Raises ValueError for a negative setting or a beta outside [0, 1)."""
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
