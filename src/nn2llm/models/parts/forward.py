"""The training pass of a GPT, written as calls of its parts.

`PartsForward` computes what `GPT.compute_hidden` and `GPT.compute_loss` compute, from the same parameters,
and calls the learner's function wherever there is one. Where there is none it calls the model's own module or
torch's kernel, so a gap costs nothing. The model itself is not touched: held-out loss and samples come from
it, on the weights that the parts have trained.

Read models/gpt.py before: this is the same, without a KV cache, which training does not need. Used by
train/mine_trainer.py and rehearsal.py; a test proves both equal for every shape of model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nn2llm.losses.cross_entropy import IGNORE_INDEX, soft_cap
from nn2llm.models.gpt import GPT, Block
from nn2llm.nn.attention import SelfAttention
from nn2llm.nn.feed_forward import ACTIVATIONS, FeedForward
from nn2llm.nn.masks import causal_mask
from nn2llm.nn.norms import LayerNorm, RMSNorm
from nn2llm.nn.positions import apply_rope, positions_of

__all__ = ["PartsForward"]

_Rope = tuple[Tensor, Tensor] | None


class PartsForward:
    """A GPT's forward pass with `functions` (name → function) in the place of the library's.

    Names are those of `Part.functions`; others are ignored.
    """

    def __init__(self, model: GPT, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.model, self.functions = model, dict(functions)
        self._position_table: Tensor | None = None
        if model.config.position == "sinusoidal":
            own = self.functions.get("sinusoidal_positions")
            table = cast(Tensor, model.position_table)
            if own is not None:
                table = own(model.config.max_seq_len, model.config.n_embd).to(table)
            self._position_table = table

    def compute_hidden(self, input_ids: Tensor, *, document_ids: Tensor | None = None) -> Tensor:
        """As `GPT.compute_hidden`: [B, T] to the residual stream after the last norm, [B, T, C].

        Raises:
            ValueError: if the sequence is longer than `max_seq_len`.
        """
        model, num_tokens = self.model, input_ids.shape[1]
        if num_tokens > model.config.max_seq_len:
            raise ValueError(f"{num_tokens} tokens do not fit: max_seq_len is {model.config.max_seq_len}.")
        positions = positions_of(num_tokens, 0, None, input_ids.device)
        rope = model.compute_rope(positions)
        mask = self._build_mask(num_tokens, document_ids, input_ids.device)
        blocks = [partial(self._run_block, cast(Block, block), rope, mask) for block in model.blocks]
        if model.gradient_checkpointing and model.training:
            blocks = [partial(checkpoint, block, use_reentrant=False) for block in blocks]
        embed = partial(self._embed, positions)
        own = self.functions.get("gpt_forward")
        if own is not None:
            return own(input_ids, embed, blocks, self._normalise_last, _leave)
        x = embed(input_ids)
        for block in blocks:
            x = block(x)
        return self._normalise_last(x)

    def compute_loss(self, hidden: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
        """As `GPT.compute_loss`: nats, the mean over the labels that count or their sum."""
        own = self.functions.get("cross_entropy")
        if own is None:
            return self.model.compute_loss(hidden, labels, reduction=reduction)
        counts = labels != IGNORE_INDEX  # the learner's sees only labels that are tokens
        num_labels = int(counts.sum())
        if num_labels == 0:
            return hidden.sum() * 0.0
        logits = self._linear(self.model.head_weight, None, hidden[counts])
        if self.model.config.logit_softcap is not None:
            logits = soft_cap(logits, self.model.config.logit_softcap)
        mean: Tensor = own(logits, labels[counts])
        return mean * num_labels if reduction == "sum" else mean

    # --- before the blocks ----------------------------------------------------------------------------------

    def _embed(self, positions: Tensor, token_ids: Tensor) -> Tensor:
        model = self.model
        own = self.functions.get("embed_tokens")
        x: Tensor = (
            model.token_embedding(token_ids) if own is None else own(token_ids, model.token_embedding.weight)
        )
        if model.position_embedding is not None:
            x = x + model.position_embedding(positions)
        elif self._position_table is not None:
            x = x + self._position_table[positions]
        dropped: Tensor = model.dropout(x)
        return dropped

    def _build_mask(
        self, num_tokens: int, document_ids: Tensor | None, device: torch.device
    ) -> Tensor | None:
        """Documents and windows are the library's; None leaves plain causality to torch's kernel."""
        mask = self.model.build_mask(num_tokens, document_ids, None, device)
        if num_tokens == 1:
            return mask
        own = self.functions.get("causal_mask")
        if own is not None:
            causal: Tensor = own(num_tokens).to(device)
            return causal if mask is None else mask & causal
        if mask is None and "scaled_dot_product_attention" in self.functions:
            return causal_mask(num_tokens, num_tokens, device=device)
        return mask

    # --- a block --------------------------------------------------------------------------------------------

    def _run_block(self, block: Block, rope: _Rope, mask: Tensor | None, x: Tensor) -> Tensor:
        def attention(h: Tensor) -> Tensor:
            return block.dropout(self._attend(block.attention, h, rope, mask))

        def feed_forward(h: Tensor) -> Tensor:
            return block.dropout(self._feed_forward(block.feed_forward, h))

        attention_norm = partial(self._normalise, block.attention_norm)
        feed_forward_norm = partial(self._normalise, block.feed_forward_norm)
        if block.post_norm:
            x = attention_norm(x + attention(x))
            return feed_forward_norm(x + feed_forward(x))
        own = self.functions.get("transformer_block")
        if own is not None:
            return own(x, attention, feed_forward, attention_norm, feed_forward_norm)
        x = x + attention(attention_norm(x))
        return x + feed_forward(feed_forward_norm(x))

    def _attend(self, attention: SelfAttention, x: Tensor, rope: _Rope, mask: Tensor | None) -> Tensor:
        n_head, n_kv_head, head_dim = attention.n_head, attention.n_kv_head, attention.head_dim
        widths = [n_head * head_dim, n_kv_head * head_dim, n_kv_head * head_dim]
        flat = self._apply_linear(attention.qkv, x).split(widths, dim=-1)
        query, key, value = (
            self._split(one, n) for one, n in zip(flat, (n_head, n_kv_head, n_kv_head), strict=True)
        )
        if attention.query_norm is not None and attention.key_norm is not None:
            query = self._normalise(attention.query_norm, query)
            key = self._normalise(attention.key_norm, key)
        if rope is not None:
            rotate = self.functions.get("apply_rope", apply_rope)
            query, key = rotate(query, *rope), rotate(key, *rope)
        own = self.functions.get("scaled_dot_product_attention")
        if own is not None:
            key = key.repeat_interleave(n_head // n_kv_head, dim=1)
            value = value.repeat_interleave(n_head // n_kv_head, dim=1)
            out = own(query, key, value, mask)
        else:
            out = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                is_causal=mask is None and query.shape[2] > 1,
                dropout_p=attention.dropout if self.model.training else 0.0,
                enable_gqa=n_kv_head != n_head,
            )
        return self._apply_linear(attention.proj, self._merge(out))

    def _split(self, x: Tensor, n_head: int) -> Tensor:
        own = self.functions.get("split_heads")
        if own is not None:
            split: Tensor = own(x, n_head)
            return split
        return x.unflatten(-1, (n_head, -1)).transpose(1, 2)

    def _merge(self, heads: Tensor) -> Tensor:
        own = self.functions.get("merge_heads")
        if own is not None:
            merged: Tensor = own(heads)
            return merged
        return heads.transpose(1, 2).flatten(-2)

    def _feed_forward(self, layer: FeedForward, x: Tensor) -> Tensor:
        functions = self.functions
        if layer.gate is not None:
            gate, value = self._apply_linear(layer.gate, x), self._apply_linear(layer.up, x)
            own = functions.get("swiglu")
            return self._apply_linear(layer.down, F.silu(gate) * value if own is None else own(gate, value))
        activation = ACTIVATIONS[layer.kind]
        if layer.kind == "gelu":
            activation = functions.get("gelu", activation)
        own = functions.get("feed_forward")
        if own is not None:
            up, down = layer.up, layer.down
            result: Tensor = own(x, up.weight, up.bias, down.weight, down.bias, activation)
            return result
        return self._apply_linear(layer.down, activation(self._apply_linear(layer.up, x)))

    def _apply_linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        return self._linear(layer.weight, layer.bias, x)

    def _linear(self, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
        result: Tensor = self.functions.get("linear", F.linear)(x, weight, bias)
        return result

    def _normalise(self, norm: nn.Module, x: Tensor) -> Tensor:
        if isinstance(norm, LayerNorm) and "layer_norm" in self.functions:
            return self.functions["layer_norm"](x, norm.weight, norm.bias, norm.eps)
        if isinstance(norm, RMSNorm) and "rms_norm" in self.functions:
            return self.functions["rms_norm"](x, norm.weight, norm.eps)
        normalised: Tensor = norm(x)
        return normalised

    def _normalise_last(self, x: Tensor) -> Tensor:
        return x if self.model.final_norm is None else self._normalise(self.model.final_norm, x)


def _leave(x: Tensor) -> Tensor:
    """In the place of the head: the loss takes head and cross-entropy together."""
    return x
