"""An exported folder: whole or absent, the same text and ids, a chat template that marks what to learn."""

import errno
import json
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from nn2llm.core import files
from nn2llm.core.errors import CheckpointError, ConfigError, StorageError
from nn2llm.models.hf import Figures, comparing, export_to_hf, exporting, load_from_hf
from nn2llm.tokenizers import CharTokenizer, load_gpt2_tokenizer
from nn2llm.tokenizers.chat import CHAT_TEMPLATE, PLAIN_CHAT_TEMPLATE, choose_chat_template
from tests.models.hf_cases import (
    CHARACTERS,
    MAX_SEQ_LEN,
    build_bpe,
    build_chat_bpe,
    build_ours,
    build_tokenizer,
    draw_ids,
    make_busy,
)

FILES = {
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


def export(folder, tokenizer, name="qwen3", **options):
    return export_to_hf(build_ours(name, vocab_size=tokenizer.vocab_size), tokenizer, folder, **options)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """kind → (tokenizer, its exported folder)."""
    root = tmp_path_factory.mktemp("folders")
    tokenizers = {"bpe": build_bpe(), "chat": build_chat_bpe(), "char": build_tokenizer()}
    for kind, tokenizer in tokenizers.items():
        export(root / kind, tokenizer)
    return {kind: (tokenizer, root / kind) for kind, tokenizer in tokenizers.items()}


@pytest.fixture(scope="module")
def loaded(folders):
    """kind → (our tokenizer, transformers' from the folder)."""
    return {kind: (ours, AutoTokenizer.from_pretrained(folder)) for kind, (ours, folder) in folders.items()}


# What is in it


def test_the_folder_is_complete(folders):
    for kind, (_, folder) in folders.items():
        assert {path.name for path in folder.iterdir()} == FILES - (
            {"chat_template.jinja"} if kind == "char" else set()
        )


@pytest.mark.parametrize("name", ["gpt2", "llama-tied-grouped"])
def test_tied_embeddings_are_stored_once(tmp_path, name):
    export(tmp_path / "out", build_tokenizer(), name)
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 - not a dictionary
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert theirs.lm_head.weight is theirs.get_input_embeddings().weight


def test_no_custom_code_is_asked_for(folders):
    for _, folder in folders.values():
        for path in folder.glob("*.json"):
            assert "auto_map" not in json.loads(path.read_text())


def test_special_tokens(loaded):
    for kind, (ours, theirs) in loaded.items():
        assert theirs.eos_token_id == theirs.bos_token_id == ours.end_of_text_id
        assert theirs.pad_token == ("<|pad|>" if kind == "chat" else "<|endoftext|>")
        assert theirs.unk_token is None
        assert theirs.model_max_length == MAX_SEQ_LEN
        assert len(theirs) == ours.vocab_size
        assert theirs.decode(list(ours.special_tokens.values()), skip_special_tokens=True) == ""


def test_generation_ends_with_the_turn_too(folders):
    tokenizer, folder = folders["chat"]
    ends = [tokenizer.special_tokens[name] for name in ("<|endoftext|>", "<|end|>")]
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == ends
    assert AutoModelForCausalLM.from_pretrained(folder).generation_config.eos_token_id == ends


def test_a_bfloat16_export_is_half_as_large_and_compared_as_it_is(tmp_path):
    big, small = export(tmp_path / "a", build_bpe()), export(tmp_path / "b", build_bpe(), dtype="bfloat16")
    assert small.num_bytes < 0.6 * big.num_bytes
    assert small.comparison.max_difference < 1e-5
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "b", dtype="auto").dtype == torch.bfloat16
    imported = load_from_hf(tmp_path / "b").model.state_dict()
    for name, tensor in build_ours(vocab_size=build_bpe().vocab_size).state_dict().items():
        assert torch.equal(imported[name], tensor.to(torch.bfloat16).float())


def test_the_card_tells_the_figures(tmp_path):
    figures = Figures(name="my-run", rows={"text": "a | b\nc", "held-out loss": "1.2345 nats a token"})
    export(tmp_path / "out", build_tokenizer(), figures=figures)
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "# my-run\n" in card
    assert "| text | a \\| b c |" in card
    assert "| held-out loss | 1.2345 nats a token |" in card
    assert "Compared with transformers" in card
    assert "MIT licence" in card


