"""A text that arrives in chunks gives the ids of the whole, in bounded memory."""

import tracemalloc
from itertools import chain, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import DataError, TokenizerError
from nn2llm.tokenizers import BPETokenizer, CharTokenizer, FastBPETokenizer, Tokenizer

SPECIAL = ["<|endoftext|>", "<|end", "<| x|>"]
TEXT = st.lists(
    st.sampled_from(
        [" ", "  ", "\n", "\r\n", "\u00a0", "\u3000", "\x1c", "'", "s", "ll", "the", "cat", "é", "12", "你好"]
    )
    | st.sampled_from(
        [".", "!", "🙂", "\U00010400", "\ud801", "\udc00", *SPECIAL, "<|endoft", "<|", "text|>", "<"]
    ),
    max_size=30,
).map("".join)


def chunked(text: str, cuts: list[int]) -> list[str]:
    positions = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(positions)]


@pytest.fixture(scope="module", params=["readable", "fast", "char"])
def tokenizer(request: pytest.FixtureRequest, small: BPETokenizer) -> Tokenizer:
    if request.param == "char":
        return CharTokenizer(
            " \n\r\u00a0\u3000\x1c'\ufffd" + "".join(sorted(set("slthecaté12你好.!🙂\U00010400<|endoftx>"))),
            SPECIAL,
        )
    return {"readable": BPETokenizer, "fast": FastBPETokenizer}[request.param](small.merges, SPECIAL)


@settings(deadline=None, max_examples=400)
@given(text=TEXT, cuts=st.lists(st.integers(0, 200), max_size=12), allowed_special=st.booleans())
def test_a_stream_equals_the_whole(tokenizer: Tokenizer, text: str, cuts: list[int], allowed_special: bool):
    streamed = tokenizer.encode_stream(chunked(text, cuts), allowed_special=allowed_special)
    assert list(chain.from_iterable(streamed)) == tokenizer.encode(text, allowed_special=allowed_special)


@settings(deadline=None)
@given(text=TEXT)
def test_a_stream_of_single_characters_equals_the_whole(tokenizer: Tokenizer, text: str):
    for allowed_special in (False, True):
        streamed = tokenizer.encode_stream(text, allowed_special=allowed_special)
        assert list(chain.from_iterable(streamed)) == tokenizer.encode(text, allowed_special=allowed_special)


@pytest.mark.parametrize(
    "chunks",
    [
        ["a\n\n", "b"],  # at the end of a text both newlines are one piece, before a word they are two
        ["they'", "ll"],  # an apostrophe alone, or a contraction
        ["a ", " b"],
        ["one<|endof", "text|>two"],
        ["\ud801", "\udc00x"],  # a surrogate pair
    ],
)
def test_cuts_that_change_a_naive_stream(small: BPETokenizer, chunks: list[str]):
    whole = small.encode("".join(chunks), allowed_special=True)
    assert list(chain.from_iterable(small.encode_stream(chunks, allowed_special=True))) == whole
    if chunks[0] != "a ":
        assert [i for chunk in chunks for i in small.encode(chunk, allowed_special=True)] != whole


def test_a_stream_gives_ids_before_its_end(small: BPETokenizer):
    def endless():
        while True:
            yield "the cat, "

    stream = small.encode_stream(endless())
    assert small.decode(next(stream) + next(stream)).startswith("the cat,")


@settings(deadline=None, max_examples=60)
@given(data=st.lists(TEXT.map(lambda t: t.encode("utf-8", "replace")) | st.binary(max_size=5)).map(b"".join))
def test_a_file_equals_its_text(small: BPETokenizer, tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.mktemp("file") / "text.txt"
    path.write_bytes(data)
    whole = small.encode(data.decode("utf-8", errors="replace"))
    for chunk_bytes in (1, 3, 1 << 20):
        assert list(chain.from_iterable(small.encode_file(path, chunk_bytes=chunk_bytes))) == whole


@pytest.mark.parametrize("line", ["some words of text in a line\n", "没有空格的文字，一句接一句。"])
def test_memory_does_not_grow_with_the_file(small: BPETokenizer, tmp_path: Path, line: str):
    def measure_peak(num_bytes: int) -> int:
        path = tmp_path / f"{num_bytes}.txt"
        path.write_bytes((line * (num_bytes // len(line.encode()))).encode())
        tracemalloc.start()
        num_tokens = sum(len(ids) for ids in small.encode_file(path, chunk_bytes=4096))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert num_tokens > num_bytes // 20
        return peak

    measure_peak(50_000)  # fills the cache of pieces
    peak_of_100_kb = measure_peak(100_000)
    assert measure_peak(1_000_000) < peak_of_100_kb + 50_000


def test_a_missing_file_is_one_sentence(small: BPETokenizer, tmp_path: Path):
    with pytest.raises(DataError, match=r"Cannot read .*absent.txt: No such file"):
        next(small.encode_file(tmp_path / "absent.txt"))


def test_an_empty_file_has_no_ids(small: BPETokenizer, tmp_path: Path):
    (tmp_path / "empty.txt").touch()
    assert list(small.encode_file(tmp_path / "empty.txt")) == []


def test_a_chunk_must_have_a_byte(small: BPETokenizer, tmp_path: Path):
    with pytest.raises(ValueError, match=r"chunk_bytes must be >= 1, got 0"):
        small.encode_file(tmp_path / "any.txt", chunk_bytes=0)


def test_an_unknown_character_stops_the_stream():
    with pytest.raises(TokenizerError, match=r"U\+003F"):
        list(CharTokenizer("ab").encode_stream(["ab", "a?"]))
