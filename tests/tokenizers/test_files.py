"""Save and load: the same ids come back, and what is missing or damaged is one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import ConfigError, TokenizerError
from nn2llm.tokenizers import (
    BPETokenizer,
    CharTokenizer,
    FastBPETokenizer,
    Tokenizer,
    load_gpt2_tokenizer,
    load_tokenizer,
    train_tokenizer,
)
from nn2llm.tokenizers.formats import BYTE_TO_CHAR, GPT2_BYTE_ORDER, build_bpe_json, bytes_to_chars

TEXT = "the cat isn't\n\n  here, été 你好 🙂"


@pytest.mark.parametrize("kind", ["bpe", "char"])
@pytest.mark.parametrize("place", ["folder", "file", "run"])
def test_what_is_saved_loads_with_equal_ids(kind: str, place: str, tmp_path: Path):
    tokenizer = train_tokenizer(kind, [TEXT * 3])
    folder = tmp_path / "tokenizer" if place == "run" else tmp_path
    tokenizer.save(folder)
    loaded = load_tokenizer(folder / "tokenizer.json" if place == "file" else tmp_path)
    assert type(loaded) is type(tokenizer)
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)
    assert loaded.special_tokens == tokenizer.special_tokens
    assert loaded.fingerprint() == tokenizer.fingerprint()
    assert (loaded.num_bytes_per_token() == tokenizer.num_bytes_per_token()).all()


@pytest.mark.parametrize(
    "make", [lambda names: BPETokenizer([(97, 98)], names), lambda n: CharTokenizer("ab", n)]
)
def test_special_tokens_keep_their_ids(make: Callable[[list[str]], Tokenizer], tmp_path: Path):
    tokenizer = make(["<|user|>", "<|endoftext|>", "<|assistant|>"])
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.special_tokens == tokenizer.special_tokens
    text = "ab<|assistant|>ba<|endoftext|>"
    assert loaded.encode(text, allowed_special=True) == tokenizer.encode(text, allowed_special=True)


def test_training_gives_the_fast_tokenizer_and_a_default_size():
    words = [chr(97 + i // 100) + chr(97 + i // 10 % 10) + chr(97 + i % 10) for i in range(1000)]
    tokenizer = train_tokenizer("bpe", [" ".join(words * 2)])
    assert isinstance(tokenizer, FastBPETokenizer)
    assert tokenizer.vocab_size == 1024


def test_a_space_is_written_as_gpt2_writes_it():
    assert bytes_to_chars(b" a\n") == "ĠaĊ"
    assert len(set(BYTE_TO_CHAR.values())) == 256
    assert GPT2_BYTE_ORDER[:2] == b'!"'
    assert GPT2_BYTE_ORDER[220] == ord(" ")  # GPT-2's id 220 is the space


def write_gpt2_files(folder: Path, names: tuple[str, str]) -> tuple[Path, Path]:
    """A small tokenizer, ab and then " ab", in GPT-2's two files and its order of bytes."""
    tokens = [BYTE_TO_CHAR[byte] for byte in GPT2_BYTE_ORDER] + ["ab", "Ġab", "<|endoftext|>"]
    encoder, merges = folder / names[0], folder / names[1]
    encoder.write_text(json.dumps({token: token_id for token_id, token in enumerate(tokens)}))
    merges.write_text("#version: 0.2\na b\nĠ ab\n", encoding="utf-8")
    return encoder, merges


@pytest.mark.parametrize("names", [("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt")])
def test_gpt2_files_load_with_the_ids_of_encoder_json(names: tuple[str, str], tmp_path: Path):
    files = write_gpt2_files(tmp_path, names)
    for tokenizer in (load_gpt2_tokenizer(*files), load_tokenizer(tmp_path)):
        assert tokenizer.encode("ab ab!<|endoftext|>", allowed_special=True) == [256, 257, 0, 258]


def test_gpt2_saves_as_tokenizer_json_and_comes_back(tmp_path: Path):
    tokenizer = load_gpt2_tokenizer(*write_gpt2_files(tmp_path, ("encoder.json", "vocab.bpe")))
    tokenizer.save(tmp_path / "new")
    assert load_tokenizer(tmp_path / "new").fingerprint() == tokenizer.fingerprint()


