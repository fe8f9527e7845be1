"""GPT: a decoder-only Transformer, from GPT-2's shape to Llama's and Qwen3's by its config.

tokens → embedding (+ positions) → n_layer blocks of attention and feed-forward on a residual stream → norm →
head → logits. Read nn/attention.py and nn/feed_forward.py before; train/pretrain.py trains it, generation/
writes with it. Taught in `gpt-block` and `mini-gpt`.
Sources: Radford et al. 2019 (GPT-2); Touvron et al. 2023, https://arxiv.org/abs/2302.13971 (Llama).
"""

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nn2llm.core.errors import ConfigError
from nn2llm.losses.linear_cross_entropy import linear_cross_entropy
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.nn.attention import SelfAttention
from nn2llm.nn.feed_forward import FeedForward
from nn2llm.nn.kv_cache import KVCache
from nn2llm.nn.masks import causal_mask, document_mask, padding_mask, sliding_window_mask
from nn2llm.nn.norms import LayerNorm, RMSNorm, build_norm
from nn2llm.nn.positions import positions_of, rope_tables, sinusoidal_positions
from nn2llm.nn.trees import TokenTree

__all__ = ["GPT", "Block", "GPTOutput"]


class GPTOutput(NamedTuple):
    """What a forward pass gives.

    `logits` is `B T V`, or None where labels were given and only the loss was asked for. `loss` is in nats:
    the mean over the labels that are not ignored, or their sum with `reduction="sum"`.
    """

    logits: Tensor | None
    loss: Tensor | None


