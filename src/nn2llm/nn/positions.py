"""Positions: how attention, which sees a set, learns the order of the tokens.

Sinusoidal (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5) adds a fixed vector to each
embedding; a learned table (GPT-2) adds a trained one; rotary embedding (RoPE, Su et al. 2021,
https://arxiv.org/abs/2104.09864) turns queries and keys by an angle that grows with the position, so that
their product depends on the distance alone. Taught in `positions` and `rope-and-alibi`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["apply_rope", "positions_of", "rope_tables", "sinusoidal_positions"]


def sinusoidal_positions(max_seq_len: int, n_embd: int) -> Float[Tensor, "T C"]:
    """Row t holds sin(t w_i) in its even and cos(t w_i) in its odd columns, w_i = 10000^(-2i/C).

    Raises:
        ValueError: if n_embd is odd.
    """
    if n_embd % 2:
        raise ValueError(f"n_embd must be even for sinusoidal positions, got {n_embd}.")
    positions = torch.arange(max_seq_len, dtype=torch.float64)[:, None]
    frequencies = 10000.0 ** (-torch.arange(0, n_embd, 2, dtype=torch.float64) / n_embd)
    table = torch.empty(max_seq_len, n_embd, dtype=torch.float64)
    table[:, 0::2] = torch.sin(positions * frequencies)
    table[:, 1::2] = torch.cos(positions * frequencies)
    return table.float()


def rope_tables(
    max_seq_len: int, head_dim: int, *, theta: float = 10000.0
) -> tuple[Float[Tensor, "T half"], Float[Tensor, "T half"]]:
    """cos and sin of the angle t * theta^(-2i/D) for each position t and each pair i of the D/2 (eq. 15).

    Raises:
        ValueError: if head_dim is odd or theta is not positive.
    """
    if head_dim % 2:
        raise ValueError(f"head_dim must be even for RoPE, got {head_dim}.")
    if theta <= 0:
        raise ValueError(f"theta must be > 0, got {theta}.")
    # In float32, operation by operation as in transformers, although float64 angles would be exact: published
    # weights were trained with these, and logits of random models differed by 1e-5 at position 64 and 1e-3 at
    # 4,096 between the two; with the same tables by 1e-5 at both.
    frequencies = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim)
    angles = torch.arange(max_seq_len).float()[:, None] * frequencies
    return angles.cos(), angles.sin()


def apply_rope(
    x: Float[Tensor, "B H T D"],
    cos: Float[Tensor, "*batch T half"],
    sin: Float[Tensor, "*batch T half"],
) -> Float[Tensor, "B H T D"]:
    """Turn each pair (x[i], x[i + D/2]) by its angle.

    The pairs are half-split ("NeoX"), as in Llama and Qwen on HuggingFace; the paper pairs neighbours
    (x[2i], x[2i+1]), which is the same map up to an order of the columns. cos and sin are `T half`, or
    `B 1 T half` where rows stand at different positions.
    """
    half = x.shape[-1] // 2
    # Tables stay in float32; under autocast x may be bf16, and the product is rounded once.
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def positions_of(
    num_tokens: int, start: int, pad_lengths: Int[Tensor, " B"] | None, device: torch.device
) -> Int[Tensor, "..."]:
    """Position of each new token: `start`, `start` + 1, …; less the padding at the left of its row.

    Returns shape `T`, or `B T` with padding; pad tokens get position 0 (they are masked, so it is not seen).
    """
    positions = torch.arange(start, start + num_tokens, device=device)
    if pad_lengths is None:
        return positions
    return (positions[None, :] - pad_lengths[:, None]).clamp(min=0)
