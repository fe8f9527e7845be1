"""The GPT equals HuggingFace's models with the same weights: logits to 1e-5 in float32."""

import pytest
import torch
from torch.testing import assert_close
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from nn2llm.models.accounting import count_parameters
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig

CLOSE = {"rtol": 0, "atol": 1e-5}
SIZES = {"vocab_size": 43, "max_seq_len": 24, "n_layer": 2, "n_head": 4, "n_embd": 32}


@torch.no_grad()
def make_busy(model):
    """Weights large enough that logits differ by much more than the tolerance; norms that are not ones."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 2:
            parameter.copy_(0.25 * noise)
        else:
            parameter.add_(0.2 * noise)
    return model.eval()


def draw_ids():
    return torch.randint(43, (3, 20), generator=torch.Generator().manual_seed(1))


def load(model, weights):
    """Copy weights by name; every parameter, no more and no less."""
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not missing
    assert not unexpected
    return model.eval()


@pytest.mark.parametrize("tie", [True, False])
@torch.no_grad()
def test_gpt2(tie):
    theirs = make_busy(
        GPT2LMHeadModel(
            GPT2Config(
                vocab_size=43,
                n_positions=24,
                n_embd=32,
                n_layer=2,
                n_head=4,
                activation_function="gelu_new",
                tie_word_embeddings=tie,
            )
        )
    )
    source = theirs.state_dict()
    weights = {
        "token_embedding.weight": source["transformer.wte.weight"],
        "position_embedding.weight": source["transformer.wpe.weight"],
        "final_norm.weight": source["transformer.ln_f.weight"],
        "final_norm.bias": source["transformer.ln_f.bias"],
    }
    if not tie:
        weights["head.weight"] = source["lm_head.weight"]
    names = {
        "attention_norm": "ln_1",
        "attention.qkv": "attn.c_attn",
        "attention.proj": "attn.c_proj",
        "feed_forward_norm": "ln_2",
        "feed_forward.up": "mlp.c_fc",
        "feed_forward.down": "mlp.c_proj",
    }
    for layer in range(2):
        for ours, name in names.items():
            weight = source[f"transformer.h.{layer}.{name}.weight"]
            # Conv1D keeps its matrix transposed
            weights[f"blocks.{layer}.{ours}.weight"] = weight.T if weight.ndim == 2 else weight
            weights[f"blocks.{layer}.{ours}.bias"] = source[f"transformer.h.{layer}.{name}.bias"]

    config = GPTConfig(
        **SIZES,
        position="learned",
        norm="layernorm",
        feed_forward="gelu_tanh",
        bias=True,
        qk_norm=False,
        tie_embeddings=tie,
        init="gpt2",
    )
    model, ids = load(GPT(config), weights), draw_ids()
    assert count_parameters(model) == count_parameters(theirs)
    assert_close(model(ids).logits, theirs(ids).logits, **CLOSE)
    assert theirs(ids).logits.std() > 0.5


def llama_weights(source):
    """Weights of Llama and Qwen3 by our names: queries, keys and values side by side in one matrix."""
    names = {
        "attention_norm": "input_layernorm",
        "attention.proj": "self_attn.o_proj",
        "attention.query_norm": "self_attn.q_norm",
        "attention.key_norm": "self_attn.k_norm",
        "feed_forward_norm": "post_attention_layernorm",
        "feed_forward.gate": "mlp.gate_proj",
        "feed_forward.up": "mlp.up_proj",
        "feed_forward.down": "mlp.down_proj",
    }
    weights = {
        "token_embedding.weight": source["model.embed_tokens.weight"],
        "final_norm.weight": source["model.norm.weight"],
        "head.weight": source["lm_head.weight"],
    }
    for layer in range(2):
        theirs = f"model.layers.{layer}"
        for ours, name in names.items():
            if f"{theirs}.{name}.weight" in source:
                weights[f"blocks.{layer}.{ours}.weight"] = source[f"{theirs}.{name}.weight"]
        qkv = [source[f"{theirs}.self_attn.{part}_proj.weight"] for part in "qkv"]
        weights[f"blocks.{layer}.attention.qkv.weight"] = torch.cat(qkv)
    return weights


@pytest.mark.parametrize(
    ("config_class", "model_class", "qk_norm"),
    [(LlamaConfig, LlamaForCausalLM, False), (Qwen3Config, Qwen3ForCausalLM, True)],
)
@pytest.mark.parametrize("n_kv_head", [4, 2, 1])
@torch.no_grad()
def test_llama_and_qwen3(config_class, model_class, qk_norm, n_kv_head):
    theirs = make_busy(
        model_class(
            config_class(
                vocab_size=43,
                max_position_embeddings=24,
                hidden_size=32,
                intermediate_size=96,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=n_kv_head,
                head_dim=10,
                rms_norm_eps=1e-6,
                rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
                tie_word_embeddings=False,
            )
        )
    )
    config = GPTConfig(
        **SIZES, n_kv_head=n_kv_head, head_dim=10, n_hidden=96, rope_theta=5000.0, qk_norm=qk_norm
    )
    model, ids = load(GPT(config), llama_weights(theirs.state_dict())), draw_ids()
    assert count_parameters(model) == count_parameters(theirs)
    assert_close(model(ids).logits, theirs(ids).logits, **CLOSE)
    assert theirs(ids).logits.std() > 0.5


@torch.no_grad()
def test_left_padding_equals_huggingfaces():
    theirs = make_busy(
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=43,
                max_position_embeddings=24,
                hidden_size=32,
                intermediate_size=96,
                num_hidden_layers=2,
                num_attention_heads=4,
                rms_norm_eps=1e-6,
                tie_word_embeddings=False,
            )
        )
    )
    model = load(GPT(GPTConfig(**SIZES, n_hidden=96, qk_norm=False)), llama_weights(theirs.state_dict()))
    ids, pad_lengths = draw_ids(), torch.tensor([0, 3, 7])
    attention_mask = (torch.arange(20) >= pad_lengths[:, None]).long()
    positions = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
    expected = theirs(ids, attention_mask=attention_mask, position_ids=positions).logits
    logits = model(ids, cache=model.new_cache(3, pad_lengths=pad_lengths)).logits
    real = attention_mask.bool()
    assert_close(logits[real], expected[real], **CLOSE)
