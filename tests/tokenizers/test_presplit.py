import sys

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from nn2llm.tokenizers.presplit import GPT2_PATTERN, find_safe_cut, slice_text, split_text

# Everything the pattern distinguishes, so that short random texts meet its corners.
TEXT = st.lists(
    st.sampled_from(
        [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\x1c", "'", "s", "l", "a", "é", "你", "1", "²"]
    )
    | st.sampled_from([".", "!", "\u0301", "\u200d", "🙂", "\ufffd"])
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello, world 42!", ["Hello", ",", " world", " 42", "!"]),
        ("isn't they'll O'x", ["isn", "'t", " they", "'ll", " O", "'", "x"]),
        ("a   b", ["a", "  ", " b"]),
        ("a \n b", ["a", " \n", " b"]),
        ("a\n\nb", ["a", "\n", "\n", "b"]),
        ("end  ", ["end", "  "]),
        ("", []),
    ],
)
def test_pieces_by_hand(text: str, pieces: list[str]):
    assert split_text(text) == pieces


@settings(deadline=None)
@given(TEXT)
def test_pieces_join_to_the_text(text: str):
    assert "".join(split_text(text)) == text


def test_every_code_point_is_classed_as_in_huggingface_tokenizers():
    """All characters in a row: a run of one class is one piece. A newer Unicode in a library shows here."""
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    theirs = [text[start:end] for _, (start, end) in byte_level.pre_tokenize_str(text)]
    ours = split_text(text)
    assert len(ours) > 1000
    assert {hex(ord(piece[0])) for piece in {*ours} ^ {*theirs}} == set()


def test_the_pattern_in_use_is_gpt2s_on_characters_of_unicode_16():
    text = "Ich weiß, dass wir's    können: 3½ Äpfel,\n\n  ١٢٣ кошки и 你好！\u3000🙂'll"
    assert split_text(text) == regex.findall(GPT2_PATTERN, text)


@settings(deadline=None, max_examples=300)
@given(TEXT, TEXT)
def test_a_safe_cut_is_safe_whatever_follows(text: str, following: str):
    cut = find_safe_cut(text)
    assert split_text(text[:cut]) + split_text(text[cut:] + following) == split_text(text + following)


@pytest.mark.parametrize("text", ["one two", "你好，世界再见", "x" * 9 + "!!" + "y" * 9, "a\nb\nc,d"])
def test_a_safe_cut_is_found_without_spaces_too(text: str):
    assert find_safe_cut(text) > 0


@settings(deadline=None)
@given(TEXT, st.integers(1, 8))
def test_slices_split_like_the_whole(text: str, num_characters: int):
    slices = list(slice_text(text, num_characters))
    assert "".join(slices) == text
    assert [piece for part in slices for piece in split_text(part)] == split_text(text)


def test_slices_are_as_small_as_asked_where_the_text_allows():
    assert max(map(len, slice_text("word " * 1000, 100))) <= 100
