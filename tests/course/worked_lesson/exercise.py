"""Lesson 4.4: what the learner starts from."""

import torch
from torch import nn


def scaled_dot_product_attention(query, key, value, mask):
    """Attention, equation (4.4.1).

    Args:
        query: shape (B, H, T, D).
        key, value: shape (B, H, S, D).
        mask: booleans that broadcast to (B, H, T, S), True where a query may look; or None.

    Returns:
        Shape (B, H, T, D).
    """
    ...


class LayerNorm(nn.Module):
    """Equation (4.4.3), over the last dimension."""

    def __init__(self, size, eps=1e-5):
        super().__init__()
        ...

    def forward(self, x):
        ...


def train(x, y, num_steps, learning_rate):
    """Fit y = x @ weight by gradient steps from zeros; returns weight, shape (D,)."""
    weight = torch.zeros(x.shape[1], requires_grad=True)
    for _ in range(num_steps):
        loss = ((x @ weight - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            weight -= learning_rate * weight.grad
    return weight.detach()
