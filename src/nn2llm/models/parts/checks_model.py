"""What is compared of the parts of the model: embedding, positions, mask, norms, layers, attention, block.

Each list begins with plain random inputs, so that a usual mistake is found where its numbers can be read; the
edges follow: one token, a batch of one, a mask that hides all but one, large scores. Read checking.py before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nn2llm.models.parts.checking import Check, CheckFailed, Trial, compare
from nn2llm.nn.attention import scaled_dot_product_attention
from nn2llm.nn.feed_forward import gelu, swiglu
from nn2llm.nn.masks import causal_mask
from nn2llm.nn.norms import layer_norm, rms_norm
from nn2llm.nn.positions import apply_rope, rope_tables, sinusoidal_positions

__all__ = ["MODEL_CHECKS"]


# --- embedding and positions --------------------------------------------------------------------------------


def _embed(ids: Tensor, table: Tensor) -> Tensor:
    return F.embedding(ids, table)


def _check_embedding(trial: Trial) -> None:
    compare(trial, "embed_tokens", _embed, trial.draw_ids(2, 6, high=5), trial.draw(7, 4), wrt=(1,))


def _check_one_token(trial: Trial) -> None:
    compare(trial, "embed_tokens", _embed, trial.draw_ids(1, 1, high=7), trial.draw(7, 4), wrt=(1,))


def _check_positions(trial: Trial) -> None:
    def reference(max_seq_len: int, n_embd: int) -> Tensor:
        return sinusoidal_positions(max_seq_len, n_embd)

    for max_seq_len, n_embd in ((4, 6), (64, 16), (1, 2)):
        # angles up to 64, whose sine float32 knows to 4e-6
        compare(trial, "sinusoidal_positions", reference, max_seq_len, n_embd, tolerance=(2e-5, 0.0))


def _check_mask(trial: Trial) -> None:
    for num_tokens in (4, 7, 1):
        # on whatever device it was made: forward.py moves it
        place = getattr(trial.functions["causal_mask"](num_tokens), "device", None)
        compare(trial, "causal_mask", lambda n, place=place: causal_mask(n, n, device=place), num_tokens)


# --- norms and layers ---------------------------------------------------------------------------------------


def _norm_check(
    name: str, *, eps: float, shape: tuple[int, ...], bias: bool | None
) -> Callable[[Trial], None]:
    """`bias`: with one, without (None in its place), or no such argument."""

    def run(trial: Trial) -> None:
        x, weight = 2 * trial.draw(*shape) + 1, trial.draw(shape[-1])
        if bias is None:
            compare(trial, name, lambda x, w, e: rms_norm(x, w, eps=e), x, weight, eps, wrt=(0, 1))
            return
        shift = trial.draw(shape[-1]) if bias else None
        wrt = (0, 1, 2) if bias else (0, 1)
        compare(trial, name, lambda x, w, b, e: layer_norm(x, w, b, eps=e), x, weight, shift, eps, wrt=wrt)

    return run


def _check_linear(
    trial: Trial, *, shape: tuple[int, ...] = (2, 3, 4), out: int = 4, bias: bool = True
) -> None:
    x, weight = trial.draw(*shape), trial.draw(out, shape[-1])
    shift = trial.draw(out) if bias else None
    compare(trial, "linear", F.linear, x, weight, shift, wrt=(0, 1, 2) if bias else (0, 1))


# --- attention ----------------------------------------------------------------------------------------------


def _split(x: Tensor, n_head: int) -> Tensor:
    return x.unflatten(-1, (n_head, -1)).transpose(1, 2)


def _merge(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(-2)


def _check_split(trial: Trial) -> None:
    compare(trial, "split_heads", _split, trial.draw(2, 5, 12), 3, wrt=(0,))


def _check_merge(trial: Trial) -> None:
    compare(trial, "merge_heads", _merge, trial.draw(2, 3, 5, 4), wrt=(0,))


def _check_one_head(trial: Trial) -> None:
    compare(trial, "split_heads", _split, trial.draw(1, 1, 6), 1, wrt=(0,))
    compare(trial, "merge_heads", _merge, trial.draw(1, 1, 1, 6), wrt=(0,))
    # as attention leaves it: no contiguous tensor
    compare(trial, "merge_heads", _merge, trial.draw(2, 5, 3, 4).transpose(1, 2), wrt=(0,))


def _check_rope(trial: Trial, *, num_tokens: int = 5) -> None:
    cos, sin = (table.to(trial.device) for table in rope_tables(num_tokens, 8))
    batch = 2 if num_tokens > 1 else 1
    compare(trial, "apply_rope", apply_rope, trial.draw(batch, 3, num_tokens, 8), cos, sin, wrt=(0,))


def _attend(
    trial: Trial,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    wrt: tuple[int, ...] = (0, 1, 2),
) -> None:
    compare(
        trial, "scaled_dot_product_attention", scaled_dot_product_attention, query, key, value, mask, wrt=wrt
    )


def _qkv(trial: Trial, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
    return trial.draw(*shape), trial.draw(*shape), trial.draw(*shape)


def _check_attention(trial: Trial) -> None:
    _attend(trial, *_qkv(trial, 2, 3, 5, 4), None)


def _check_causal(trial: Trial) -> None:
    _attend(trial, *_qkv(trial, 2, 3, 5, 16), causal_mask(5, 5, device=trial.device))


def _check_documents(trial: Trial) -> None:
    """A mask for each row of the batch, as documents that share a row give it."""
    ids = trial.draw_ids(2, 6, high=2).cumsum(dim=1)
    mask = causal_mask(6, 6, device=trial.device) & (ids[:, None, :, None] == ids[:, None, None, :])
    _attend(trial, *_qkv(trial, 2, 2, 6, 4), mask)


def _check_all_but_one(trial: Trial) -> None:
    order = torch.randperm(4, generator=trial.generator).to(trial.device)
    _attend(trial, *_qkv(trial, 1, 2, 4, 4), F.one_hot(order, 4).bool())


def _check_attention_one_token(trial: Trial) -> None:
    _attend(trial, *_qkv(trial, 1, 1, 1, 4), None)


def _check_large_scores(trial: Trial) -> None:
    """Scores of hundreds to thousands: exp overflows, unless the largest is subtracted first."""
    query, key = trial.draw_whole(2, 2, 5, 4, scale=40), trial.draw_whole(2, 2, 5, 4, scale=2)
    _attend(trial, query, key, trial.draw(2, 2, 5, 4), causal_mask(5, 5, device=trial.device), wrt=())


# --- feed-forward, block, model -----------------------------------------------------------------------------


def _check_gelu(trial: Trial) -> None:
    compare(trial, "gelu", gelu, trial.draw(2, 3, 8, scale=2.0), wrt=(0,))


def _check_gelu_edges(trial: Trial) -> None:
    compare(trial, "gelu", gelu, torch.tensor([0.0, 30.0, -30.0, 3.0], device=trial.device), wrt=(0,))


def _check_swiglu(trial: Trial) -> None:
    compare(trial, "swiglu", swiglu, trial.draw(2, 3, 8), trial.draw(2, 3, 8), wrt=(0, 1))


def _check_swiglu_edges(trial: Trial) -> None:
    gate = torch.tensor([0.0, 60.0, -60.0, 200.0, -200.0], device=trial.device)
    compare(trial, "swiglu", swiglu, gate, trial.draw(5), wrt=(0, 1))


def _feed_forward(
    x: Tensor,
    up_weight: Tensor,
    up_bias: Tensor | None,
    down_weight: Tensor,
    down_bias: Tensor | None,
    activation: Callable[[Tensor], Tensor],
) -> Tensor:
    return F.linear(activation(F.linear(x, up_weight, up_bias)), down_weight, down_bias)


def _check_feed_forward(trial: Trial, *, bias: bool = True, shape: tuple[int, ...] = (2, 3, 4)) -> None:
    up, down = trial.draw(9, 4), trial.draw(4, 9)
    up_bias, down_bias = (trial.draw(9), trial.draw(4)) if bias else (None, None)
    x, wrt = trial.draw(*shape), (0, 1, 2, 3, 4) if bias else (0, 1, 3)
    for activation in (F.gelu, torch.tanh):
        compare(trial, "feed_forward", _feed_forward, x, up, up_bias, down, down_bias, activation, wrt=wrt)


def _block(
    x: Tensor,
    attention: Callable[[Tensor], Tensor],
    feed_forward: Callable[[Tensor], Tensor],
    attention_norm: Callable[[Tensor], Tensor],
    feed_forward_norm: Callable[[Tensor], Tensor],
) -> Tensor:
    x = x + attention(attention_norm(x))
    return x + feed_forward(feed_forward_norm(x))


def _check_block(trial: Trial, *, shape: tuple[int, ...] = (2, 5, 4)) -> None:
    mix, gains = trial.draw(4, 4), (trial.draw(4), trial.draw(4))

    def attention(h: Tensor) -> Tensor:
        return h.cumsum(dim=1) @ mix  # positions see those before them

    def feed_forward(h: Tensor) -> Tensor:
        return torch.tanh(h @ mix.T)

    def attention_norm(h: Tensor) -> Tensor:
        return h * gains[0]

    def feed_forward_norm(h: Tensor) -> Tensor:
        return h * gains[1]

    layers = (attention, feed_forward, attention_norm, feed_forward_norm)
    compare(trial, "transformer_block", _block, trial.draw(*shape), *layers, wrt=(0,))


def _gpt(token_ids: Tensor, embed: Any, blocks: Any, final_norm: Any, head: Any) -> Tensor:
    x = embed(token_ids)
    for block in blocks:
        x = block(x)
    result: Tensor = head(final_norm(x))
    return result


def _check_gpt(trial: Trial, *, shape: tuple[int, ...] = (2, 5), num_blocks: int = 3) -> None:
    mixes = [trial.draw(4, 4) for _ in range(num_blocks)]  # do not commute: their order counts
    start, out = trial.draw(7, 4), trial.draw(4, 6)
    tables: list[Tensor] = []

    def embed(ids: Tensor) -> Tensor:
        tables.append(start.clone().requires_grad_())
        return tables[-1][ids]

    def final_norm(h: Tensor) -> Tensor:
        return h.tanh()

    def head(h: Tensor) -> Tensor:
        return h @ out

    blocks = [lambda h, mix=mix: h + torch.tanh(h @ mix) for mix in mixes]
    arguments = (embed, blocks, final_norm, head)
    ids = trial.draw_ids(*shape, high=7)
    compare(trial, "gpt_forward", _gpt, ids, *arguments)
    tables.clear()
    logits = trial.functions["gpt_forward"](ids, *arguments)
    if not logits.requires_grad:
        raise CheckFailed("the logits have no gradient: they were cut off from the embeddings on the way.")
    logits.square().sum().backward()
    gradient = next((table.grad for table in tables if table.grad is not None), None)
    _gpt(ids, *arguments).square().sum().backward()
    right = tables[-1].grad
    assert right is not None
    if gradient is None or not torch.allclose(gradient, right, atol=1e-4, rtol=1e-3):
        raise CheckFailed(
            "the gradient of the embeddings is not the library's: a block was cut off or left out."
        )


def _with(check: Callable[..., None], **options: Any) -> Callable[[Trial], None]:
    return lambda trial: check(trial, **options)


MODEL_CHECKS: dict[str, tuple[Check, ...]] = {
    "token_embedding": (
        Check("each token gets its row", _check_embedding),
        Check("one token in a batch of one", _check_one_token),
    ),
    "sinusoidal_positions": (Check("sines in even columns, cosines in odd ones", _check_positions),),
    "causal_mask": (Check("a query sees itself and what came before", _check_mask),),
    "layer_norm": (
        Check("random vectors", _norm_check("layer_norm", eps=1e-5, shape=(2, 3, 8), bias=True)),
        Check("eps stands under the root", _norm_check("layer_norm", eps=0.5, shape=(2, 3, 8), bias=True)),
        Check("no bias", _norm_check("layer_norm", eps=1e-5, shape=(2, 3, 8), bias=False)),
        Check("one token in a batch of one", _norm_check("layer_norm", eps=1e-5, shape=(1, 1, 8), bias=True)),
    ),
    "rms_norm": (
        Check("random vectors", _norm_check("rms_norm", eps=1e-6, shape=(2, 3, 8), bias=None)),
        Check("eps stands under the root", _norm_check("rms_norm", eps=0.5, shape=(2, 3, 8), bias=None)),
        Check("queries of several heads", _norm_check("rms_norm", eps=1e-6, shape=(2, 3, 5, 4), bias=None)),
        Check("one token in a batch of one", _norm_check("rms_norm", eps=1e-6, shape=(1, 1, 8), bias=None)),
    ),
    "linear": (
        Check("a square weight", _check_linear),
        Check("more outputs than inputs", _with(_check_linear, out=9)),
        Check("no bias", _with(_check_linear, bias=False)),
        Check("rows alone", _with(_check_linear, shape=(6, 4), out=3)),
        Check("one token in a batch of one", _with(_check_linear, shape=(1, 1, 4), out=3)),
    ),
    "heads": (
        Check("split", _check_split),
        Check("merge", _check_merge),
        Check("one head, one token, and what is not contiguous", _check_one_head),
    ),
    "rope": (
        Check("pairs are turned by their angles", _check_rope),
        Check("one token in a batch of one", _with(_check_rope, num_tokens=1)),
    ),
    "attention": (
        Check("no mask", _check_attention),
        Check("a causal mask", _check_causal),
        Check("a mask for each row of the batch", _check_documents),
        Check("a mask that hides all but one key", _check_all_but_one),
        Check("one token in a batch of one", _check_attention_one_token),
        Check("large scores", _check_large_scores),
    ),
    "gelu": (
        Check("random numbers", _check_gelu),
        Check("0, 3 and far out", _check_gelu_edges),
    ),
    "swiglu": (
        Check("random numbers", _check_swiglu),
        Check("0 and far out", _check_swiglu_edges),
    ),
    "feed_forward": (
        Check("with biases", _check_feed_forward),
        Check("without biases", _with(_check_feed_forward, bias=False)),
        Check("one token in a batch of one", _with(_check_feed_forward, shape=(1, 1, 4))),
    ),
    "transformer_block": (
        Check("pre-norm, with both residual additions", _check_block),
        Check("one token in a batch of one", _with(_check_block, shape=(1, 1, 4))),
    ),
    "gpt": (
        Check("every block, in order", _check_gpt),
        Check("one block, one token", _with(_check_gpt, shape=(1, 1), num_blocks=1)),
    ),
}
"""By the part's name; checked in this order."""
