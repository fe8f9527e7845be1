import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import models, pre_tokenizers, trainers

from nn2llm.core.errors import TokenizerError
from nn2llm.tokenizers.bpe import BPETokenizer, Pair, count_pieces, learn_merges, merge_pair


def ids_of(text: str) -> list[int]:
    return list(text.encode())


def test_merges_by_hand():
    # "aaabdaaabac", the example of Wikipedia's article: aa, then (of ab and aa+a) the smaller ids.
    a, b = ids_of("ab")
    merges = learn_merges({b"aaabdaaabac": 1}, 3)
    # aa occurs 4 times; then "aa a" and "a b" twice each, and (97, 98) < (256, 97); then "aa ab" twice.
    assert merges == [(a, a), (a, b), (256, 257)]
    assert BPETokenizer(merges).encode("aaabdaaabac") == [258, *ids_of("d"), 258, *ids_of("ac")]


def test_counts_are_weighted_by_how_often_a_piece_occurs():
    x, y, z = ids_of("xyz")
    assert learn_merges({b"xy": 2, b"yz": 5, b"zx": 1}, 9) == [(y, z), (x, y)]


def test_no_merge_goes_across_pieces():
    assert count_pieces(["the the cat", "cat"]) == {b"the": 1, b" the": 1, b" cat": 1, b"cat": 1}
    tokenizer = BPETokenizer.train(["to be " * 50], vocab_size=300)
    # (t, o), (space, b) and (b, e) occur 50 times each: the smallest ids first; after that (b, e) is gone.
    assert [tokenizer.token_bytes(i) for i in range(256, tokenizer.vocab_size - 1)] == [
        b" b",
        b"to",
        b" be",
        b" to",
    ]


@pytest.mark.parametrize(
    ("ids", "merged"),
    [
        ([1, 1, 1], [9, 1]),
        ([1, 1, 1, 1], [9, 9]),
        ([2, 1, 1], [2, 9]),
        ([1], [1]),
        ([], []),
        ([1, 2, 1], [1, 2, 1]),
    ],
)
def test_merging_goes_from_left_to_right(ids: list[int], merged: list[int]):
    assert merge_pair(ids, (1, 1), 9) == merged


def learn_merges_slowly(piece_counts: dict[bytes, int], num_merges: int) -> list[Pair]:
    """The algorithm of the paper: count all pairs anew for each merge."""
    pieces = {tuple(piece): count for piece, count in piece_counts.items()}
    merges: list[Pair] = []
    while len(merges) < num_merges:
        counts: Counter[Pair] = Counter()
        for piece, count in pieces.items():
            for pair in pairwise(piece):
                counts[pair] += count
        if not counts or max(counts.values()) < 2:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        new_id = 256 + len(merges)
        merges.append(best)
        renewed: Counter[tuple[int, ...]] = Counter()
        for piece, count in pieces.items():
            renewed[tuple(merge_pair(piece, best, new_id))] += count
        pieces = dict(renewed)
    return merges


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=12).map(str.encode), st.integers(1, 5), max_size=12)
)
def test_incremental_counts_give_the_merges_of_counting_anew(piece_counts: dict[bytes, int]):
    assert learn_merges(piece_counts, 40) == learn_merges_slowly(piece_counts, 40)


