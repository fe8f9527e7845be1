"""The feed-forward sublayer: the same small network at every position.

GELU (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415) in its exact form and in the tanh form that
GPT-2 has; ReLU squared (So et al. 2021, https://arxiv.org/abs/2109.08668); SwiGLU (Shazeer 2020,
https://arxiv.org/abs/2002.05202). The functions are the versions to read; the module calls torch's kernels.
Taught in `activations` and `feed-forward`.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "FeedForward", "gelu", "gelu_tanh", "relu_squared", "silu", "swiglu"]


def gelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x times the probability that a standard normal lies below x (eq. 2)."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def gelu_tanh(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The tanh approximation of GELU (section 2), `gelu_new` on HuggingFace; within 5e-4 of `gelu`."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def relu_squared(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """max(x, 0) squared: as cheap as ReLU, with a slope that has no jump."""
    return F.relu(x).square()


def silu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x times the sigmoid of x, also called swish."""
    return x * torch.sigmoid(x)


def swiglu(gate: Float[Tensor, "*shape"], value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """silu(gate) times value (eq. 6): one half of the hidden layer opens and closes the other."""
    return silu(gate) * value


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": relu_squared,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}
"""What `FeedForward` calls, by the name a config gives it."""


class FeedForward(nn.Module):
    """Two linear layers with a nonlinearity between them, or SwiGLU's three.

    Parameters: 2 C H' without SwiGLU, 3 C H' with it, H' = n_hidden; plus biases.
    """

    def __init__(self, n_embd: int, n_hidden: int, *, kind: str, bias: bool) -> None:
        super().__init__()
        if kind != "swiglu" and kind not in ACTIVATIONS:
            names = ", ".join(["swiglu", *ACTIVATIONS])
            raise ValueError(f"feed_forward must be one of {names}, got {kind!r}.")
        self.kind = kind
        self.gate = nn.Linear(n_embd, n_hidden, bias=bias) if kind == "swiglu" else None
        self.up = nn.Linear(n_embd, n_hidden, bias=bias)
        self.down = nn.Linear(n_hidden, n_embd, bias=bias)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Shape in, shape out; no position sees another."""
        if self.gate is not None:
            return self.down(F.silu(self.gate(x)) * self.up(x))
        return self.down(ACTIVATIONS[self.kind](self.up(x)))
