"""The KV cache: decoding with it equals decoding without, for every kind of model, chunking and padding."""

import pytest
import torch
from torch.testing import assert_close

from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.nn.kv_cache import KVCache

# log-probabilities, float32: what shared/DESIGN.md promises
CLOSE = {"rtol": 0, "atol": 1e-5}
STYLES = {
    "default": {},
    "gpt2": {
        "position": "learned",
        "norm": "layernorm",
        "feed_forward": "gelu_tanh",
        "bias": True,
        "qk_norm": False,
        "tie_embeddings": True,
        "init": "gpt2",
    },
    "llama": {"n_kv_head": 2, "feed_forward": "swiglu", "qk_norm": False},
    "window": {"n_kv_head": 1, "window": 3, "logit_softcap": 5.0},
    "window of one": {"window": 1},
    "sinusoidal": {"position": "sinusoidal"},
    "no positions": {"position": "none"},
    "post-norm": {"norm_position": "post", "norm": "layernorm", "position": "learned", "bias": True},
}
NUM_TOKENS = 11


def build_model(style):
    torch.manual_seed(0)
    settings = {"vocab_size": 17, "max_seq_len": 20, "n_layer": 2, "n_head": 4, "n_embd": 32}
    model = GPT(GPTConfig(**{**settings, **STYLES[style]})).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # blocks that do something: `scaled` starts them at zero
            if parameter.ndim == 2:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def draw_ids(*shape):
    return torch.randint(17, shape, generator=torch.Generator().manual_seed(1))


def read_in_chunks(model, ids, chunks, cache):
    return torch.cat(
        [model(chunk, cache=cache).logits.log_softmax(-1) for chunk in ids.split(chunks, dim=1)], dim=1
    )


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("chunks", [[1] * NUM_TOKENS, [NUM_TOKENS], [4, 1, 1, 5], [1, 6, 4]])
@torch.no_grad()
def test_cached_equals_uncached(style, chunks):
    model, ids = build_model(style), draw_ids(3, NUM_TOKENS)
    expected = model(ids).logits.log_softmax(-1)
    assert_close(read_in_chunks(model, ids, chunks, model.new_cache(3)), expected, **CLOSE)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("chunks", [[5] + [1] * 6, [7, 4]])
@torch.no_grad()
def test_left_padded_rows_equal_each_row_alone(style, chunks):
    model, ids = build_model(style), draw_ids(3, NUM_TOKENS)
    pad_lengths = torch.tensor([0, 2, 4])
    cache = model.new_cache(3, pad_lengths=pad_lengths)
    padded = read_in_chunks(model, ids, chunks, cache)
    for row, pad_length in enumerate(pad_lengths.tolist()):
        alone = model(ids[row : row + 1, pad_length:]).logits.log_softmax(-1)
        assert_close(padded[row : row + 1, pad_length:], alone, **CLOSE)
    assert torch.isfinite(padded).all()  # of pad tokens too: a NaN would spread through the values


@torch.no_grad()
def test_the_cache_is_what_the_logits_are_from():
    # a test of the tests: with a damaged cache, logits differ
    model, ids = build_model("llama"), draw_ids(1, 6)
    cache = model.new_cache(1)
    model(ids[:, :5], cache=cache)
    cache.keys[:, :, :, 2] += 1
    wrong = model(ids[:, 5:], cache=cache).logits
    assert not torch.allclose(wrong, model(ids).logits[:, 5:], atol=1e-2)


@torch.no_grad()
def test_keep_rows():
    model, ids = build_model("llama"), draw_ids(3, NUM_TOKENS)
    cache = model.new_cache(3, pad_lengths=torch.tensor([0, 2, 4]))
    model(ids[:, :6], cache=cache)
    rows = torch.tensor([2, 0])  # row 1 has finished; the others change places
    cache.keep_rows(rows)
    assert cache.pad_lengths.tolist() == [4, 0]
    kept = model(ids[rows, 6:], cache=cache).logits.log_softmax(-1)
    for place, (row, pad_length) in enumerate([(2, 4), (0, 0)]):
        alone = model(ids[row : row + 1, pad_length:]).logits.log_softmax(-1)
        assert_close(kept[place], alone[0, 6 - pad_length :], **CLOSE)


@torch.no_grad()
def test_a_cache_under_autocast():
    model, ids = build_model("default"), draw_ids(2, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cache = model.new_cache(2)
        logits = read_in_chunks(model, ids, [4, 1, 1], cache)
        assert_close(logits, model(ids).logits.log_softmax(-1), rtol=0, atol=0.1)  # bf16: two digits


def build_cache(**options):
    return KVCache(
        **{"n_layer": 1, "batch_size": 1, "n_kv_head": 1, "head_dim": 2, "max_seq_len": 4, **options}
    )


def test_what_is_stored_comes_back():
    cache = build_cache()
    first, second = torch.ones(1, 1, 3, 2), torch.full((1, 1, 1, 2), 2.0)
    assert torch.equal(cache.append(0, first, -first)[0], first)
    assert cache.length == 0  # other layers store the same positions
    cache.advance(3)
    keys, values = cache.append(0, second, -second)
    assert torch.equal(keys, torch.cat((first, second), dim=2))
    assert torch.equal(values, -keys)


def test_a_full_cache_is_named():
    cache = build_cache()
    cache.advance(3)
    two = torch.ones(1, 1, 2, 2)
    with pytest.raises(ValueError, match="the cache holds 4 positions, 5 are needed"):
        cache.append(0, two, two)


def test_memory_is_as_the_formula_says():
    cache = build_model("llama").new_cache(3, 10)
    # 2 * n_layer * B * K * S * D
    assert cache.keys.numel() + cache.values.numel() == 2 * 2 * 3 * 2 * 10 * 8
