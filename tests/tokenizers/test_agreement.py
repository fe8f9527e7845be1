"""The same ids from the readable BPE, the fast one, HuggingFace's own loading of our file, and tiktoken."""

from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HFTokenizer
from transformers import PreTrainedTokenizerFast

from nn2llm.tokenizers import BPETokenizer, CharTokenizer, FastBPETokenizer, load_gpt2_tokenizer

MULTILINGUAL = [
    "The quick brown fox can't, won't and shouldn't've. I'LL say it's O'Neil's.",
    "Fünf große Äpfel — où est l'été? ¿Dónde está la niña? Český žluťoučký kůň",
    "Съешь же ещё этих мягких булок. Ξεσκεπάζω την ψυχοφθόρα. שלום עולם! مرحبا بالعالم ١٢٣",
    "你好，世界！今日は良い天気ですね。안녕하세요 세계 สวัสดีชาวโลก नमस्ते दुनिया",
    "👩‍👩‍👧‍👦 family, 🇩🇪 flag, 👍🏽 thumb, ☺️ 🙂🙂🙂 e\u0301 \u200b zero width \ufeff bom",
    "  leading, trailing   \n\n\n\ttabs\t\t \r\n crlf\r\n\u00a0nbsp\u3000wide \u2028 \x85 next \x1c fs \x00",
    "def f(x):\n    if x:\n        return x**2  # 3.14159e-10 0xDEADBEEF ½ ² Ⅷ\n\n\n",
    "'s 't 'll'll ''''s '\n's <|endoftext|> <|endoftext|",
    "",
    " ",
    "\n",
    "a" * 300 + " " * 300 + "!" * 300,
]

# What the pattern distinguishes, and any characters at all (hypothesis draws unassigned ones too); surrogates
# are lone, or by chance pairs.
TEXT = st.lists(
    st.sampled_from(
        [" ", "   ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\x1c", "'", "s", "ll", "the", "é", "12", "²"]
    )
    | st.sampled_from(
        ["你", ".", "!", "\u0301", "👩‍👧", "🇩🇪", "\ud83d", "\ude00", "\ud800", "<|endoftext|>", "\U0003d000"]
    )
    | st.text(max_size=4),
    max_size=20,
).map("".join)
BYTES = st.lists(
    TEXT.map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=6), max_size=4
).map(b"".join)


@pytest.fixture(scope="module")
def fast(small: BPETokenizer) -> FastBPETokenizer:
    return FastBPETokenizer(small.merges, list(small.special_tokens))


@pytest.fixture(scope="module")
def hf(small: BPETokenizer, tmp_path_factory: pytest.TempPathFactory) -> HFTokenizer:
    folder = tmp_path_factory.mktemp("saved")
    small.save(folder)
    return HFTokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def fast_gpt2(gpt2_files: tuple[Path, Path]) -> FastBPETokenizer:
    return load_gpt2_tokenizer(*gpt2_files)


def check_text(readable: BPETokenizer, fast: FastBPETokenizer, oracle: tiktoken.Encoding, text: str) -> None:
    ids = oracle.encode_ordinary(text)
    assert readable.encode(text) == ids
    assert fast.encode(text) == ids
    assert fast._encode_in_threads([text, "", text]) == [ids, [], ids]
    assert readable.decode(ids) == oracle.decode(ids)
    ids = oracle.encode(text, allowed_special="all")
    assert readable.encode(text, allowed_special=True) == ids
    assert fast.encode(text, allowed_special=True) == ids


@pytest.mark.parametrize("text", MULTILINGUAL)
def test_equal_on_many_scripts_and_spaces(
    small: BPETokenizer, fast: FastBPETokenizer, small_tiktoken: tiktoken.Encoding, text: str
):
    check_text(small, fast, small_tiktoken, text)


@settings(deadline=None, max_examples=300)
@given(text=TEXT)
def test_equal_on_any_text(
    small: BPETokenizer, fast: FastBPETokenizer, small_tiktoken: tiktoken.Encoding, text: str
):
    check_text(small, fast, small_tiktoken, text)


@settings(deadline=None, max_examples=300)
@given(data=BYTES)
def test_equal_on_invalid_utf8(
    small: BPETokenizer, fast: FastBPETokenizer, small_tiktoken: tiktoken.Encoding, data: bytes
):
    ids = small_tiktoken._encode_bytes(data)
    assert small.encode_bytes(data) == ids
    assert fast.encode_bytes(data) == ids
    replaced = data.decode("utf-8", errors="replace")
    assert small.encode(replaced) == small_tiktoken.encode_ordinary(replaced)


@pytest.mark.parametrize("text", MULTILINGUAL)
def test_gpt2_equals_tiktoken_on_many_scripts_and_spaces(
    gpt2: BPETokenizer, fast_gpt2: FastBPETokenizer, gpt2_tiktoken: tiktoken.Encoding, text: str
):
    check_text(gpt2, fast_gpt2, gpt2_tiktoken, text)