def test_the_card_s_python_runs(folders, monkeypatch):
    _, folder = folders["bpe"]
    monkeypatch.chdir(folder)
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code, {})


# Tokenizers


NASTY = [
    "",
    " ",
    "  leading, trailing  ",
    "tab\tnewline\n\n\r\nend\n",
    "don't we'll I'M x . y , z ! 's",
    "naïve 日本語 العربية e\u0301 \u200b\ufeff\u00a0",
    "👩‍👩‍👧 🇪🇺 \U00020000",
    "<|endoftext|>",
    "a<|endoftext|> <|endoftext|>b<|user|>hi<|end|>",
    "<|endoftext",
]


@pytest.mark.parametrize("kind", ["bpe", "chat"])
@pytest.mark.parametrize("text", NASTY)
def test_ids_and_text_are_the_same(loaded, kind, text):
    ours, theirs = loaded[kind]
    # a special token's name in a text is that token for transformers, and for us where it is allowed …
    assert theirs(text)["input_ids"] == ours.encode(text, allowed_special=True)
    # … and plain text for us otherwise, and for transformers where it is asked for
    assert theirs(text, split_special_tokens=True)["input_ids"] == ours.encode(text)
    assert theirs.decode(ours.encode(text)) == text


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=30))
def test_ids_of_any_text(loaded, text):
    ours, theirs = loaded["bpe"]
    assert theirs(text)["input_ids"] == ours.encode(text, allowed_special=True)
    assert theirs.decode(ours.encode(text)) == text


@settings(deadline=None, max_examples=60)
@given(text=st.text(alphabet=CHARACTERS, max_size=30))
def test_ids_of_any_text_of_known_characters(loaded, text):
    ours, theirs = loaded["char"]
    assert theirs(text)["input_ids"] == ours.encode(text)
    assert theirs.decode(ours.encode(text)) == text


def test_a_character_tokenizer_refuses_what_it_does_not_know(loaded):
    _, theirs = loaded["char"]
    with pytest.raises(Exception, match="Missing \\[UNK\\] token"):
        theirs("Ä")


@pytest.mark.slow
def test_gpt2_s_own_tokenizer(shared_data, tmp_path):
    folder = shared_data / "tokenizer"
    tokenizer = load_gpt2_tokenizer(folder / "gpt2-encoder.json", folder / "gpt2-vocab.bpe")
    done = export(tmp_path / "out", tokenizer, "gpt2")
    assert done.comparison.num_texts > 20
    assert load_from_hf(tmp_path / "out").tokenizer.fingerprint() == tokenizer.fingerprint()


