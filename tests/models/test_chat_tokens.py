"""A model with the chat template's tokens added: old predictions stay, and transformers loads the export."""

import pytest
import torch
from torch.testing import assert_close

from nn2llm.models.chat_tokens import add_chat_tokens
from nn2llm.models.hf.exporting import export_to_hf
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat
from tests.models.hf_cases import build_bpe, build_chat_bpe, build_ours

ARCHITECTURES = ["gpt2", "llama", "qwen3-tied-grouped"]  # tied, with a head of its own, tied


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_old_tokens_keep_their_rows_and_new_ones_are_near_the_mean(name):
    tokenizer = build_bpe()
    model = build_ours(name, vocab_size=tokenizer.vocab_size)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    larger_model, larger = add_chat_tokens(model, tokenizer)
    size = tokenizer.vocab_size
    assert larger.vocab_size == larger_model.config.vocab_size == size + 3
    assert model.config.vocab_size == size
    changed = {"token_embedding.weight", "head.weight"}
    for key, tensor in larger_model.state_dict().items():
        assert torch.equal(model.state_dict()[key], before[key])  # the given model stays as it was
        assert torch.equal(tensor[:size] if key in changed else tensor, before[key])
        if key in changed:
            new, old = tensor[size:], before[key]
            assert_close(new, old.mean(dim=0).expand_as(new), rtol=0, atol=0.5 * float(old.std()))
            assert len(new.unique(dim=0)) == 3
    assert all(parameter.requires_grad for parameter in larger_model.parameters())
    again, _ = add_chat_tokens(model, tokenizer)
    assert_close(again.state_dict(), larger_model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_old_tokens_keep_their_logits(name):
    tokenizer = build_bpe()
    model = build_ours(name, vocab_size=tokenizer.vocab_size)
    larger, _ = add_chat_tokens(model, tokenizer)
    ids = torch.randint(tokenizer.vocab_size, (2, 12), generator=torch.Generator().manual_seed(1))
    old, new = (one(ids).logits for one in (model, larger))
    assert_close(new[..., : tokenizer.vocab_size], old)
    assert (new[..., tokenizer.vocab_size :] < old.max(dim=-1, keepdim=True).values).all()


def test_only_what_is_missing_is_added():
    tokenizer = build_chat_bpe()
    model = build_ours(vocab_size=tokenizer.vocab_size)
    assert add_chat_tokens(model, tokenizer) == (model, tokenizer)
    partly = build_bpe("<|end|>", "<|pad|>")
    _, larger = add_chat_tokens(build_ours(vocab_size=partly.vocab_size), partly)
    assert list(larger.special_tokens) == ["<|endoftext|>", "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]
    assert larger.special_tokens["<|end|>"] == partly.special_tokens["<|end|>"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_transformers_loads_the_export(name, tmp_path):
    transformers = pytest.importorskip("transformers")
    model, tokenizer = add_chat_tokens(build_ours(name, vocab_size=280), build_bpe())
    export_to_hf(model, tokenizer, tmp_path / "export")  # compares logits and ids
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "export")
    assert len(theirs) == tokenizer.vocab_size
    assert [theirs.convert_tokens_to_ids(mark) for mark in CHAT_TOKENS] == [280, 281, 282]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    assert loaded.config.vocab_size == tokenizer.vocab_size == loaded.get_input_embeddings().num_embeddings
    eos = loaded.generation_config.eos_token_id
    assert ChatFormat(tokenizer).end_id in eos
