"""Every mask, and every combination of masks, against a loop over positions."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.nn.masks import causal_mask, document_mask, padding_mask, sliding_window_mask


def test_causal_by_hand():
    assert causal_mask(3, 3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_queries_stand_at_the_end_of_the_keys():
    # two new tokens after three cached ones; torch's is_causal would give [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert causal_mask(2, 5).int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_window_by_hand():
    # a window of 2 is a position and the one before it
    assert sliding_window_mask(3, 4, 2).int().tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


def test_document_by_hand():
    mask = document_mask(torch.tensor([[7, 7, 2]]))
    assert mask.int().tolist() == [[[[1, 1, 0], [1, 1, 0], [0, 0, 1]]]]


def test_padding_by_hand():
    assert padding_mask(torch.tensor([0, 2]), 3).int().tolist() == [[[[1, 1, 1]]], [[[0, 0, 1]]]]


def may_see(query, key, *, window, documents, pad_length):
    """The rule for one pair of positions, in words of one syllable."""
    if key > query:
        return False
    if window is not None and query - key >= window:
        return False
    if documents is not None and documents[query] != documents[key]:
        return False
    return key >= pad_length


@pytest.mark.parametrize("use", list(itertools.product([False, True], repeat=3)))
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_every_combination_equals_the_loop(use, data):
    use_window, use_documents, use_padding = use
    num_keys = data.draw(st.integers(1, 9))
    num_queries = data.draw(st.integers(1, num_keys))
    window = data.draw(st.integers(1, 10)) if use_window else None
    rows = [data.draw(st.lists(st.integers(0, 2), min_size=num_keys, max_size=num_keys)) for _ in range(2)]
    pad_lengths = [data.draw(st.integers(0, num_keys)) if use_padding else 0 for _ in range(2)]

    mask = causal_mask(num_queries, num_keys)[None, None].expand(2, 1, -1, -1)
    if window is not None:
        mask = mask & sliding_window_mask(num_queries, num_keys, window)
    if use_documents:  # the mask is square: take the rows of the queries
        mask = mask & document_mask(torch.tensor(rows))[:, :, num_keys - num_queries :]
    if use_padding:
        mask = mask & padding_mask(torch.tensor(pad_lengths), num_keys)

    for row, t, s in itertools.product(range(2), range(num_queries), range(num_keys)):
        documents = rows[row] if use_documents else None
        query = num_keys - num_queries + t
        expected = may_see(query, s, window=window, documents=documents, pad_length=pad_lengths[row])
        assert mask[row, 0, t, s].item() == expected, (row, t, s)


def test_a_window_as_long_as_the_text_is_causal():
    assert torch.equal(sliding_window_mask(4, 6, 6), causal_mask(4, 6))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: causal_mask(3, 2), "3 queries need at least as many keys, got 2"),
        (lambda: sliding_window_mask(3, 2, 1), "3 queries need at least as many keys, got 2"),
        (lambda: sliding_window_mask(2, 3, 0), "window must be at least 1, got 0"),
    ],
)
def test_impossible_masks_are_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()
