"""The decoder equals `GPT.compute_hidden` with a cache, for every kind of model it reads."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from nn2llm.generation.decoder import Decoder
from nn2llm.generation.engine import generate, generate_uncached
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig

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
    "llama, grouped": {"n_kv_head": 2, "qk_norm": False, "head_dim": 6},
    "qwen3, one key head": {"n_kv_head": 1},
    "relu2, capped": {"feed_forward": "relu2", "logit_softcap": 5.0},
    "window": {"n_kv_head": 1, "window": 3},
    "window of one": {"window": 1},
    "sinusoidal": {"position": "sinusoidal", "feed_forward": "silu"},
    "no positions": {"position": "none", "feed_forward": "gelu", "norm": "layernorm"},
    "post-norm": {"norm_position": "post", "norm": "layernorm", "position": "learned", "bias": True},
}


def build_model(**settings) -> GPT:
    """Random weights everywhere, norms included: a norm of ones would hide a weight that is left out."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 17, "max_seq_len": 20, "n_layer": 2, "n_head": 4, "n_embd": 32}
    model = GPT(GPTConfig(**{**sizes, **settings})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("pads", [None, [0, 2, 4]])
@torch.no_grad()
def test_equals_the_model(style, pads):
    model = build_model(**STYLES[style])
    ids = torch.randint(17, (3, 14), generator=torch.Generator().manual_seed(1))
    pad_lengths = None if pads is None else torch.tensor(pads)
    caches = [model.new_cache(3, pad_lengths=pad_lengths) for _ in range(2)]
    for cache in caches:
        model.compute_hidden(ids[:, :6], cache=cache)
    decoder = Decoder(model)
    for position in range(6, 14):
        expected = model.compute_hidden(ids[:, position : position + 1], cache=caches[0])[:, 0]
        assert_close(decoder.compute_hidden(ids[:, position], caches[1]), expected, **CLOSE)
    assert caches[1].length == 14
    assert_close(caches[1].keys, caches[0].keys, **CLOSE)
    assert_close(caches[1].values, caches[0].values, **CLOSE)


@torch.no_grad()
def test_in_bfloat16():
    model = build_model().to(torch.bfloat16)
    ids = torch.randint(17, (2, 8), generator=torch.Generator().manual_seed(1))
    caches = [model.new_cache(2) for _ in range(2)]
    decoder = Decoder(model)
    for position in range(8):
        expected = model.compute_hidden(ids[:, position : position + 1], cache=caches[0])[:, 0]
        hidden = decoder.compute_hidden(ids[:, position], caches[1])
        assert hidden.dtype == torch.bfloat16
        assert_close(hidden, expected, rtol=0.05, atol=0.05)  # bf16: two digits


def test_a_model_with_other_modules_is_not_read():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = build_model()
    assert Decoder.supports(model)
    plain = generate(model, [[1, 2]], max_new_tokens=8, sampling=SamplingConfig(temperature=0))
    up = model.blocks[1].feed_forward.up
    model.blocks[1].feed_forward.up = Doubled(32, up.out_features, bias=False)
    model.blocks[1].feed_forward.up.weight = up.weight
    assert not Decoder.supports(model)
    with pytest.raises(ValueError, match="GPT holds modules that the decoder does not know: Doubled"):
        Decoder(model)
    changed, expected = (
        writer(model, [[1, 2]], max_new_tokens=8, sampling=SamplingConfig(temperature=0))
        for writer in (generate, generate_uncached)
    )
    assert changed[0].ids == expected[0].ids != plain[0].ids


def test_a_model_with_hooks_is_not_read():
    # a hook may change what passes (probes, steering): the decoder would leave it out without a word
    model = build_model()
    handle = model.blocks[0].register_forward_hook(lambda module, args, out: 0 * out)
    assert not Decoder.supports(model)
    handle.remove()
    assert Decoder.supports(model)