@settings(deadline=None, max_examples=300)
@given(text=TEXT)
def test_gpt2_equals_tiktoken_on_any_text(
    gpt2: BPETokenizer, fast_gpt2: FastBPETokenizer, gpt2_tiktoken: tiktoken.Encoding, text: str
):
    check_text(gpt2, fast_gpt2, gpt2_tiktoken, text)


@settings(deadline=None, max_examples=300)
@given(data=BYTES)
def test_gpt2_equals_tiktoken_on_invalid_utf8(
    gpt2: BPETokenizer, fast_gpt2: FastBPETokenizer, gpt2_tiktoken: tiktoken.Encoding, data: bytes
):
    ids = gpt2_tiktoken._encode_bytes(data)
    assert gpt2.encode_bytes(data) == ids
    assert fast_gpt2.encode_bytes(data) == ids


def test_gpt2_equals_tiktoken_on_a_book(
    shared_data: Path, gpt2: BPETokenizer, fast_gpt2: FastBPETokenizer, gpt2_tiktoken: tiktoken.Encoding
):
    text = (shared_data / "text" / "tinyshakespeare.txt").read_text()
    ids = gpt2_tiktoken.encode_ordinary(text)
    assert len(ids) == 338_025  # as published with nanoGPT (train and val together)
    assert gpt2.encode(text) == ids
    assert fast_gpt2.encode(text) == ids


def test_gpt2_known_ids(gpt2: BPETokenizer):
    assert gpt2.encode("Hello, world!") == [15496, 11, 995, 0]
    assert (gpt2.vocab_size, gpt2.end_of_text_id) == (50257, 50256)


@settings(deadline=None, max_examples=200)
@given(text=TEXT.filter(lambda text: text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)))
def test_huggingface_loads_our_file_with_equal_ids(small: BPETokenizer, hf: HFTokenizer, text: str):
    ids = small.encode(text, allowed_special=True)
    assert hf.encode(text).ids == ids
    assert hf.decode(ids, skip_special_tokens=False) == text
    hf.encode_special_tokens = True
    assert hf.encode(text).ids == small.encode(text)
    hf.encode_special_tokens = False


def test_transformers_loads_our_file_with_equal_ids(small: BPETokenizer, tmp_path: Path):
    small.save(tmp_path)
    loaded = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in MULTILINGUAL:
        assert loaded.encode(text) == small.encode(text, allowed_special=True)


@settings(deadline=None)
@given(text=st.text(st.sampled_from("ab \n\t\r'é你🙂\u00a0\x1c\x00\u0301"), max_size=20))
def test_huggingface_loads_our_character_file_with_equal_ids(
    tmp_path_factory: pytest.TempPathFactory, text: str
):
    tokenizer = CharTokenizer("ab \n\t\r'é你🙂\u00a0\x1c\x00\u0301")
    folder = tmp_path_factory.mktemp("char")
    tokenizer.save(folder)
    hf = HFTokenizer.from_file(str(folder / "tokenizer.json"))
    text = f"{text}<|endoftext|>{text}"
    ids = tokenizer.encode(text, allowed_special=True)
    assert hf.encode(text).ids == ids
    assert hf.decode(ids, skip_special_tokens=False) == text


def test_huggingface_refuses_unknown_characters_of_our_character_file(tmp_path: Path):
    CharTokenizer("ab").save(tmp_path)
    with pytest.raises(Exception, match=r"Missing \[UNK\]"):
        HFTokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("a?")


def test_a_long_text_is_sliced_without_changing_ids(
    fast: FastBPETokenizer, small: BPETokenizer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nn2llm.tokenizers.fast._SLICE_CHARACTERS", 16)
    monkeypatch.setattr("nn2llm.tokenizers.fast._SLICES_AT_ONCE", 3)
    text = " ".join(MULTILINGUAL)
    assert fast.encode(text) == small.encode(text)
    assert fast._encode_in_threads([text, text[5:]]) == [small.encode(text), small.encode(text[5:])]


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_batches_equal_single_texts_on_any_machine(
    fast: FastBPETokenizer, monkeypatch: pytest.MonkeyPatch, cores: int
):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert fast.encode_batch(MULTILINGUAL) == [fast.encode(text) for text in MULTILINGUAL]


def test_a_full_piece_table_does_not_change_ids(
    fast: FastBPETokenizer, small: BPETokenizer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nn2llm.tokenizers.fast._MAX_CACHED_PIECES", 3)
    text = " ".join(MULTILINGUAL)
    assert FastBPETokenizer(small.merges).encode(text) == small.encode(text)


def test_fingerprint_is_of_the_vocabulary_not_of_the_class(small: BPETokenizer, fast: FastBPETokenizer):
    assert small.fingerprint() == fast.fingerprint()