class Block(nn.Module):
    """One layer: attention, then feed-forward, each added to the residual stream.

    Pre-norm (GPT-2, Llama) normalises what a sublayer reads: x + f(norm(x)); post-norm (the original
    Transformer) what it leaves: norm(x + f(x)). See Xiong et al. 2020, https://arxiv.org/abs/2002.04745.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.post_norm = config.norm_position == "post"
        self.attention_norm = build_norm(config.norm, config.n_embd, bias=config.bias)
        self.attention = SelfAttention(
            n_embd=config.n_embd,
            n_head=config.n_head,
            n_kv_head=config.num_kv_heads,
            head_dim=config.width_of_head,
            bias=config.bias,
            qk_norm=config.qk_norm,
            dropout=config.dropout,
        )
        self.feed_forward_norm = build_norm(config.norm, config.n_embd, bias=config.bias)
        self.feed_forward = FeedForward(
            config.n_embd, config.width_of_hidden, kind=config.feed_forward, bias=config.bias
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        rope: tuple[Tensor, Tensor] | None,
        mask: Bool[Tensor, "..."] | None,
        cache: KVCache | None,
        layer: int,
        only: Int[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B S C"]:
        """Shape in, shape out; with `only`, the positions of each row that are wanted."""
        kept = x if only is None else x[torch.arange(len(x), device=x.device)[:, None], only]
        if self.post_norm:
            attended = self.attention(x, rope=rope, mask=mask, cache=cache, layer=layer, only=only)
            x = self.attention_norm(kept + self.dropout(attended))
            return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        read = self.attention_norm(x)
        attended = self.attention(read, rope=rope, mask=mask, cache=cache, layer=layer, only=only)
        x = kept + self.dropout(attended)
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class GPT(nn.Module):
    """A causal language model over a vocabulary of V tokens.

    Raises:
        ConfigError: if the config's vocab_size is still open.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if config.vocab_size == 0:
            raise ConfigError("vocab_size is 0: set it to the tokenizer's vocab_size before building a GPT.")
        self.config = config
        self.gradient_checkpointing = False
        """Recompute each block's activations in the backward pass: less memory, about a third more time."""
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = (
            nn.Embedding(config.max_seq_len, config.n_embd) if config.position == "learned" else None
        )
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        post_norm = config.norm_position == "post"
        self.final_norm = None if post_norm else build_norm(config.norm, config.n_embd, bias=config.bias)
        if config.norm_eps is not None:
            for module in self.modules():
                if isinstance(module, LayerNorm | RMSNorm):  # those of queries and keys too, as in Qwen3
                    module.eps = config.norm_eps
        # With tied embeddings there is no head of its own: one matrix, once in weights and checkpoints.
        self.head = None if config.tie_embeddings else nn.Linear(config.n_embd, config.vocab_size, bias=False)
        # Tables are computed, not learned: they stay out of checkpoints.
        if config.position == "rope":
            cos, sin = rope_tables(config.max_seq_len, config.width_of_head, theta=config.rope_theta)
            self.register_buffer("rope_cos", cos, persistent=False)
            self.register_buffer("rope_sin", sin, persistent=False)
        elif config.position == "sinusoidal":
            table = sinusoidal_positions(config.max_seq_len, config.n_embd)
            self.register_buffer("position_table", table, persistent=False)
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw the weights as `config.init` says.

        `gpt2`: normal with deviation 0.02; what writes to the residual stream is 1/√(2 n_layer) of that, so
        that the stream's variance does not grow with depth (Radford et al. 2019, section 2.3).
        `scaled`: uniform with variance 1/fan-in for what reads the stream, zero for what writes to it and for
        an untied head, so that training starts from the uniform prediction and blocks begin as the identity.
        """
        writers = set()
        for block in self.blocks:
            assert isinstance(block, Block)
            writers |= {id(block.attention.proj.weight), id(block.feed_forward.down.weight)}
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            elif isinstance(module, nn.Linear) and module is not self.head:
                if self.config.init == "gpt2":
                    std = 0.02 / math.sqrt(2 * self.config.n_layer) if id(module.weight) in writers else 0.02
                    nn.init.normal_(module.weight, std=std)
                elif id(module.weight) in writers:
                    nn.init.zeros_(module.weight)
                else:
                    bound = math.sqrt(3 / module.in_features)  # variance bound²/3 = 1/fan-in
                    nn.init.uniform_(module.weight, -bound, bound)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.head is not None:
            if self.config.init == "gpt2":
                nn.init.normal_(self.head.weight, std=0.02)
            else:
                nn.init.zeros_(self.head.weight)
                nn.init.normal_(self.token_embedding.weight, std=1.0)
        elif self.config.init == "scaled":
            # Blocks begin as the identity, so a token meets its own embedding in the head: a logit of C·std.
            nn.init.normal_(self.token_embedding.weight, std=1 / self.config.n_embd)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.token_embedding.weight.device

    @property
    def head_weight(self) -> Float[Tensor, "V C"]:
        """What turns the residual stream into logits: the head's matrix, or the embeddings where tied."""
        return self.token_embedding.weight if self.head is None else self.head.weight

    def fused_rows(self) -> dict[str, tuple[int, ...]]:
        """Matrices that hold several side by side: parameter name → rows of each (queries, keys, values)."""
        kv_width = self.config.num_kv_heads * self.config.width_of_head
        rows = (self.config.n_head * self.config.width_of_head, kv_width, kv_width)
        return {f"blocks.{layer}.attention.qkv.weight": rows for layer in range(self.config.n_layer)}

    def new_cache(
        self, batch_size: int, max_seq_len: int | None = None, *, pad_lengths: Int[Tensor, " B"] | None = None
    ) -> KVCache:
        """An empty KV cache for `batch_size` rows (see nn/kv_cache.py)."""
        return KVCache(
            n_layer=self.config.n_layer,
            batch_size=batch_size,
            n_kv_head=self.config.num_kv_heads,
            head_dim=self.config.width_of_head,
            max_seq_len=max_seq_len or self.config.max_seq_len,
            pad_lengths=pad_lengths,
            device=self.device,
            dtype=self.token_embedding.weight.dtype,
        )

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        *,
        labels: Int[Tensor, "B T"] | None = None,
        document_ids: Int[Tensor, "B T"] | None = None,
        cache: KVCache | None = None,
        reduction: str = "mean",
    ) -> GPTOutput:
        """Logits for the token after each position, or the loss against `labels`.

        `labels[b, t]` is the token that follows `input_ids[b, t]`, or -100 where nothing is asked. With
        `document_ids`, tokens see only their own document. With `cache`, `input_ids` continue what it holds.

        Raises:
            ValueError: if the sequence is longer than `max_seq_len`.
        """
        hidden = self.compute_hidden(input_ids, document_ids=document_ids, cache=cache)
        if labels is None:
            return GPTOutput(self.compute_logits(hidden), None)
        return GPTOutput(None, self.compute_loss(hidden, labels, reduction=reduction))

    def compute_loss(
        self, hidden: Float[Tensor, "B T C"], labels: Int[Tensor, "B T"], *, reduction: str = "mean"
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the head's predictions in nats; the logits never stand in memory all at once."""
        total = linear_cross_entropy(
            hidden.flatten(0, 1),
            self.head_weight,
            labels.flatten(),
            softcap=self.config.logit_softcap,
            reduction="sum",
        )
        if reduction == "mean":
            total = total / (labels != -100).sum().clamp(min=1)
        return total

    def compute_logits(self, hidden: Float[Tensor, "B T C"]) -> Float[Tensor, "B T V"]:
        """The head, and its soft cap: c tanh(logits / c) keeps each logit within ±c (Gemma 2)."""
        logits = F.linear(hidden, self.head_weight)
        cap = self.config.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def compute_hidden(
        self,
        input_ids: Int[Tensor, "B T"],
        *,
        document_ids: Int[Tensor, "B T"] | None = None,
        cache: KVCache | None = None,
        tree: TokenTree | None = None,
    ) -> Float[Tensor, "B T C"]:
        """The residual stream after the last norm: what the head, or a reward head, reads.

        With `tree`, rows hold several replies behind one prompt (nn/trees.py), and may be longer than
        `max_seq_len` as long as no position is.

        Raises:
            ValueError: for a sequence longer than `max_seq_len`, or `tree` beside documents or a cache.
        """
        num_tokens = input_ids.shape[1]
        start = 0 if cache is None else cache.length
        if tree is not None:
            if document_ids is not None or cache is not None:
                raise ValueError("tree= goes with neither document_ids nor a cache: leave them out.")
            positions = tree.positions
            mask: Tensor | None = tree.build_mask(self.config.window)
        else:
            if start + num_tokens > self.config.max_seq_len:
                raise ValueError(
                    f"{start + num_tokens} tokens do not fit: max_seq_len is {self.config.max_seq_len}."
                )
            pad_lengths = None if cache is None else cache.pad_lengths
            positions = positions_of(num_tokens, start, pad_lengths, input_ids.device)
            mask = self.build_mask(num_tokens, document_ids, cache, input_ids.device)
        x = self.token_embedding(input_ids)
        if self.position_embedding is not None:
            x = x + self.position_embedding(positions)
        elif self.config.position == "sinusoidal":
            x = x + cast(Tensor, self.position_table)[positions]
        x = self.dropout(x)
        rope = self.compute_rope(positions)
        for layer, block in enumerate(self.blocks):
            # not with a cache: recomputing a block would store its keys again
            if self.gradient_checkpointing and self.training and cache is None:
                x = checkpoint(block, x, rope, mask, None, layer, use_reentrant=False)
            else:
                x = block(x, rope, mask, cache, layer)
        if cache is not None:
            cache.advance(num_tokens)
        return x if self.final_norm is None else self.final_norm(x)

    def compute_rope(self, positions: Int[Tensor, "..."]) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines at positions [T] or [B, T]; for blocks that stand above this model's own, too."""
        if self.config.position != "rope":
            return None
        cos, sin = cast(Tensor, self.rope_cos)[positions], cast(Tensor, self.rope_sin)[positions]
        # with padding, positions are `B T`: make room for the heads
        return (cos[:, None], sin[:, None]) if positions.ndim == 2 else (cos, sin)

    def build_mask(
        self, num_tokens: int, document_ids: Tensor | None, cache: KVCache | None, device: torch.device
    ) -> Tensor | None:
        """One mask for all layers, or None where plain causality is enough (the fused kernel knows that)."""
        num_keys = num_tokens + (0 if cache is None else cache.length)
        window = self.config.window
        pad_lengths = None if cache is None else cache.pad_lengths
        windowed = window is not None and window < num_keys
        if document_ids is None and pad_lengths is None and not windowed and num_tokens in {1, num_keys}:
            return None
        if windowed:
            assert window is not None
            mask = sliding_window_mask(num_tokens, num_keys, window, device=device)
        else:
            mask = causal_mask(num_tokens, num_keys, device=device)
        if document_ids is not None:
            mask = mask & document_mask(document_ids)
        if pad_lengths is not None:
            mask = mask & padding_mask(pad_lengths, num_keys)
            # a pad token sees itself: a query without keys is NaN in some kernels
            queries = torch.arange(num_keys - num_tokens, num_keys, device=device)
            mask = mask | (queries[:, None] == torch.arange(num_keys, device=device)[None, :])
        return mask
