"""The KV cache: keys and values of the tokens read so far, so that each is computed once.

Without it, writing token n costs a pass over all n tokens; with it, a pass over one. Memory:
2 * n_layer * B * K * S * D numbers. Read after attention.py. Taught in `mini-gpt`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["KVCache"]


class KVCache:
    """Keys and values of every layer, for at most `max_seq_len` positions.

    Rows may start with padding: `pad_lengths[b]` positions at the left of row b are not attended to, and
    the token after them is at position 0. `length` counts the positions stored, padding included.
    """

    def __init__(
        self,
        *,
        n_layer: int,
        batch_size: int,
        n_kv_head: int,
        head_dim: int,
        max_seq_len: int,
        pad_lengths: Int[Tensor, " B"] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        shape = (n_layer, batch_size, n_kv_head, max_seq_len, head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.pad_lengths = pad_lengths
        self.max_seq_len = max_seq_len
        self.length = 0

    def append(
        self, layer: int, keys: Float[Tensor, "B K T D"], values: Float[Tensor, "B K T D"]
    ) -> tuple[Float[Tensor, "B K S D"], Float[Tensor, "B K S D"]]:
        """Store a layer's new keys and values; returns all of that layer's, old and new.

        `length` does not move until `advance`, since every layer stores the same positions.

        Raises:
            ValueError: if they do not fit.
        """
        num_tokens = keys.shape[2]
        stop = self.length + num_tokens
        if stop > self.max_seq_len:
            raise ValueError(f"the cache holds {self.max_seq_len} positions, {stop} are needed.")
        # narrow(), not slices: Python's slices take twice as long, and one token's step is short
        stored = self.keys[layer], self.values[layer]
        for tensor, new in zip(stored, (keys, values), strict=True):
            tensor.narrow(2, self.length, num_tokens).copy_(new)
        return stored[0].narrow(2, 0, stop), stored[1].narrow(2, 0, stop)

    def advance(self, num_tokens: int) -> None:
        """Count `num_tokens` more positions as stored: called once a forward pass, after the last layer."""
        self.length += num_tokens

    def keep_rows(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep only these rows of the batch, in this order: rows that have finished make room. A row may come
        several times: continuations of one prompt."""
        self.keys = self.keys[:, rows]
        self.values = self.values[:, rows]
        if self.pad_lengths is not None:
            self.pad_lengths = self.pad_lengths[rows]