def test_merges_written_as_one_string_load_too(tmp_path: Path):
    content = BPETokenizer([(97, 98)]).to_hf_json()
    content["model"]["merges"] = ["a b"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert load_tokenizer(tmp_path).encode("ab") == [256]


def damage_json(change: Callable[[dict[str, Any]], object], kind: str = "bpe") -> str:
    tokenizer = BPETokenizer([(97, 98), (256, 99)]) if kind == "bpe" else CharTokenizer("abc")
    content = tokenizer.to_hf_json()
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not valid JSON"),
        ('{"model": {"type": "BPE"', "not valid JSON"),
        ("[1, 2]", "list indices"),
        ("null", "not subscriptable"),
        ("{}", "'model' is missing"),
        (damage_json(lambda c: c["model"].pop("merges")), "'merges' is missing"),
        (damage_json(lambda c: c["model"].update(vocab=3)), "not iterable"),
        (damage_json(lambda c: c["model"]["vocab"].pop("ab")), "'ab' is missing"),
        (damage_json(lambda c: c["model"]["vocab"].pop("a")), "is missing"),
        (damage_json(lambda c: c["model"]["vocab"].update(ab=999)), "token 'ab' has id 999, not 256"),
        (damage_json(lambda c: c["model"]["vocab"].update(more=258)), "260 tokens, 259 of them"),
        (damage_json(lambda c: c["model"]["merges"].append(["a"])), "not enough values"),
        (damage_json(lambda c: c["model"]["merges"].reverse()), "token 'abc' has id 257, not 256"),
        (damage_json(lambda c: c["added_tokens"].clear()), "include '<|endoftext|>'"),
        (damage_json(lambda c: c["model"]["vocab"].update(ab=1), "char"), "not one character"),
        (damage_json(lambda c: c["model"]["vocab"].update(a=7), "char"), "token 'a' has id 7, not 0"),
    ],
)
def test_a_damaged_file_is_one_sentence(content: str, reason: str, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(tmp_path)
    message = str(caught.value)
    assert str(path) in message
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["model"].update(type="Unigram"),
        lambda c: c.update(normalizer={"type": "NFC"}),
        lambda c: c["pre_tokenizer"].update(add_prefix_space=True),
        lambda c: c["pre_tokenizer"].update(use_regex=False),
        lambda c: c.update(pre_tokenizer=None),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(change: Callable[[dict[str, Any]], object], tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text(damage_json(change))
    with pytest.raises(TokenizerError, match=r"tokenizer of another kind .*GPT-2's"):
        load_tokenizer(tmp_path)


def test_a_missing_tokenizer_is_one_sentence_with_the_remedy(tmp_path: Path):
    with pytest.raises(TokenizerError, match=r"absent does not exist.*nn2llm tokenizer train"):
        load_tokenizer(tmp_path / "absent")
    with pytest.raises(TokenizerError, match=r"holds no tokenizer\.json.*nn2llm tokenizer train"):
        load_tokenizer(tmp_path)


def test_gpt2_files_that_are_missing_or_do_not_belong_together(tmp_path: Path):
    encoder, merges = write_gpt2_files(tmp_path, ("encoder.json", "vocab.bpe"))
    with pytest.raises(TokenizerError, match=r"none\.bpe does not exist"):
        load_gpt2_tokenizer(encoder, tmp_path / "none.bpe")
    with pytest.raises(TokenizerError, match=r"none\.json does not exist"):
        load_gpt2_tokenizer(tmp_path / "none.json", merges)
    merges.write_text("#version: 0.2\na b\nb c\n")
    with pytest.raises(TokenizerError, match=r"vocab\.bpe cannot be used .*'bc' is missing"):
        load_gpt2_tokenizer(encoder, merges)


def test_unknown_kind_and_too_small_a_vocabulary():
    with pytest.raises(ConfigError, match=r"Unknown tokenizer kind 'words'\. Choose char or bpe"):
        train_tokenizer("words", ["text"])
    with pytest.raises(TokenizerError, match=r"at least 257 .*got 100"):
        train_tokenizer("bpe", ["text"], vocab_size=100)
    with pytest.raises(TokenizerError, match=r"at least 4, .*got 3"):
        train_tokenizer("char", ["abc"], vocab_size=3)
    assert train_tokenizer("char", ["abc"], vocab_size=4).vocab_size == 4


def test_bpe_json_names_bytes_in_gpt2s_characters():
    content = build_bpe_json(
        [bytes([byte]) for byte in range(256)] + [b" a"], [(32, 97)], {"<|endoftext|>": 257}
    )
    assert content["model"]["vocab"]["Ġa"] == 256
    assert content["model"]["merges"] == [["Ġ", "a"]]
