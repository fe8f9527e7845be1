"""Which architecture a config is, what none has, and what a config.json may say."""

import dataclasses
import json

import pytest
from transformers import GPT2Config, LlamaConfig, Qwen3Config
from transformers.activations import ACT2FN

from nn2llm.core.errors import CheckpointError, ConfigError
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.hf.architectures import (
    _ACTIVATIONS,
    _ACTIVATIONS_READ,
    build_hf_config,
    choose_architecture,
    parse_hf_config,
)
from nn2llm.nn.norms import LayerNorm, RMSNorm
from tests.models.hf_cases import GPT2, LLAMA, OURS, QWEN3

SIZES = {"vocab_size": 43, "max_seq_len": 24, "n_layer": 2, "n_head": 4, "n_embd": 32}
NAMES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def choose(**settings):
    return choose_architecture(GPTConfig(**(SIZES | settings)))


@pytest.mark.parametrize("name", OURS)
def test_each_has_one_architecture(name):
    assert choose(**OURS[name]) == NAMES[name.split("-")[0]]


def test_dropout_and_a_window_over_the_whole_context_change_nothing():
    assert choose(dropout=0.1, window=24, init="gpt2") == "Qwen3ForCausalLM"


@pytest.mark.parametrize(
    ("settings", "nearest", "sentence"),
    [
        (QWEN3 | {"norm_position": "post"}, "Qwen3", "norm_position is 'post', it needs 'pre'"),
        (QWEN3 | {"logit_softcap": 15.0}, "Qwen3", "logit_softcap is 15.0, it needs None"),
        (QWEN3 | {"window": 16}, "Qwen3", "window is 16, it needs None"),
        (QWEN3 | {"feed_forward": "relu2"}, "Qwen3", "feed_forward is 'relu2', it needs 'swiglu'"),
        (LLAMA | {"feed_forward": "gelu"}, "Llama", "feed_forward is 'gelu', it needs 'swiglu'"),
        (QWEN3 | {"position": "none"}, "Qwen3", "position is 'none', it needs 'rope'"),
        (QWEN3 | {"norm": "layernorm"}, "Qwen3", "norm is 'layernorm', it needs 'rmsnorm'"),
        (LLAMA | {"n_embd": 30, "head_dim": 8}, "Llama", "n_embd is 30, it needs a multiple of n_head = 4"),
        (GPT2 | {"position": "sinusoidal"}, "GPT2", "position is 'sinusoidal', it needs 'learned'"),
        (
            GPT2 | {"feed_forward": "swiglu"},
            "GPT2",
            "feed_forward is 'swiglu', it needs 'gelu_tanh' or 'gelu' or 'relu' or 'relu2' or 'silu'",
        ),
        (GPT2 | {"qk_norm": True}, "GPT2", "qk_norm is True, it needs False"),
        (GPT2 | {"n_kv_head": 2}, "GPT2", "n_kv_head is 2, it needs None or 4"),
        (GPT2 | {"head_dim": 16}, "GPT2", "head_dim is 16, it needs n_embd / n_head = 8"),
        (GPT2 | {"norm_position": "post"}, "GPT2", "norm_position is 'post', it needs 'pre'"),
    ],
)
def test_what_no_architecture_has_is_refused_by_name(settings, nearest, sentence):
    with pytest.raises(ConfigError) as caught:
        choose(**settings)
    message = str(caught.value)
    assert message.startswith(
        "No architecture of transformers computes what this model does. The nearest is "
    )
    assert f"nearest is {nearest}" in message
    assert sentence in message
    assert message.endswith("Train one with those settings to export it.")


def test_biases_with_qk_norm_fit_neither_qwen3_nor_llama():
    with pytest.raises(ConfigError, match=r"bias is True, it needs False|qk_norm is True, it needs False"):
        choose(bias=True)


def test_all_that_does_not_fit_is_named():
    with pytest.raises(ConfigError, match=r"norm_position is 'post'.*; logit_softcap is 9\.0"):
        choose(norm_position="post", logit_softcap=9.0)


def test_every_setting_of_the_gpt_is_thought_of():
    # a new one must be exported, refused, or left out on purpose: then add it here
    assert {field.name for field in dataclasses.fields(GPTConfig)} == {
        *("vocab_size", "max_seq_len", "n_layer", "n_head", "n_kv_head", "n_embd", "head_dim", "n_hidden"),
        *("norm", "norm_eps", "norm_position", "position", "rope_theta", "feed_forward", "qk_norm", "bias"),
        *("tie_embeddings", "logit_softcap", "window", "dropout", "init"),
    }


