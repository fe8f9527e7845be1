"""The same weights in transformers give the same logits, in both directions; tolerance 1e-5 in float32."""

import json

import pytest
import safetensors.torch
import torch
from torch.testing import assert_close
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from nn2llm.generation import SamplingConfig, generate
from nn2llm.models.accounting import count_parameters
from nn2llm.models.hf import export_to_hf, load_from_hf
from tests.models.hf_cases import (
    CLOSE,
    MAX_SEQ_LEN,
    OURS,
    VOCAB_SIZE,
    build_ours,
    build_tokenizer,
    draw_ids,
    make_busy,
)


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Each of OURS, exported: name → (our model, folder)."""
    root = tmp_path_factory.mktemp("exports")
    found = {}
    for name in OURS:
        model = build_ours(name)
        export_to_hf(model, build_tokenizer(), root / name)
        found[name] = (model, root / name)
    return found


def load_theirs(folder):
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()


@pytest.mark.parametrize("name", OURS)
@torch.no_grad()
def test_ours_in_transformers(exports, name):
    model, folder = exports[name]
    theirs, ids = load_theirs(folder), draw_ids()
    logits = model(ids).logits
    assert type(theirs).__name__.lower().startswith(name.split("-")[0])
    assert_close(theirs(ids).logits, logits, **CLOSE)
    assert 0.5 < logits.std() < 10
    if name != "gpt2-no-bias":
        assert count_parameters(theirs) == count_parameters(model)


@pytest.mark.parametrize("name", OURS)
@torch.no_grad()
def test_out_and_in_again_gives_the_same_bits(exports, name):
    model, folder = exports[name]
    imported = load_from_hf(folder)
    weights = imported.model.state_dict()
    for tensor_name, tensor in model.state_dict().items():
        assert torch.equal(weights.pop(tensor_name), tensor), tensor_name
    # what is new are the biases that GPT-2 always has
    assert all(not tensor.any() for tensor in weights.values())
    assert bool(weights) == (name == "gpt2-no-bias")
    assert imported.model.config.eps_of_norm == model.config.eps_of_norm
    assert imported.notes == []
    assert imported.tokenizer.to_hf_json() == build_tokenizer().to_hf_json()
    ids = draw_ids()
    assert_close(imported.model(ids).logits, model(ids).logits, rtol=0, atol=0 if not weights else 1e-6)


@pytest.mark.parametrize("name", ["gpt2", "llama-tied-grouped", "qwen3-odd-width"])
@torch.no_grad()
def test_greedy_decoding_is_the_same(exports, name):
    model, folder = exports[name]
    theirs = load_theirs(folder)
    for row in draw_ids()[:, :4]:
        num_new = MAX_SEQ_LEN - 4
        [ours] = generate(
            model, [row.tolist()], max_new_tokens=num_new, sampling=SamplingConfig(temperature=0)
        )
        output = theirs.generate(
            row[None],
            max_new_tokens=num_new,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        new_ids = output.sequences[0, 4:].tolist()
        compared = 0
        for step, logits in enumerate(output.logits):
            best, second = logits[0].topk(2).values
            if best - second < 1e-4:  # rounding may choose either, and what follows differs
                break
            assert ours.ids[step] == new_ids[step]
            logprob = logits[0].log_softmax(-1)[new_ids[step]]
            assert ours.logprobs[step] == pytest.approx(float(logprob), abs=1e-5)
            compared += 1
        assert compared > 10


# Theirs, as save_pretrained writes them


LLAMA_SIZES = {
    "vocab_size": VOCAB_SIZE,
    "max_position_embeddings": MAX_SEQ_LEN,
    "hidden_size": 32,
    "intermediate_size": 50,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
GPT2_SIZES = {"vocab_size": VOCAB_SIZE, "n_positions": MAX_SEQ_LEN, "n_embd": 32, "n_layer": 2, "n_head": 4}
# under its name of transformers 5, and of 4
THETA = {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}, "rope_theta": 300.0}
THEIRS = {
    "gpt2": (GPT2LMHeadModel, GPT2Config, GPT2_SIZES),
    "gpt2-untied": (
        GPT2LMHeadModel,
        GPT2Config,
        GPT2_SIZES
        | {
            "tie_word_embeddings": False,
            "n_inner": 50,
            "layer_norm_epsilon": 1e-2,
            "activation_function": "gelu_pytorch_tanh",
        },
    ),
    "gpt2-relu": (GPT2LMHeadModel, GPT2Config, GPT2_SIZES | {"activation_function": "relu"}),
    "llama": (LlamaForCausalLM, LlamaConfig, LLAMA_SIZES | {"rms_norm_eps": 1e-2}),
    "llama-all": (
        LlamaForCausalLM,
        LlamaConfig,
        LLAMA_SIZES
        | {
            "tie_word_embeddings": True,
            "num_key_value_heads": 2,
            "head_dim": 12,
            "attention_bias": True,
            "mlp_bias": True,
            **THETA,
        },
    ),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, LLAMA_SIZES | {"num_key_value_heads": 4, "head_dim": 8}),
    "qwen3-all": (
        Qwen3ForCausalLM,
        Qwen3Config,
        LLAMA_SIZES
        | {
            "tie_word_embeddings": True,
            "num_key_value_heads": 1,
            "head_dim": 18,
            "hidden_size": 30,
            "rms_norm_eps": 1e-2,
            **THETA,
        },
    ),
}


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("shards", [False, True])
@torch.no_grad()
def test_theirs_in_ours(tmp_path, name, shards):
    model_class, config_class, settings = THEIRS[name]
    theirs = make_busy(model_class(config_class(**settings)))
    theirs.save_pretrained(tmp_path, max_shard_size="9KB" if shards else "1GB")
    assert (tmp_path / "model.safetensors.index.json").exists() == shards
    build_tokenizer().save(tmp_path)
    imported, ids = load_from_hf(tmp_path), draw_ids()
    assert_close(imported.model(ids).logits, theirs(ids).logits, **CLOSE)
    assert theirs(ids).logits.std() > 0.5
    assert imported.architecture == model_class.__name__
    assert count_parameters(imported.model) == count_parameters(theirs)
    assert imported.comparison.max_difference <= imported.comparison.limit


@torch.no_grad()
def test_openai_s_gpt2_has_no_prefix_and_keeps_its_masks(tmp_path):
    theirs = make_busy(GPT2LMHeadModel(GPT2Config(**GPT2_SIZES)))
    theirs.save_pretrained(tmp_path)
    build_tokenizer().save(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = {
        name.removeprefix("transformer."): tensor
        for name, tensor in safetensors.torch.load_file(path).items()
    }
    for layer in range(2):
        weights[f"h.{layer}.attn.bias"] = torch.ones(1, 1, MAX_SEQ_LEN, MAX_SEQ_LEN, dtype=torch.bool)
        weights[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    ids = draw_ids()
    assert_close(load_from_hf(tmp_path).model(ids).logits, theirs(ids).logits, **CLOSE)


@torch.no_grad()
def test_a_config_of_transformers_4_says_rope_theta_beside_rope_scaling(tmp_path):
    model_class, config_class, settings = THEIRS["llama-all"]
    theirs = make_busy(model_class(config_class(**settings)))
    theirs.save_pretrained(tmp_path)
    build_tokenizer().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("rope_parameters", None)
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"rope_theta": 300, "rope_scaling": None, "torch_dtype": "float32"})
    )
    ids = draw_ids()
    assert_close(load_from_hf(tmp_path).model(ids).logits, theirs(ids).logits, **CLOSE)


@torch.no_grad()
def test_half_precision_files_become_float32(tmp_path):
    make_busy(LlamaForCausalLM(LlamaConfig(**LLAMA_SIZES))).to(torch.bfloat16).save_pretrained(tmp_path)
    build_tokenizer().save(tmp_path)
    imported, ids = load_from_hf(tmp_path), draw_ids()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert {parameter.dtype for parameter in imported.model.parameters()} == {torch.float32}
    assert_close(imported.model(ids).logits, theirs(ids).logits, **CLOSE)


@torch.no_grad()
def test_embedding_rows_beyond_the_tokenizer_are_left_out(tmp_path):
    for tied in (True, False):
        settings = LLAMA_SIZES | {"vocab_size": 64, "tie_word_embeddings": tied}
        theirs = make_busy(LlamaForCausalLM(LlamaConfig(**settings)))
        theirs.save_pretrained(tmp_path)
        build_tokenizer().save(tmp_path)
        imported, ids = load_from_hf(tmp_path), draw_ids()
        assert imported.notes == [
            "The model has 64 embedding rows for 43 tokens: the last 21, which no text produces, "
            "are left out."
        ]
        assert imported.model.config.vocab_size == 43
        assert_close(imported.model(ids).logits, theirs(ids).logits[..., :43], **CLOSE)


@torch.no_grad()
def test_long_contexts_agree_too(tmp_path):
    for name, allowed in (("gpt2", 1e-5), ("qwen3", 1e-5)):
        export = export_to_hf(build_ours(name, max_seq_len=600), build_tokenizer(), tmp_path / name)
        assert export.comparison.num_positions == 600
        assert export.comparison.max_difference < allowed
