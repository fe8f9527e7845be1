"""One token a row through a GPT, with as few operations as possible.

A small model's step is so short that most of it goes by between the operations: calling modules, looking up
their attributes, making views. `Decoder` is `GPT.compute_hidden` for T = 1, as plain calls: no mask is built
where none is needed, queries and keys are normalised and turned together. On one CPU core, 4 layers of 128,
that took 0.8 ms a token instead of 2.2. A test proves them equal for every kind of model.

Read after models/gpt.py and nn/kv_cache.py. Used by engine.py, which leaves prompts to `GPT.compute_hidden`,
and everything to it where a model holds other modules than ours (adapters, quantised weights).
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nn2llm.models.gpt import GPT, Block
from nn2llm.nn.attention import SelfAttention
from nn2llm.nn.feed_forward import ACTIVATIONS, FeedForward
from nn2llm.nn.kv_cache import KVCache
from nn2llm.nn.masks import padding_mask
from nn2llm.nn.norms import LayerNorm, RMSNorm
from nn2llm.nn.positions import positions_of

__all__ = ["Decoder"]

_WRITTEN_OUT_HERE = {GPT, Block, SelfAttention, FeedForward, LayerNorm, RMSNorm} | {
    nn.Embedding, nn.Linear, nn.Dropout, nn.ModuleList,
}  # fmt: skip

_Norm = Callable[[Tensor], Tensor]


class _Linear(NamedTuple):
    weight: Tensor
    bias: Tensor | None


class _Layer(NamedTuple):
    """A block's weights and norms."""

    attention_norm: _Norm
    qkv: _Linear
    query_key_norm: _Norm | None
    proj: _Linear
    feed_forward_norm: _Norm
    gate: _Linear | None
    up: _Linear
    down: _Linear