def test_gpt2_s_two_files_are_read_too(folders, tmp_path):
    tokenizer, folder = folders["bpe"]
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").unlink()
    vocabulary = content["model"]["vocab"] | {"<|endoftext|>": tokenizer.end_of_text_id}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "\n".join(" ".join(pair) for pair in content["model"]["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    assert load_from_hf(tmp_path).tokenizer.fingerprint() == tokenizer.fingerprint()


# Chat


TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello  there"},
    {"role": "assistant", "content": "Hi, how are\nyou?"},
    {"role": "user", "content": "ok"},
    {"role": "assistant", "content": "Bye"},
]
TEXTS = {
    "bpe": "<|endoftext|>System: Be kind.\nUser: Hello  there\nAssistant: Hi, how are\nyou?<|endoftext|>"
    "User: ok\nAssistant: Bye<|endoftext|>",
    "chat": "<|endoftext|><|system|>Be kind.<|end|><|user|>Hello  there<|end|><|assistant|>Hi, how are\nyou?"
    "<|end|><|user|>ok<|end|><|assistant|>Bye<|end|>",
}
REPLIES = {
    "bpe": " Hi, how are\nyou?<|endoftext|> Bye<|endoftext|>",
    "chat": "Hi, how are\nyou?<|end|>Bye<|end|>",
}


@pytest.mark.parametrize("kind", ["bpe", "chat"])
def test_a_conversation_as_text(loaded, kind):
    _, theirs = loaded[kind]
    assert theirs.apply_chat_template(TALK, tokenize=False) == TEXTS[kind]
    begun = theirs.apply_chat_template(TALK[:4], tokenize=False, add_generation_prompt=True)
    assert TEXTS[kind].startswith(begun)
    assert begun.endswith("Assistant:" if kind == "bpe" else "<|assistant|>")


@pytest.mark.parametrize("kind", ["bpe", "chat"])
def test_the_mask_covers_replies_and_their_end(loaded, kind):
    ours, theirs = loaded[kind]
    result = theirs.apply_chat_template(TALK, return_assistant_tokens_mask=True, return_dict=True)
    ids, mask = result["input_ids"], result["assistant_masks"]
    assert ids == ours.encode(TEXTS[kind], allowed_special=True)
    chosen = [token for token, is_reply in zip(ids, mask, strict=True) if is_reply]
    assert ours.decode(chosen) == REPLIES[kind]
    # and what the model reads before a reply is what it is given when it is to write one
    prompt = theirs.apply_chat_template(TALK[:4], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids[: len(prompt)] == prompt
    assert mask[len(prompt) :] == [1] * len(mask[len(prompt) :])


@pytest.mark.parametrize("kind", ["bpe", "chat"])
def test_an_unknown_role_is_refused(loaded, kind):
    _, theirs = loaded[kind]
    with pytest.raises(Exception, match="unknown role tool: use system, user or assistant"):
        theirs.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_the_template_is_chosen_by_what_the_tokenizer_has():
    assert choose_chat_template(build_chat_bpe()) == CHAT_TEMPLATE
    assert choose_chat_template(build_bpe()) == PLAIN_CHAT_TEMPLATE
    assert choose_chat_template(CharTokenizer("abc")) is None
    assert choose_chat_template(CharTokenizer("System: User: Assistant: \n")) == PLAIN_CHAT_TEMPLATE


# Whole or not at all


def assert_nothing_in(folder):
    assert list(folder.iterdir()) == []


def test_an_export_that_computes_something_else_leaves_nothing(tmp_path, monkeypatch):
    def forget_theta(*args, **options):
        return build_hf_config(*args, **options) | {"rope_parameters": None, "rope_theta": 123.0}

    build_hf_config = exporting.build_hf_config
    monkeypatch.setattr(exporting, "build_hf_config", forget_theta)
    with pytest.raises(
        CheckpointError, match=r"logits and those of transformers .* differ by .* at position"
    ):
        export(tmp_path / "out", build_tokenizer())
    assert_nothing_in(tmp_path)


def test_an_export_that_forgets_a_tensor_leaves_nothing(tmp_path, monkeypatch):
    def forget_norm(*args):
        weights = to_hf_weights(*args)
        del weights["model.norm.weight"]
        return weights

    to_hf_weights = exporting.to_hf_weights
    monkeypatch.setattr(exporting, "to_hf_weights", forget_norm)
    with pytest.raises(CheckpointError, match=r"finds missing keys: model\.norm\.weight\. .*please report"):
        export(tmp_path / "out", build_tokenizer())
    assert_nothing_in(tmp_path)


def test_an_export_whose_tokenizer_differs_leaves_nothing(tmp_path, monkeypatch):
    def add_space(self):
        content = to_hf_json(self)
        content["pre_tokenizer"]["add_prefix_space"] = True
        return content

    tokenizer = build_bpe()
    to_hf_json = type(tokenizer).to_hf_json
    monkeypatch.setattr(type(tokenizer), "to_hf_json", add_space)
    with pytest.raises(CheckpointError, match="The tokenizer of the folder and nn2llm's read 'The quick"):
        export(tmp_path / "out", tokenizer)
    assert_nothing_in(tmp_path)


def test_weights_that_are_not_finite_are_not_exported(tmp_path):
    model = build_ours()
    with torch.no_grad():
        model.final_norm.weight[0] = float("nan")
    with pytest.raises(CheckpointError, match="Are the weights finite"):
        export_to_hf(model, build_tokenizer(), tmp_path / "out")
    assert_nothing_in(tmp_path)


@pytest.mark.parametrize("moment", ["comparing", "renaming"])
def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch, moment):
    def interrupt(*_, **__):
        assert not (tmp_path / "out").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "compare_logits" if moment == "comparing" else "replace_folder", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "out", build_tokenizer())
    assert_nothing_in(tmp_path)


