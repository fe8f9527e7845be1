"""The GPT's config: defaults filled in, and each impossible setting named."""

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig


def test_defaults_are_filled_in():
    config = GPTConfig(n_embd=96, n_head=6, feed_forward="gelu")
    assert (config.num_kv_heads, config.width_of_head, config.width_of_hidden) == (6, 16, 384)
    config = GPTConfig(n_embd=96, n_head=6, n_kv_head=2, head_dim=32, n_hidden=100)
    assert (config.num_kv_heads, config.width_of_head, config.width_of_hidden) == (2, 32, 100)


@pytest.mark.parametrize(("n_embd", "hidden"), [(96, 256), (128, 352), (768, 2048)])
def test_swiglu_is_narrower(n_embd, hidden):
    # 8/3 n_embd: 256, then 341.3 and 2048, up to a multiple of 32
    assert GPTConfig(n_embd=n_embd, feed_forward="swiglu").width_of_hidden == hidden


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_seq_len": 0}, "max_seq_len must be at least 1, got 0."),
        ({"n_layer": 0}, "n_layer must be at least 1, got 0."),
        ({"n_head": -2}, "n_head must be at least 1, got -2."),
        ({"n_embd": 0}, "n_embd must be at least 1, got 0."),
        ({"vocab_size": -1}, "vocab_size must be at least 1, or 0 for the tokenizer's, got -1."),
        (
            {"n_embd": 10, "n_head": 3},
            "n_head must divide n_embd, got n_head=3 and n_embd=10. "
            "Choose one of 1, 2, 5, 10, or set head_dim.",
        ),
        ({"head_dim": 0}, "head_dim must be at least 1, got 0."),
        (
            {"n_head": 4, "n_kv_head": 3},
            "n_kv_head must divide n_head, got n_kv_head=3 and n_head=4. Choose one of 1, 2, 4.",
        ),
        (
            {"n_head": 4, "n_kv_head": 0},
            "n_kv_head must divide n_head, got n_kv_head=0 and n_head=4. Choose one of 1, 2, 4.",
        ),
        ({"head_dim": 5}, "RoPE needs an even head_dim, got 5."),
        ({"rope_theta": 0.0}, "rope_theta must be positive, got 0.0."),
        (
            {"position": "sinusoidal", "n_embd": 9, "n_head": 3},
            "sinusoidal positions need an even n_embd, got 9.",
        ),
        ({"n_hidden": 0}, "n_hidden must be at least 1, got 0."),
        ({"window": 0}, "window must be at least 1, got 0."),
        ({"logit_softcap": 0.0}, "logit_softcap must be positive, got 0.0."),
        ({"dropout": 1.0}, "dropout must be in [0, 1), got 1.0."),
        ({"dropout": -0.1}, "dropout must be in [0, 1), got -0.1."),
        ({"norm": "batchnorm"}, "norm must be one of layernorm, rmsnorm, got 'batchnorm'."),
        ({"norm_position": "mid"}, "norm_position must be one of pre, post, got 'mid'."),
        (
            {"position": "alibi"},
            "position must be one of learned, sinusoidal, rope, none, got 'alibi'.",
        ),
        (
            {"feed_forward": "tanh"},
            "feed_forward must be one of gelu, gelu_tanh, relu, relu2, silu, swiglu, got 'tanh'.",
        ),
        ({"init": "zeros"}, "init must be one of gpt2, scaled, got 'zeros'."),
    ],
)
def test_impossible_settings_are_named(settings, sentence):
    with pytest.raises(ConfigError) as error:
        GPTConfig(**settings)
    assert str(error.value) == sentence
    assert error.value.exit_code == 2


def test_odd_heads_are_fine_without_rope():
    assert GPTConfig(position="learned", head_dim=5).width_of_head == 5


def test_no_model_of_an_open_vocabulary():
    with pytest.raises(ConfigError, match="vocab_size is 0: set it to the tokenizer's"):
        GPT(GPTConfig())