class Decoder:
    """Reads one more token a row.

    It holds the model's weights of the moment it is built at: build one for each text to write.

    Raises:
        ValueError: if the model is not `supports`ed.
    """

    @torch.no_grad()
    def __init__(self, model: GPT) -> None:
        if unknown := _list_unknown(model):
            raise ValueError(
                f"{type(model).__name__} holds modules that the decoder does not know: {', '.join(unknown)}. "
                "Call its compute_hidden instead."
            )
        config = model.config
        self._n_head, self._n_kv_head = config.n_head, config.num_kv_heads
        self._head_dim = config.width_of_head
        self._post_norm = config.norm_position == "post"
        self._window = config.window
        self._activation = ACTIVATIONS.get(config.feed_forward, F.silu)  # SwiGLU's gate is a SiLU
        self._layers = [self._build_layer(cast(Block, block)) for block in model.blocks]
        self._final_norm = None if model.final_norm is None else _build_norm(model.final_norm)
        self._embeddings = model.token_embedding.weight
        self._positions: Tensor | None = None
        if model.position_embedding is not None:
            self._positions = model.position_embedding.weight
        elif config.position == "sinusoidal":
            self._positions = cast(Tensor, model.position_table)
        self._cos = self._sin = None
        if config.position == "rope":
            cos = cast(Tensor, model.rope_cos).to(self._embeddings.dtype)
            sin = cast(Tensor, model.rope_sin).to(self._embeddings.dtype)
            # for x * cos + (x with its halves exchanged) * sin, which is nn.positions.apply_rope
            self._cos, self._sin = torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)

    @staticmethod
    def supports(model: nn.Module) -> bool:
        """Whether all of the model is written out here: no module of another class, and no hooks."""
        return not _list_unknown(model)

    def compute_hidden(self, tokens: Int[Tensor, " B"], cache: KVCache) -> Float[Tensor, "B C"]:
        """Append a token a row to the cache; returns the residual stream after the last norm."""
        position = self._find_position(cache)
        x = F.embedding(tokens, self._embeddings)
        if self._positions is not None:
            x = x + self._positions[position]
        rope = None
        if self._cos is not None and self._sin is not None:
            # where rows stand at different positions: make room for the heads
            at = position if isinstance(position, int) else position[:, None]
            rope = self._cos[at], self._sin[at]
        mask, first_key = self._build_mask(cache)
        for index, layer in enumerate(self._layers):
            read = x if self._post_norm else layer.attention_norm(x)
            x = x + self._attend(read, layer, index, rope, mask, first_key, cache)
            if self._post_norm:
                x = layer.attention_norm(x)
            read = x if self._post_norm else layer.feed_forward_norm(x)
            x = x + self._feed_forward(read, layer)
            if self._post_norm:
                x = layer.feed_forward_norm(x)
        cache.advance(1)
        return x if self._final_norm is None else self._final_norm(x)

    def _attend(
        self,
        x: Float[Tensor, "B C"],
        layer: _Layer,
        index: int,
        rope: tuple[Tensor, Tensor] | None,
        mask: Bool[Tensor, "B 1 1 S"] | None,
        first_key: int,
        cache: KVCache,
    ) -> Float[Tensor, "B C"]:
        num_turned = self._n_head + self._n_kv_head  # queries and keys
        heads = F.linear(x, *layer.qkv).view(len(x), -1, self._head_dim)
        turned = heads[:, :num_turned]
        if layer.query_key_norm is not None:
            turned = layer.query_key_norm(turned)
        if rope is not None:
            cos, sin = rope
            turned = torch.addcmul(turned * cos, turned.roll(self._head_dim // 2, -1), sin)
        keys, values = cache.append(index, turned[:, self._n_head :, None], heads[:, num_turned:, None])
        if first_key:
            keys, values = keys[:, :, first_key:], values[:, :, first_key:]
        out = F.scaled_dot_product_attention(
            turned[:, : self._n_head, None],
            keys,
            values,
            attn_mask=mask,
            enable_gqa=self._n_kv_head != self._n_head,
        )
        return F.linear(out.reshape(len(x), -1), *layer.proj)

    def _feed_forward(self, x: Float[Tensor, "B C"], layer: _Layer) -> Float[Tensor, "B C"]:
        if layer.gate is None:
            return F.linear(self._activation(F.linear(x, *layer.up)), *layer.down)
        gate = self._activation(F.linear(x, *layer.gate))
        return F.linear(gate * F.linear(x, *layer.up), *layer.down)

    def _find_position(self, cache: KVCache) -> int | Int[Tensor, " B"]:
        """The new token's position, less the padding where there is some."""
        if cache.pad_lengths is None:
            return cache.length
        return positions_of(1, cache.length, cache.pad_lengths, cache.pad_lengths.device)[:, 0]

    def _build_mask(self, cache: KVCache) -> tuple[Bool[Tensor, "B 1 1 S"] | None, int]:
        """What hides the padding, or None; and the first key that the window still reaches."""
        num_keys = cache.length + 1
        first_key = 0 if self._window is None else max(0, num_keys - self._window)
        if cache.pad_lengths is None:
            return None, first_key
        return padding_mask(cache.pad_lengths, num_keys)[..., first_key:], first_key

    def _build_layer(self, block: Block) -> _Layer:
        attention, feed_forward = block.attention, block.feed_forward
        return _Layer(
            attention_norm=_build_norm(block.attention_norm),
            qkv=_take(attention.qkv),
            query_key_norm=self._build_query_key_norm(attention),
            proj=_take(attention.proj),
            feed_forward_norm=_build_norm(block.feed_forward_norm),
            gate=None if feed_forward.gate is None else _take(feed_forward.gate),
            up=_take(feed_forward.up),
            down=_take(feed_forward.down),
        )

    def _build_query_key_norm(self, attention: SelfAttention) -> _Norm | None:
        """One norm for the queries and keys of a token, with weights of shape `H + K, D`."""
        if attention.query_norm is None or attention.key_norm is None:
            return None
        query = attention.query_norm.weight.expand(self._n_head, -1)
        key = attention.key_norm.weight.expand(self._n_kv_head, -1)
        return _build_rms_norm(torch.cat((query, key)), attention.query_norm.eps)


def _list_unknown(model: nn.Module) -> list[str]:
    """Classes of the modules that do something that is not written out here, or may do it by a hook."""
    unknown = {
        type(module).__name__
        for module in model.modules()
        if type(module) not in _WRITTEN_OUT_HERE or module._forward_hooks or module._forward_pre_hooks
    }
    return sorted(unknown)


def _take(linear: nn.Linear) -> _Linear:
    return _Linear(linear.weight, linear.bias)


def _build_norm(module: nn.Module) -> _Norm:
    if isinstance(module, RMSNorm):
        return _build_rms_norm(module.weight, module.eps)
    assert isinstance(module, LayerNorm)
    shape, weight, bias, eps = module.weight.shape, module.weight, module.bias, module.eps
    return lambda x: F.layer_norm(x, shape, weight, bias, eps)


def _build_rms_norm(weight: Float[Tensor, "*heads D"], eps: float) -> _Norm:
    """As `nn.norms.rms_norm`, for `weight` that may differ between heads."""
    width = weight.shape[-1]
    # bf16 and GPUs have a kernel, as in nn.norms.RMSNorm
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
        return lambda x: F.rms_norm(x, (width,), eps=eps).mul_(weight)

    def norm(x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (x * length.square_().div_(width).add_(eps).rsqrt_()).mul_(weight)

    return norm