def test_merges_equal_huggingface_trainers():
    # Lower-case letters and marks only: there GPT-2's order of bytes is the natural one, so that ties agree.
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 9))) for _ in range(300)]
    text = "!".join(rng.choices(words, k=3000))
    hf = HFTokenizer(models.BPE())
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    hf.train_from_iterator(
        [text],
        trainers.BpeTrainer(
            vocab_size=556,
            min_frequency=2,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    ours = BPETokenizer.train([text], vocab_size=557)
    assert [ours.token_bytes(i).decode() for i in range(256, 556)] == [
        hf.id_to_token(i) for i in range(256, 556)
    ]


def test_training_does_not_depend_on_the_order_of_documents():
    texts = ["low lower lowest", "new newer newest", "wide wider widest"] * 2
    tokenizers = [BPETokenizer.train(order, vocab_size=290) for order in (texts, texts[::-1])]
    assert tokenizers[0].merges == tokenizers[1].merges


def test_one_long_document_trains_like_its_lines(monkeypatch: pytest.MonkeyPatch):
    text = "some words, again and again\n" * 50
    whole = count_pieces([text])
    monkeypatch.setattr("nn2llm.tokenizers.bpe._SLICE_CHARACTERS", 64)
    assert count_pieces([text]) == whole


def test_progress_is_told_after_each_merge():
    seen: list[int] = []
    learn_merges({b"abab": 3}, 2, on_merge=seen.append)
    assert seen == [1, 2]


def test_a_small_text_gives_fewer_tokens_than_asked():
    assert BPETokenizer.train(["hat hat"], vocab_size=1000).vocab_size == 256 + 2 + 1


@pytest.mark.parametrize("vocab_size", [-5, 0, 200, 256])
def test_a_vocabulary_below_the_bytes_is_refused_with_the_number(vocab_size: int):
    with pytest.raises(TokenizerError, match=rf"at least 257 .*got {vocab_size}\."):
        BPETokenizer.train(["some text"], vocab_size=vocab_size)
    with pytest.raises(TokenizerError, match=rf"at least 257 .*got {vocab_size}\."):
        BPETokenizer([]).truncated(vocab_size)


@pytest.mark.parametrize("texts", [[], [""]])
def test_training_on_nothing_is_refused(texts: list[str]):
    with pytest.raises(TokenizerError, match="no text to train"):
        BPETokenizer.train(texts, vocab_size=300)


def test_256_tokens_without_merges_are_the_bytes():
    tokenizer = BPETokenizer.train(["text text"], vocab_size=257)
    assert tokenizer.encode("é!") == [0xC3, 0xA9, ord("!")]


def test_truncated_equals_training_smaller(small: BPETokenizer):
    text = "the cat and the hat, again and again. " * 4
    large = BPETokenizer.train([text], vocab_size=300)
    assert large.truncated(270).fingerprint() == BPETokenizer.train([text], vocab_size=270).fingerprint()
    assert large.truncated(270).encode(text) != large.encode(text)


@settings(deadline=None)
@given(text=st.text())
def test_any_text_comes_back(small: BPETokenizer, text: str):
    assert small.decode(small.encode(text)) == text
    assert small.decode(small.encode(text, allowed_special=True)) == text


@settings(deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_come_back(small: BPETokenizer, data: bytes):
    ids = small.encode_bytes(data)
    assert small.decode_bytes(ids) == data
    assert small.num_bytes_per_token()[ids].sum() == len(data)


def test_every_token_encodes_to_itself(small: BPETokenizer):
    ordinary = range(small.vocab_size - 1)
    assert [small._merge_bytes(small.token_bytes(token_id)) for token_id in ordinary] == [
        [i] for i in ordinary
    ]


def test_half_a_character_decodes_to_a_replacement_character():
    tokenizer = BPETokenizer([])
    assert tokenizer.decode(tokenizer.encode("é")[:1]) == "\ufffd"


def test_special_token_is_plain_text_unless_allowed(small: BPETokenizer):
    text = "one<|endoftext|> two"
    assert small.end_of_text_id not in small.encode(text)
    assert small.encode(text, allowed_special=True) == [
        *small.encode("one"),
        small.end_of_text_id,
        *small.encode(" two"),
    ]
    assert small.num_bytes_per_token()[small.end_of_text_id] == 0
    assert small.num_bytes_per_token().dtype == np.int64


def test_a_full_cache_does_not_change_ids(small: BPETokenizer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nn2llm.tokenizers.bpe._MAX_CACHED_PIECES", 2)
    tokenizer = BPETokenizer(small.merges)
    text = "the cat isn't here; the cat, the hat"
    assert tokenizer.encode(text) == small.encode(text)
    assert len(tokenizer._cache) <= 2


def test_merges_out_of_order_are_refused():
    with pytest.raises(
        TokenizerError, match=r"Merge \(256, 97\) uses an id that does not exist yet \(there are 256\)"
    ):
        BPETokenizer([(256, 97)])


def test_the_same_token_twice_is_refused():
    with pytest.raises(TokenizerError, match="holds 1 token"):
        BPETokenizer([(97, 98), (97, 98)])


def test_a_byte_order_with_a_byte_missing_is_refused():
    with pytest.raises(TokenizerError, match="each of the 256 bytes once, got 1"):
        BPETokenizer([], byte_order=bytes(256))


def test_fingerprints_differ_when_ids_do():
    merges = [(97, 98), (98, 99)]
    fingerprints = {
        BPETokenizer(merges).fingerprint(),
        BPETokenizer(merges[::-1]).fingerprint(),
        BPETokenizer(merges[:1]).fingerprint(),
        BPETokenizer(merges, ["<|user|>", "<|endoftext|>"]).fingerprint(),
        BPETokenizer(merges, byte_order=bytes(range(255, -1, -1))).fingerprint(),
    }
    assert len(fingerprints) == 5
    assert BPETokenizer(merges).fingerprint() in fingerprints