def test_what_a_killed_export_left_is_swept_away(tmp_path):
    partial = tmp_path / ".out.partial"
    partial.mkdir()
    (partial / "model-old.safetensors").write_bytes(b"half")
    export(tmp_path / "out", build_tokenizer())
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert not (tmp_path / "out" / "model-old.safetensors").exists()


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left to write .*model\.safetensors .*--out"):
        export(tmp_path / "out", build_tokenizer())
    assert_nothing_in(tmp_path)


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(exporting.Path, "mkdir", forbidden)
    with pytest.raises(StorageError, match=r"Not allowed to write .*out \(Permission denied\)"):
        export(tmp_path / "out", build_tokenizer())


def test_a_file_in_the_way_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"Could not write .*Not a directory|Not allowed"):
        export(tmp_path / "file" / "out", build_tokenizer())


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    export(tmp_path / "out", build_tokenizer())  # an empty folder is free
    for target, words in (("out", "holds something already"), ("out/config.json", "is a file")):
        with pytest.raises(ConfigError, match=rf"{words}\. Choose another --out, or delete it first\."):
            export(tmp_path / target, build_tokenizer())


def test_a_tokenizer_of_another_vocabulary_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="has 43 ids, the model 44: they are not of one run"):
        export_to_hf(build_ours(vocab_size=44), build_tokenizer(), tmp_path / "out")
    assert_nothing_in(tmp_path)


# Without transformers


def test_without_transformers_it_says_that_nothing_was_compared(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    done = export(tmp_path / "out", build_tokenizer())
    sentence = done.comparison.describe()
    assert sentence.startswith("NOT compared with transformers: it ")
    assert "pip install" in sentence
    assert sentence in (tmp_path / "out" / "README.md").read_text()
    imported = load_from_hf(tmp_path / "out")
    assert imported.comparison.version is None
    ids = draw_ids()
    assert torch.equal(imported.model(ids).logits, build_ours()(ids).logits)


def test_a_broken_transformers_is_as_none(monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name == "transformers":
                raise RuntimeError("needs torch 9")

    monkeypatch.delitem(sys.modules, "transformers")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    module, reason = comparing.import_transformers()
    assert module is None
    assert reason.startswith("it cannot be imported (needs torch 9). Install it again with")


def test_a_comparison_describes_itself():
    comparison = comparing.Comparison(
        version="5.0", num_rows=2, num_positions=8, max_difference=2e-6, limit=1e-5, num_texts=3
    )
    assert comparison.describe() == (
        "Compared with transformers 5.0: no tensor missing or unexpected; the logits of 2 × 8 random tokens "
        "differ by at most 2.0e-06 (allowed: 1.0e-05); the ids of 3 texts are equal."
    )
    assert "texts" not in replace(comparison, num_texts=0).describe()


@torch.no_grad()
def test_deep_models_are_held_against_their_own_rounding(tmp_path):
    # large weights without norms on queries and keys: float32 loses more digits than the logits' size tells
    model = make_busy(build_ours("llama", n_layer=12), std=2.0)
    comparison = export_to_hf(model, build_tokenizer(), tmp_path / "out").comparison
    size = float(model(draw_ids()).logits.abs().max())
    assert comparison.limit > 10 * comparing.TOLERANCE * size
    assert comparison.max_difference > comparing.TOLERANCE * size


def test_limits_grow_with_logits():
    assert comparing._compute_limits(torch.full((1, 3, 5), 3.0)).tolist() == pytest.approx([3e-5] * 3)
    assert comparing._compute_limits(torch.full((1, 3, 5), 0.1)).tolist() == pytest.approx([1e-5] * 3)
