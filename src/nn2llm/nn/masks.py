"""Attention masks: which key positions each query position may look at.

A mask is a boolean tensor, True where attention is allowed. Masks combine with `&`.
Queries stand at the *end* of the keys: query row t of T is at key position S - T + t. With a KV cache
S > T, and a mask aligned to the top left (as `is_causal=True` in torch is) would be wrong.
Read before attention.py. Taught in `causal-decoder`.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["causal_mask", "document_mask", "padding_mask", "sliding_window_mask"]


def _query_and_key_positions(
    num_queries: int, num_keys: int, device: torch.device | str | None
) -> tuple[Int[Tensor, "T 1"], Int[Tensor, "1 S"]]:
    if num_queries > num_keys:
        raise ValueError(f"{num_queries} queries need at least as many keys, got {num_keys}.")
    queries = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    keys = torch.arange(num_keys, device=device)[None, :]
    return queries, keys


def causal_mask(
    num_queries: int, num_keys: int, *, device: torch.device | str | None = None
) -> Bool[Tensor, "T S"]:
    """Each query sees its own position and all before it.

    Raises:
        ValueError: if there are more queries than keys.
    """
    queries, keys = _query_and_key_positions(num_queries, num_keys, device)
    return keys <= queries


def sliding_window_mask(
    num_queries: int, num_keys: int, window: int, *, device: torch.device | str | None = None
) -> Bool[Tensor, "T S"]:
    """Causal, and at most `window` positions in all: a query's own and the window - 1 before it.

    Source: Beltagy et al. 2020, https://arxiv.org/abs/2004.05150; as in Mistral 7B.

    Raises:
        ValueError: if window < 1, or there are more queries than keys.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}.")
    queries, keys = _query_and_key_positions(num_queries, num_keys, device)
    return (keys <= queries) & (keys > queries - window)


def document_mask(document_ids: Int[Tensor, "B T"]) -> Bool[Tensor, "B 1 T T"]:
    """Two positions see each other where they belong to the same document.

    `document_ids[b, t]` numbers the document that token t of row b is from. Combine with `causal_mask`.
    """
    return document_ids[:, None, :, None] == document_ids[:, None, None, :]


def padding_mask(pad_lengths: Int[Tensor, " B"], num_keys: int) -> Bool[Tensor, "B 1 1 S"]:
    """Hides the first `pad_lengths[b]` key positions of row b (left padding)."""
    keys = torch.arange(num_keys, device=pad_lengths.device)
    return keys[None, None, None, :] >= pad_lengths[:, None, None, None]
