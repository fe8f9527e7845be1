import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import TokenizerError
from nn2llm.tokenizers import CharTokenizer


def test_ids_follow_code_points_and_special_tokens_come_last():
    tokenizer = CharTokenizer("cab\n")
    assert tokenizer.encode("abc\n") == [1, 2, 3, 0]
    assert tokenizer.special_tokens == {"<|endoftext|>": 4}
    assert (tokenizer.vocab_size, tokenizer.end_of_text_id) == (5, 4)


def test_special_token_is_plain_text_unless_allowed():
    tokenizer = CharTokenizer("<|endoftxa>")
    text = "a<|endoftext|>a"
    assert tokenizer.end_of_text_id not in tokenizer.encode(text)
    a = tokenizer.encode("a")
    assert tokenizer.encode(text, allowed_special=True) == [*a, tokenizer.end_of_text_id, *a]
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode(text, allowed_special=True)) == text


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1).filter(any))
def test_what_it_was_trained_on_comes_back(texts: list[str]):
    tokenizer = CharTokenizer.train(texts)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_bytes_of_each_token_are_its_utf8_bytes_and_special_tokens_have_none():
    np.testing.assert_array_equal(CharTokenizer("aé你🙂").num_bytes_per_token(), [1, 2, 3, 4, 0])


def test_unknown_character_is_named_with_a_remedy():
    with pytest.raises(TokenizerError, match=r"'語' \(U\+8A9E\) is not among the 2 .*use a BPE tokenizer"):
        CharTokenizer("ab").encode("a語b")


def test_no_text_is_refused():
    with pytest.raises(TokenizerError, match="no text to train"):
        CharTokenizer.train(["", ""])


@pytest.mark.parametrize("token_id", [-1, 3, -100])
def test_an_id_outside_the_vocabulary_is_refused(token_id: int):
    with pytest.raises(TokenizerError, match=rf"Token id {token_id} is outside .*0 to 2"):
        CharTokenizer("ab").decode([0, token_id])


@pytest.mark.parametrize(
    "names", [[], ["<|user|>"], ["<|endoftext|>", "<|endoftext|>"], ["<|endoftext|>", ""]]
)
def test_special_tokens_must_be_different_and_include_end_of_text(names: list[str]):
    with pytest.raises(TokenizerError, match=r"include '<\|endoftext\|>'"):
        CharTokenizer("ab", names)


def test_a_longer_special_token_wins_over_one_that_begins_it():
    tokenizer = CharTokenizer("<ab>", ["<|endoftext|>", "<a", "<a>"])
    assert tokenizer.encode("<a><ab", allowed_special=True) == [
        tokenizer.special_tokens["<a>"],
        tokenizer.special_tokens["<a"],
        *tokenizer.encode("b"),
    ]
