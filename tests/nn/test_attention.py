"""Attention: by hand, what it promises, and equal to torch's fused kernel for every mask."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from nn2llm.nn.attention import SelfAttention, attention_weights, scaled_dot_product_attention
from nn2llm.nn.kv_cache import KVCache
from nn2llm.nn.masks import causal_mask, document_mask, padding_mask, sliding_window_mask
from nn2llm.nn.positions import apply_rope, rope_tables

TIGHT = {"rtol": 0, "atol": 1e-6}
NUM_TOKENS = 7
MASKS = {
    "none": None,
    "causal": causal_mask(NUM_TOKENS, NUM_TOKENS),
    "window": sliding_window_mask(NUM_TOKENS, NUM_TOKENS, 3),
    "documents": causal_mask(NUM_TOKENS, NUM_TOKENS)
    & document_mask(torch.tensor([[0, 0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 1, 1, 1]])),
    "padding": causal_mask(NUM_TOKENS, NUM_TOKENS) & padding_mask(torch.tensor([0, 3]), NUM_TOKENS),
    "all": sliding_window_mask(NUM_TOKENS, NUM_TOKENS, 4)
    & document_mask(torch.tensor([[0, 0, 0, 1, 1, 1, 1], [5, 5, 5, 5, 5, 4, 4]]))
    & padding_mask(torch.tensor([1, 2]), NUM_TOKENS),
}
HEADS = [(4, 4), (4, 2), (4, 1)]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build_attention(seed=0, **options):
    torch.manual_seed(seed)
    settings = {"n_embd": 24, "n_head": 4, "n_kv_head": 2, "head_dim": 6, "bias": False, "qk_norm": False}
    return SelfAttention(**{**settings, "dropout": 0.0, **options}).eval()


def test_by_hand():
    # scores q·k / √4 = (ln 3, 0): weights 3/4 and 1/4
    query = torch.tensor([2 * math.log(3), 0.0, 0.0, 0.0]).view(1, 1, 1, 4)
    key = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]]).view(1, 1, 2, 4)
    value = torch.tensor([[4.0, 0, 0, 0], [0, 8, 0, 0]]).view(1, 1, 2, 4)
    assert_close(attention_weights(query, key), torch.tensor([0.75, 0.25]).view(1, 1, 1, 2), **TIGHT)
    expected = torch.tensor([3.0, 2, 0, 0]).view(1, 1, 1, 4)
    assert_close(scaled_dot_product_attention(query, key, value), expected, **TIGHT)


def test_query_heads_share_key_heads_in_order():
    # values say which key head was read: heads 0, 1 read key head 0; heads 2, 3 key head 1
    query, key = draw(1, 4, 1, 2), draw(1, 2, 3, 2)
    value = torch.tensor([10.0, 20.0]).view(1, 2, 1, 1).expand(1, 2, 3, 2)
    out = scaled_dot_product_attention(query, key, value)
    assert_close(out[0, :, 0, 0], torch.tensor([10.0, 10, 20, 20]))


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(("n_head", "n_kv_head"), HEADS)
def test_equals_torchs_kernel(name, n_head, n_kv_head):
    query = draw(2, n_head, NUM_TOKENS, 8)
    key, value = draw(2, n_kv_head, NUM_TOKENS, 8, seed=1), draw(2, n_kv_head, NUM_TOKENS, 8, seed=2)
    mask = MASKS[name]
    fused = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    assert_close(scaled_dot_product_attention(query, key, value, mask), fused, **TIGHT)


def test_a_scale_of_ones_own():
    query, key, value = draw(1, 2, 5, 4), draw(1, 2, 5, 4, seed=1), draw(1, 2, 5, 4, seed=2)
    fused = F.scaled_dot_product_attention(query, key, value, scale=0.3)
    assert_close(scaled_dot_product_attention(query, key, value, scale=0.3), fused, **TIGHT)


@pytest.mark.parametrize("name", MASKS)
def test_weights_are_shares(name):
    mask = MASKS[name]
    weights = attention_weights(draw(2, 4, NUM_TOKENS, 8), draw(2, 2, NUM_TOKENS, 8, seed=1), mask)
    seen = torch.ones(2, 4, NUM_TOKENS, dtype=torch.bool)
    if mask is not None:
        mask = mask.expand(2, 4, -1, -1)
        assert (weights[~mask] == 0).all()
        seen = mask.any(dim=-1)
    assert_close(weights.sum(-1), seen.float(), **TIGHT)  # 1, and 0 for a query that sees nothing


def test_a_query_that_sees_nothing_gives_zeros():
    mask = torch.tensor([[False, False], [True, False]])
    value = draw(1, 1, 2, 4, seed=2)
    out = scaled_dot_product_attention(draw(1, 1, 2, 4), draw(1, 1, 2, 4, seed=1), value, mask)
    assert_close(out[0, 0, 0], torch.zeros(4))
    assert_close(out[0, 0, 1], value[0, 0, 0], **TIGHT)


def test_three_key_heads_do_not_serve_four():
    with pytest.raises(ValueError, match="3 key heads must divide 4 query heads"):
        attention_weights(draw(1, 4, 2, 4), draw(1, 3, 2, 4))


def read_attention(module, x, mask, rope=None):
    """What SelfAttention computes, by the functions to read."""
    sizes = [module.n_head * module.head_dim, *[module.n_kv_head * module.head_dim] * 2]
    query, key, value = (
        part.unflatten(-1, (-1, module.head_dim)).transpose(1, 2)
        for part in module.qkv(x).split(sizes, dim=-1)
    )
    if module.query_norm is not None:
        query, key = module.query_norm(query), module.key_norm(key)
    if rope is not None:
        query, key = apply_rope(query, *rope), apply_rope(key, *rope)
    out = scaled_dot_product_attention(query, key, value, mask)
    return module.proj(out.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("n_kv_head", [4, 2, 1])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("name", [name for name in MASKS if name != "none"])
def test_self_attention_equals_the_version_to_read(name, qk_norm, n_kv_head):
    module = build_attention(n_kv_head=n_kv_head, qk_norm=qk_norm, bias=True)
    x, rope = draw(2, NUM_TOKENS, 24), rope_tables(NUM_TOKENS, 6)
    out = module(x, mask=MASKS[name], rope=rope)
    assert_close(out, read_attention(module, x, MASKS[name], rope), **TIGHT)
    if name == "causal":  # and without a mask it is causal
        assert_close(module(x, rope=rope), out, **TIGHT)


@pytest.mark.parametrize("chunks", [[7], [1] * 7, [3, 4], [4, 1, 2]])
def test_without_a_mask_it_is_causal_with_a_cache_too(chunks):
    module = build_attention()
    x = draw(2, NUM_TOKENS, 24)
    cache = KVCache(n_layer=1, batch_size=2, n_kv_head=2, head_dim=6, max_seq_len=8)
    outs = []
    with torch.no_grad():
        for chunk in x.split(chunks, dim=1):
            outs.append(module(chunk, cache=cache))
            cache.advance(chunk.shape[1])
        assert_close(torch.cat(outs, dim=1), module(x), **TIGHT)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_some_positions_of_each_row_alone(qk_norm):
    module = build_attention(qk_norm=qk_norm)
    x, only = draw(3, NUM_TOKENS, 24), torch.tensor([[NUM_TOKENS - 1, 1], [0, 0], [2, 4]])
    rows = torch.arange(3)[:, None]
    assert_close(module(x, only=only), module(x)[rows, only], **TIGHT)
    mask = torch.rand(3, 1, NUM_TOKENS, NUM_TOKENS) < 0.5
    mask |= torch.eye(NUM_TOKENS, dtype=torch.bool)
    for given in (mask, mask[0, 0]):
        assert_close(module(x, only=only, mask=given), module(x, mask=given)[rows, only], **TIGHT)
    cache = KVCache(n_layer=1, batch_size=3, n_kv_head=2, head_dim=6, max_seq_len=8)
    with pytest.raises(ValueError, match="does not go with a cache"):
        module(x, only=only, cache=cache)


def test_future_tokens_cannot_change_past_outputs():
    module = build_attention(qk_norm=True)
    x = draw(1, NUM_TOKENS, 24)
    changed = x.clone()
    changed[:, 4:] = draw(1, 3, 24, seed=9)
    before, after = module(x), module(changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_without_positions_and_mask_order_does_not_matter():
    module = build_attention()
    x, order = draw(2, NUM_TOKENS, 24), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    everything = torch.ones(NUM_TOKENS, NUM_TOKENS, dtype=torch.bool)
    assert_close(module(x, mask=everything)[:, order], module(x[:, order], mask=everything), **TIGHT)


def test_dropout_only_in_training():
    module = build_attention(dropout=0.5)
    x = draw(1, NUM_TOKENS, 24)
    assert torch.equal(module(x), module(x))
    module.train()
    assert not torch.equal(module(x), module(x))


def test_qk_norm_bounds_the_scores():
    # queries and keys 1,000 times larger change nothing
    module = build_attention(qk_norm=True)
    x = draw(1, NUM_TOKENS, 24)
    before = module(x)
    with torch.no_grad():
        module.qkv.weight[: 6 * 6] *= 1000  # four query heads and two key heads of 6; values stay
    assert_close(module(x), before, rtol=0, atol=1e-5)
