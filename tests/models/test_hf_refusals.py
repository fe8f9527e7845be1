"""Folders that cannot be imported: each is refused with the name of what is wrong."""

import json
import shutil

import pytest
import safetensors.torch
import torch

from nn2llm.core.errors import CheckpointError, TokenizerError
from nn2llm.models.hf import export_to_hf, load_from_hf
from tests.models.hf_cases import build_bpe, build_ours, build_tokenizer, edit_json


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """An exported Llama."""
    folder = tmp_path_factory.mktemp("good") / "llama"
    export_to_hf(build_ours("llama"), build_tokenizer(), folder)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    """A copy, to be damaged."""
    return shutil.copytree(good, tmp_path / "llama")


@pytest.fixture
def weights(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def save(folder, weights):
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def shard(folder, weights):
    """Split the weights into two files and an index, as transformers does."""
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, part in parts.items():
        safetensors.torch.save_file({name: weights[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in parts.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    (folder / "model.safetensors").unlink()
    return weight_map


def refuse(folder, words, error=CheckpointError):
    with pytest.raises(error) as caught:
        load_from_hf(folder)
    message = str(caught.value)
    for word in words if isinstance(words, list) else [words]:
        assert word in message
    assert "\n" not in message


def test_the_undamaged_folder_is_read(folder):
    assert load_from_hf(folder).architecture == "LlamaForCausalLM"


# Files


def test_no_folder(tmp_path):
    refuse(tmp_path / "none", ["none does not exist. Name a folder with a config.json", "model.safetensors"])


def test_a_file(folder):
    refuse(folder / "config.json", "config.json is a file. Name a folder")


def test_no_config(folder):
    (folder / "config.json").unlink()
    refuse(folder, ["holds no config.json. Name a folder", "nn2llm export"])


def test_a_config_that_is_no_json(folder):
    (folder / "config.json").write_text('{"architectures": [')
    refuse(folder, "config.json is not valid JSON")


def test_a_config_that_is_no_object(folder):
    (folder / "config.json").write_text("[1]")
    refuse(folder, "config.json holds list, not an object. Download it again.")


def test_another_architecture(folder):
    edit_json(folder / "config.json", architectures=["MixtralForCausalLM"], model_type="mixtral")
    refuse(folder, ["architecture MixtralForCausalLM", "GPT2LMHeadModel, LlamaForCausalLM, Qwen3ForCausalLM"])


def test_a_feature_that_ours_does_not_have(folder):
    edit_json(folder / "config.json", rope_scaling={"rope_type": "yarn", "factor": 4.0})
    refuse(folder, ["rope_scaling is", "'yarn'", "RoPE without scaling"])


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    refuse(folder, "holds no model.safetensors and no model.safetensors.index.json")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
def test_pickled_weights(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"")
    refuse(folder, ["reading that can run code", "save_pretrained(NEW)"])


@pytest.mark.parametrize("num_bytes", [0, 4, 100, -1])
def test_weights_cut_short(folder, num_bytes):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:num_bytes])
    refuse(folder, "model.safetensors is damaged or cut short")


def test_shards_are_read(folder, weights):
    before = load_from_hf(folder).model.state_dict()
    shard(folder, weights)
    after = load_from_hf(folder).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_transformers_cannot_load_is_imported_and_not_compared(folder, weights):
    weight_map = shard(folder, weights)
    # transformers wants "metadata"; we have all that we need
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    sentence = load_from_hf(folder).comparison.describe()
    assert sentence.startswith("NOT compared with transformers: transformers ")
    assert "cannot load it (KeyError" in sentence


def test_a_missing_shard(folder, weights):
    shard(folder, weights)
    (folder / "model-00002-of-00002.safetensors").unlink()
    refuse(
        folder, ["model-00002-of-00002.safetensors is missing", f"holds {len(weights) - 5} tensors", "again"]
    )


def test_a_shard_cut_short(folder, weights):
    shard(folder, weights)
    path = folder / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    refuse(folder, "model-00002-of-00002.safetensors is damaged or cut short")


def test_a_shard_without_what_its_index_says(folder, weights):
    weight_map = shard(folder, weights)
    name = next(name for name, file in weight_map.items() if file.startswith("model-00002"))
    path = folder / "model-00002-of-00002.safetensors"
    rest = {key: tensor for key, tensor in safetensors.torch.load_file(path).items() if key != name}
    safetensors.torch.save_file(rest, path)
    refuse(folder, f"model-00002-of-00002.safetensors does not hold {name}, as ")


@pytest.mark.parametrize("content", ["{}", '{"weight_map": ["a"]}', '{"weight_map": {"a": 1}}'])
def test_an_index_without_a_map(folder, weights, content):
    shard(folder, weights)
    (folder / "model.safetensors.index.json").write_text(content)
    refuse(folder, "index.json has no weight_map of tensor to file")


@pytest.mark.parametrize("name", ["../llama/model-00001-of-00002.safetensors", "/etc/passwd", ".."])
def test_an_index_that_leads_outside(folder, weights, name):
    shard(folder, weights)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    refuse(folder, "names a file outside its folder" if name != ".." else "index.json")


# Weights


def test_a_missing_tensor(folder, weights):
    del weights["model.layers.1.mlp.up_proj.weight"]
    save(folder, weights)
    refuse(folder, ["lacks model.layers.1.mlp.up_proj.weight, which LlamaForCausalLM", "Download"])


def test_many_missing_tensors_are_not_all_named(folder, weights):
    save(folder, {name: tensor for name, tensor in weights.items() if "layers.1" not in name})
    refuse(folder, "and 6 more tensors")


def test_an_unexpected_tensor(folder, weights):
    save(folder, weights | {"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)})
    refuse(folder, ["holds model.layers.0.self_attn.q_proj.bias, which", "compute something else"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 64, "head_dim": 8}, "model.embed_tokens.weight should be 43 × 64 and is 43 × 32"),
        ({"intermediate_size": 81}, "model.layers.0.mlp.gate_proj.weight should be 81 × 32 and is 80 × 32"),
        ({"num_key_value_heads": 2}, "self_attn.k_proj.weight should be 16 × 32 and is 32 × 32"),
        ({"vocab_size": 44}, "model.embed_tokens.weight should be 44 × 32 and is 43 × 32"),
        ({"num_hidden_layers": 3}, "lacks model.layers.2."),
        ({"num_hidden_layers": 1}, "holds model.layers.1."),
        ({"tie_word_embeddings": True}, "lm_head.weight differs from model.embed_tokens.weight"),
        ({"attention_bias": True, "mlp_bias": True}, "lacks model.layers.0.self_attn.o_proj.bias"),
        (
            {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"},
            "lacks model.layers.0.self_attn.q_norm.weight",
        ),
    ],
)
def test_a_config_that_contradicts_its_weights(folder, changes, words):
    edit_json(folder / "config.json", **changes)
    refuse(folder, words)


def test_an_untied_model_without_its_head(folder, weights):
    del weights["lm_head.weight"]
    save(folder, weights)
    refuse(folder, "lacks lm_head.weight")


@torch.no_grad()
def test_a_head_that_repeats_tied_embeddings_is_let_go(folder, weights):
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save(folder, weights)
    edit_json(folder / "config.json", tie_word_embeddings=True)
    assert load_from_hf(folder).model.config.tie_embeddings


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_weights(folder, weights, dtype):
    name = "model.layers.0.mlp.up_proj.weight"
    save(folder, weights | {name: weights[name].to(dtype)})
    refuse(folder, [f"{name} is {str(dtype)[6:]}: the weights are quantised", "Import the original"])


# Tokenizers


def test_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    refuse(folder, ["The tokenizer of", "cannot be imported", "holds no tokenizer.json"], TokenizerError)


def test_sentencepiece(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"")
    refuse(
        folder, ["cannot be imported: tokenizer.model is SentencePiece's", "byte-level BPE"], TokenizerError
    )


@pytest.mark.parametrize(
    ("pre_tokenizer", "words"),
    [
        (None, "BPE with pre-tokenizer None"),
        (
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"},
            "BPE with pre-tokenizer Metaspace",
        ),
        ({"type": "Sequence", "pretokenizers": []}, "BPE with pre-tokenizer Sequence"),
    ],
)
def test_a_tokenizer_of_another_kind(folder, pre_tokenizer, words):
    build_bpe().save(folder)
    edit_json(folder / "tokenizer.json", pre_tokenizer=pre_tokenizer)
    refuse(folder, ["cannot be imported", words], TokenizerError)


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    refuse(folder, ["The tokenizer of", "tokenizer.json is not valid JSON"], TokenizerError)


def test_more_tokens_than_rows(folder):
    build_bpe().save(folder)
    refuse(folder, ["the tokenizer has 280 ids, but the model only 43", "different models"])


def test_a_tokenizer_that_adds_tokens_is_said(folder, weights):
    export = folder.parent / "bpe"
    tokenizer = build_bpe()
    export_to_hf(build_ours("llama", vocab_size=280), tokenizer, export)
    piece = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    ids = {"id": "<|endoftext|>", "ids": [tokenizer.end_of_text_id], "tokens": ["<|endoftext|>"]}
    edit_json(
        export / "tokenizer.json",
        post_processor={
            "type": "TemplateProcessing",
            "single": list(piece),
            "pair": [*piece, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|endoftext|>": ids},
        },
    )
    assert load_from_hf(export).notes == [
        "Its tokenizer adds <|endoftext|> to every text; nn2llm adds nothing."
    ]