@pytest.mark.parametrize("name", OURS)
def test_a_config_survives_its_file(name):
    config = GPTConfig(**(SIZES | OURS[name]))
    architecture = choose_architecture(config)
    values = json.loads(json.dumps(build_hf_config(config, architecture)))
    read_architecture, read = parse_hf_config(values, where="config.json")
    assert read_architecture == architecture
    # by meaning: n_kv_head=None and n_kv_head=n_head are the same
    for field in (
        "vocab_size",
        "max_seq_len",
        "n_layer",
        "n_head",
        "num_kv_heads",
        "n_embd",
        "width_of_head",
    ):
        assert getattr(read, field) == getattr(config, field)
    for field in ("width_of_hidden", "norm", "eps_of_norm", "norm_position", "position", "feed_forward"):
        assert getattr(read, field) == getattr(config, field)
    assert read.qk_norm == config.qk_norm
    assert read.tie_embeddings == config.tie_embeddings
    assert read.position != "rope" or read.rope_theta == config.rope_theta
    assert read.bias == (config.bias or name.startswith("gpt2"))


def test_gpt2_keeps_its_dropout():
    config = GPTConfig(**(SIZES | GPT2 | {"dropout": 0.25}))
    values = build_hf_config(config, "GPT2LMHeadModel")
    assert [values[name] for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop")] == [0.25] * 3
    assert parse_hf_config(values, where="config.json")[1].dropout == 0.25


def test_activations_are_transformers_own():
    assert set(_ACTIVATIONS_READ) <= set(ACT2FN)
    assert set(_ACTIVATIONS) | {"swiglu"} == {"gelu", "gelu_tanh", "relu", "relu2", "silu", "swiglu"}


# In


LLAMA_FILE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 43,
    "hidden_size": 32,
    "intermediate_size": 50,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
QWEN3_FILE = LLAMA_FILE | {"architectures": ["Qwen3ForCausalLM"], "num_key_value_heads": 2}
GPT2_FILE = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "vocab_size": 43,
    "n_positions": 24,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
}


def parse(values):
    return parse_hf_config(values, where="config.json")[1]


def get_theta(theirs):
    """transformers 5 has it in rope_parameters, 4 by itself."""
    return getattr(theirs, "rope_parameters", {"rope_theta": getattr(theirs, "rope_theta", None)})[
        "rope_theta"
    ]


def test_absent_fields_are_transformers_defaults():
    llama, theirs = parse(LLAMA_FILE), LlamaConfig()
    assert llama.max_seq_len == theirs.max_position_embeddings
    assert llama.eps_of_norm == theirs.rms_norm_eps
    assert llama.rope_theta == get_theta(theirs)
    assert (llama.tie_embeddings, llama.bias) == (theirs.tie_word_embeddings, theirs.attention_bias)
    assert (llama.num_kv_heads, llama.width_of_head) == (4, 8)
    qwen3, theirs = parse(QWEN3_FILE), Qwen3Config()
    assert (qwen3.max_seq_len, qwen3.width_of_head) == (theirs.max_position_embeddings, theirs.head_dim)
    assert (qwen3.eps_of_norm, qwen3.tie_embeddings) == (theirs.rms_norm_eps, theirs.tie_word_embeddings)
    assert qwen3.rope_theta == get_theta(theirs)
    gpt2, theirs = parse(GPT2_FILE), GPT2Config()
    assert gpt2.feed_forward == _ACTIVATIONS_READ[theirs.activation_function]
    assert (gpt2.eps_of_norm, gpt2.tie_embeddings) == (theirs.layer_norm_epsilon, theirs.tie_word_embeddings)
    assert (gpt2.width_of_hidden, gpt2.dropout) == (4 * 32, theirs.resid_pdrop)


def test_the_model_type_tells_where_no_architecture_does():
    for values in (LLAMA_FILE, GPT2_FILE):
        without = {name: value for name, value in values.items() if name != "architectures"}
        assert parse(without) == parse(values)


SCALING = {"rope_type": "llama3", "factor": 8.0}


