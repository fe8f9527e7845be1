"""Attention: each position gathers what it needs from the positions it may see.

`scaled_dot_product_attention` is the version to read (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762,
eq. 1); `SelfAttention` is what models use, through torch's fused kernel; a test proves them equal for every
mask. Grouped-query attention (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245) shares each key/value
head among H / K query heads. Read masks.py and positions.py before. Taught in `attention-math`,
`attention-code` and `multi-head-attention`.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nn2llm.nn.kv_cache import KVCache
from nn2llm.nn.masks import causal_mask
from nn2llm.nn.norms import RMSNorm
from nn2llm.nn.positions import apply_rope

__all__ = ["SelfAttention", "attention_weights", "scaled_dot_product_attention"]


def attention_weights(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B K S D"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    scale: float | None = None,
) -> Float[Tensor, "B H T S"]:
    """softmax(Q Kᵀ / √D) over the keys each query may see.

    `mask` is True where attention is allowed and broadcasts to `B H T S`. A query that sees no key at all
    gets zero weights, not NaN. Query head h reads key head h // (H / K).

    Raises:
        ValueError: if K does not divide H.
    """
    num_heads, num_kv_heads = query.shape[1], key.shape[1]
    if num_heads % num_kv_heads:
        raise ValueError(f"{num_kv_heads} key heads must divide {num_heads} query heads.")
    key = key.repeat_interleave(num_heads // num_kv_heads, dim=1)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * scale
    if mask is None:
        return torch.softmax(scores, dim=-1)
    weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
    return weights.masked_fill(~mask, 0.0)  # a row of only -inf is NaN after softmax


def scaled_dot_product_attention(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B K S D"],
    value: Float[Tensor, "B K S D"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    scale: float | None = None,
) -> Float[Tensor, "B H T D"]:
    """softmax(Q Kᵀ / √D) V (eq. 1), written out. Masks and heads as in `attention_weights`."""
    weights = attention_weights(query, key, mask, scale=scale)
    return weights @ value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)


class SelfAttention(nn.Module):
    """Causal multi-head or grouped-query self-attention, from residual stream to residual stream.

    With `qk_norm`, queries and keys are RMS-normalised per head before RoPE, as in Qwen3; scores then stay
    bounded whatever the learning rate (Henry et al. 2020, https://arxiv.org/abs/2010.04245).
    """

    def __init__(
        self,
        *,
        n_embd: int,
        n_head: int,
        n_kv_head: int,
        head_dim: int,
        bias: bool,
        qk_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.n_head, self.n_kv_head, self.head_dim = n_head, n_kv_head, head_dim
        self.dropout = dropout
        # One matrix for queries, keys and values: one large product is faster than three small ones.
        self.qkv = nn.Linear(n_embd, (n_head + 2 * n_kv_head) * head_dim, bias=bias)
        self.proj = nn.Linear(n_head * head_dim, n_embd, bias=bias)
        self.query_norm = RMSNorm(head_dim) if qk_norm else None
        self.key_norm = RMSNorm(head_dim) if qk_norm else None

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        *,
        rope: tuple[Tensor, Tensor] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        cache: KVCache | None = None,
        layer: int = 0,
        only: Int[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B S C"]:
        """Attend; without a mask, causally: to a position's own key, those before it, and those in the cache.

        `rope` holds cos and sin at the positions of `x`. `mask`, where given, is the whole mask, causality
        included (`models.gpt` builds it once for all layers). With a cache, keys and values are those
        stored in `layer` and the new ones. `only`: the positions of each row whose output is wanted; the
        others are read as keys and values alone. Without it S = T.

        Raises:
            ValueError: for `only` beside a cache.
        """
        if only is not None and cache is not None:
            raise ValueError("only= does not go with a cache: leave one of them out.")
        batch_size, num_tokens, _ = x.shape
        heads = self.qkv(x).view(batch_size, num_tokens, -1, self.head_dim)
        query, key, value = heads.split([self.n_head, self.n_kv_head, self.n_kv_head], dim=2)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        if rope is not None:
            query, key = apply_rope(query, *rope), apply_rope(key, *rope)
        if cache is not None:
            key, value = cache.append(layer, key, value)
        num_keys = key.shape[2]
        if only is not None:
            rows = torch.arange(batch_size, device=x.device)[:, None]
            query = query.transpose(1, 2)[rows, only].transpose(1, 2)
            if mask is None:
                mask = (torch.arange(num_keys, device=x.device) <= only[..., None])[:, None]
            else:
                num_masks = mask.shape[1] if mask.ndim == 4 else 1
                whole = mask.expand(batch_size, num_masks, num_tokens, num_keys).transpose(1, 2)
                mask = whole[rows, only].transpose(1, 2)
        # is_causal aligns to the top left: right only where every key is one of the new positions
        is_causal = mask is None and num_tokens == num_keys and num_tokens > 1
        if mask is None and 1 < num_tokens < num_keys:
            mask = causal_mask(num_tokens, num_keys, device=x.device)
        out = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=is_causal,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.n_kv_head != self.n_head,
        )
        return self.proj(out.transpose(1, 2).reshape(batch_size, query.shape[2], -1))
