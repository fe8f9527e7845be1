"""The multilayer perceptron: matrices with a bend between them. The first network of the course.

    h <- activation(W h + b)      for each hidden layer;      output = W h + b

Without the activation all layers would be one matrix. Read first in this room; then gpt.py, whose blocks
hold such a network for each token. Used by lessons (XOR, digits). Taught in `nn-module` and `mlp-project`.
Sources: Glorot and Bengio 2010 (Xavier), https://proceedings.mlr.press/v9/glorot10a.html, eq. 16; He et al.
2015, https://arxiv.org/abs/1502.01852, eq. 10; SwiGLU, Shazeer 2020, https://arxiv.org/abs/2002.05202, eq.
5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from nn2llm.core.errors import ConfigError

__all__ = ["MLP", "Activation", "MLPConfig"]

Activation = Literal["relu", "gelu", "tanh", "sigmoid", "swiglu"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MLPConfig:
    """The shape of an MLP."""

    input_size: int
    """Numbers in one example."""
    hidden_sizes: tuple[int, ...] = (64,)
    """Width of each hidden layer; () is a linear model."""
    output_size: int
    """Numbers that come out: classes, or 1."""
    activation: Activation = "relu"
    """relu, gelu, tanh, sigmoid, or swiglu (a gate: twice the matrices in a hidden layer)."""
    dropout: float = 0.0
    """Chance that a hidden value is set to zero in training."""
    layer_norm: bool = False
    """Normalise each hidden layer's input to the activation."""
    init: Literal["he", "xavier"] = "he"
    """Variance of the first weights: he 2 / inputs (for relu), xavier 2 / (inputs + outputs) (for tanh)."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a setting out of range."""
        for name, size in (("input_size", self.input_size), ("output_size", self.output_size)):
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}.")
        if any(size < 1 for size in self.hidden_sizes):
            raise ConfigError(f"hidden_sizes must all be at least 1, got {self.hidden_sizes}.")
        if self.activation not in (*ACTIVATIONS, "swiglu"):
            names = ", ".join((*ACTIVATIONS, "swiglu"))
            raise ConfigError(f"unknown activation {self.activation!r}. Choose from: {names}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1), got {self.dropout}. Typical: 0 to 0.5.")
        if self.init not in ("he", "xavier"):
            raise ConfigError(f"unknown init {self.init!r}. Choose from: he, xavier.")


class MLP(nn.Module):
    """Hidden layers, then a linear head. `model.hidden[i]` and `model.head` are what the equation calls W
    and b."""

    def __init__(self, config: MLPConfig) -> None:
        """Draw the weights with torch's global generator: seed it before."""
        super().__init__()
        self.config = config
        self.hidden = nn.ModuleList()
        size = config.input_size
        for hidden_size in config.hidden_sizes:
            self.hidden.append(HiddenLayer(size, hidden_size, config))
            size = hidden_size
        self.head = nn.Linear(size, config.output_size)
        init_linear(self.head, "xavier")  # no activation follows it

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Outputs without a final activation: logits for a classifier, values for a regression."""
        h = inputs
        for layer in self.hidden:
            h = layer(h)
        output: Tensor = self.head(h)
        return output


class HiddenLayer(nn.Module):
    """activation(norm(W h + b)), then dropout. With swiglu: silu(W h + b) * (U h + c)."""

    def __init__(self, input_size: int, output_size: int, config: MLPConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.linear = nn.Linear(input_size, output_size)
        init_linear(self.linear, config.init)
        self.gate: nn.Linear | None = None
        if config.activation == "swiglu":
            self.gate = nn.Linear(input_size, output_size)
            init_linear(self.gate, config.init)
        self.norm = nn.LayerNorm(output_size) if config.layer_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, h: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """One layer."""
        z = self.norm(self.linear(h))
        z = F.silu(z) * self.gate(h) if self.gate is not None else ACTIVATIONS[self.activation](z)
        output: Tensor = self.dropout(z)
        return output


def init_linear(linear: nn.Linear, init: Literal["he", "xavier"]) -> None:
    """Gaussian weights that keep the size of signals from layer to layer, and zero bias.

    An output is a sum of `inputs` products, so its variance is inputs * Var(w) * mean(h^2). He's 2 / inputs
    makes up for relu, which halves the mean square; Xavier's 2 / (inputs + outputs) also keeps the
    gradient's size on its way back.
    """
    outputs, inputs = linear.weight.shape
    variance = 2 / inputs if init == "he" else 2 / (inputs + outputs)
    nn.init.normal_(linear.weight, std=math.sqrt(variance))
    nn.init.zeros_(linear.bias)