@pytest.mark.parametrize(
    ("values", "changes", "words"),
    [
        (
            LLAMA_FILE,
            {"architectures": ["MixtralForCausalLM"]},
            "architecture MixtralForCausalLM, which nn2llm",
        ),
        (
            LLAMA_FILE,
            {"architectures": ["Qwen3MoeForCausalLM"]},
            "reads GPT2LMHeadModel, LlamaForCausalLM, Qwen3",
        ),
        (LLAMA_FILE, {"architectures": None, "model_type": "mamba"}, "architecture mamba"),
        (LLAMA_FILE, {"architectures": ["A", "B"]}, "architecture A, B"),
        (LLAMA_FILE, {"architectures": "LlamaForCausalLM"}, "architecture 'LlamaForCausalLM'"),
        (LLAMA_FILE, {"quantization_config": {"quant_method": "awq"}}, r"weights are quantised \(awq\)"),
        (LLAMA_FILE, {"rope_scaling": SCALING}, "rope_scaling is .*llama3.* has RoPE without scaling"),
        (LLAMA_FILE, {"rope_scaling": {"type": "linear", "factor": 2}}, "rope_scaling is .*linear"),
        (LLAMA_FILE, {"rope_parameters": SCALING | {"rope_theta": 1e4}}, "rope_parameters is .*llama3"),
        (
            LLAMA_FILE,
            {"rope_parameters": {"full_attention": {"rope_theta": 1.0}}},
            "rope_parameters .* same plain RoPE",
        ),
        (
            LLAMA_FILE,
            {"rope_parameters": {"rope_type": "default", "rope_theta": "big"}},
            "rope_parameters: rope_theta must be float, got 'big'",
        ),
        (LLAMA_FILE, {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5, .* turns whole heads"),
        (LLAMA_FILE, {"hidden_act": "gelu"}, "hidden_act is 'gelu', .* SwiGLU with silu"),
        (LLAMA_FILE, {"attention_bias": True}, "attention_bias is True, .* mlp_bias differs"),
        (QWEN3_FILE, {"attention_bias": True}, "attention_bias is True, .* biases everywhere or nowhere"),
        (QWEN3_FILE, {"use_sliding_window": True}, "use_sliding_window is True, .* full attention only"),
        (
            QWEN3_FILE,
            {"layer_types": ["full_attention", "sliding_attention"]},
            "layer_types .* full attention",
        ),
        (
            GPT2_FILE,
            {"activation_function": "quick_gelu"},
            "activation_function is 'quick_gelu', .* has gelu",
        ),
        (GPT2_FILE, {"scale_attn_weights": False}, "scale_attn_weights is False, .* always divides"),
        (GPT2_FILE, {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        (GPT2_FILE, {"add_cross_attention": True}, "add_cross_attention is True, .* no cross-attention"),
        (LLAMA_FILE, {"hidden_size": None}, "config.json has no hidden_size, which LlamaForCausalLM needs"),
        (LLAMA_FILE, {"hidden_size": "32"}, "hidden_size must be int, got '32'"),
        (LLAMA_FILE, {"num_hidden_layers": True}, "num_hidden_layers must be int, got True"),
        (LLAMA_FILE, {"hidden_size": 33}, "describes a model that cannot be: n_head must divide n_embd"),
        (LLAMA_FILE, {"num_attention_heads": 0}, "cannot be: n_head must be at least 1, got 0"),
        (LLAMA_FILE, {"rms_norm_eps": -1.0}, "cannot be: norm_eps must be positive, got -1.0"),
    ],
)
def test_what_ours_does_not_have_is_refused_by_name(values, changes, words):
    with pytest.raises(CheckpointError, match=words):
        parse(values | changes)


def test_a_window_that_is_switched_off_is_no_window():
    assert parse(QWEN3_FILE | {"use_sliding_window": False, "sliding_window": 4096}).window is None


# The field that HuggingFace's models need


def test_norm_eps_reaches_every_norm():
    for norm, kind in (("rmsnorm", RMSNorm), ("layernorm", LayerNorm)):
        for eps in (None, 1e-3):
            config = GPTConfig(**SIZES, norm=norm, norm_eps=eps)
            norms = [module for module in GPT(config).modules() if isinstance(module, LayerNorm | RMSNorm)]
            assert len(norms) == 2 * 4 + 1
            expected = {"rmsnorm": 1e-6, "layernorm": 1e-5}[norm] if eps is None else eps
            assert config.eps_of_norm == expected
            assert {module.eps for module in norms if isinstance(module, kind)} == {expected}
            if eps is not None:
                assert {module.eps for module in norms} == {eps}


def test_norm_eps_must_be_positive():
    with pytest.raises(ConfigError, match=r"norm_eps must be positive, got 0\.0\. Typical: 1e-5, 1e-6\."):
        GPTConfig(norm_eps=0.0)
