"""Stochastic gradient descent: walk downhill, with momentum to keep going.

Read first in this room. Used by lessons; equals torch.optim.SGD. Taught in `gradient-descent`.
Sources: Polyak 1964 (momentum); Sutskever et al. 2013 (Nesterov's),
https://proceedings.mlr.press/v28/sutskever13.html.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

__all__ = ["SGD"]


class SGD(Optimizer):
    """w <- w - lr * d, where d is the gradient, or a running sum of gradients.

    With momentum m:         v <- m v + (1 - dampening) g     (v starts as the first g)     d = v
    and nesterov:            d = g + m v      (look one step ahead along the momentum)
    Weight decay adds weight_decay * w to g: the gradient of an L2 penalty weight_decay / 2 * |w|^2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        """Raises ValueError for a negative setting, or nesterov without momentum or with dampening."""
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"{name} must be >= 0, got {value}.")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(f"nesterov needs momentum > 0 and dampening 0, got {momentum} and {dampening}.")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Tensor | float | None:  # type: ignore[override]
        """Move every parameter that has a gradient. `closure`, if given, computes the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad
                if group["weight_decay"] != 0:
                    g = g + group["weight_decay"] * w
                if group["momentum"] != 0:
                    state = self.state[w]
                    if "momentum_buffer" not in state:
                        state["momentum_buffer"] = g.clone()
                    else:
                        state["momentum_buffer"].mul_(group["momentum"]).add_(g, alpha=1 - group["dampening"])
                    v = state["momentum_buffer"]
                    g = g + group["momentum"] * v if group["nesterov"] else v
                w -= group["lr"] * g
        return loss
