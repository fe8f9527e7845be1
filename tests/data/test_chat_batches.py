"""Rows of conversations: who is learnt from, who sees whom, and how full rows are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import CheckpointError
from nn2llm.data.chat_batches import ChatLoader, ChatRows, fit_chat, pack_best_fit
from nn2llm.tokenizers.chat import EncodedChat

PAD = 0


def chat(text: str) -> EncodedChat:
    """Letters are tokens; capitals are what the assistant writes."""
    return EncodedChat([ord(letter) for letter in text], [letter.isupper() for letter in text])


def rows_of(*texts: str, seq_len: int = 8, packed: bool = True) -> ChatRows:
    return ChatRows([chat(text) for text in texts], seq_len=seq_len, pad_id=PAD, packed=packed)


def read(tensor: torch.Tensor) -> list[str]:
    """Rows as text: - for labels that are ignored, _ for padding."""
    names = {-100: "-", PAD: "_"}
    return ["".join(names.get(number) or chr(number) for number in row) for row in tensor.tolist()]


# --- by hand ------------------------------------------------------------------------------------------------


def test_rows_by_hand():
    rows = rows_of("abCD", "eF", "ghIJklM", "noP")
    assert (len(rows), rows.num_conversations, rows.num_tokens, rows.num_labels) == (2, 4, 12, 7)
    batch = rows.build_batch([0, 1])
    # the longest first: 6 tokens are read and the 7th is only predicted; 2 more fit exactly
    assert read(batch.input_ids) == ["ghIJklno", "abCe____"]
    assert read(batch.labels) == ["-IJ--M-P", "-CDF----"]
    assert batch.document_ids is not None
    assert batch.document_ids.tolist() == [[0] * 6 + [1] * 2, [0] * 3 + [1] + [2] * 4]


def test_rows_of_their_own_are_as_wide_as_the_longest():
    rows = rows_of("abCD", "eF", "ghIJklM", packed=False)
    assert len(rows) == 3
    batch = rows.build_batch([1, 0])
    assert batch.document_ids is None
    assert read(batch.input_ids) == ["e__", "abC"]
    assert read(batch.labels) == ["F--", "-CD"]


def test_the_longest_items_come_first_each_where_it_leaves_least_room():
    assert pack_best_fit([4, 7, 3, 2, 5, 8, 1], 8) == [[5], [1, 6], [4, 2], [0, 3]]
    assert pack_best_fit([], 8) == []
    with pytest.raises(ValueError, match=r"lengths must lie in 1 … 8, got 3 to 9"):
        pack_best_fit([3, 9], 8)
    with pytest.raises(ValueError, match="got 0 to 3"):
        pack_best_fit([3, 0], 8)


@pytest.mark.parametrize(
    ("text", "seq_len", "kept"),
    [
        ("abCD", 3, "abCD"),  # three are read, the fourth is only predicted
        ("abCD", 2, None),
        ("abCDefG", 6, "abCDefG"),
        ("abCDefG", 5, "abCD"),  # the last whole reply
        ("abCDefGH", 6, "abCD"),
        ("abCDef", 9, "abCD"),  # nothing is asked for after it
        ("abcd", 9, None),
    ],
)
def test_a_conversation_is_cut_after_a_whole_reply(text, seq_len, kept):
    assert fit_chat(chat(text), seq_len) == (None if kept is None else chat(kept))


def test_what_does_not_fit_is_counted_and_said():
    rows = rows_of("abCD", "abcdefghijK", "aBcdefghijK", "aBcd")
    assert (rows.num_left_out, rows.num_cut, rows.num_conversations) == (1, 1, 3)
    assert rows.note == (
        "2 of 4 conversations are longer than 8 tokens: 1 are left out, 1 end at an earlier reply. "
        "A model with a longer context keeps them."
    )
    assert rows_of("abCD", "aBcd").note is None


# --- properties ---------------------------------------------------------------------------------------------

TEXTS = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12)).map(
        lambda n: "abcdefghijkl"[: n[0]] + "ABCDEFGHIJKL"[: n[1]]
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(texts=TEXTS, packed=st.booleans())
def test_every_reply_token_is_asked_for_once_and_nothing_else(texts, packed):
    rows = rows_of(*texts, seq_len=23, packed=packed)
    batch = rows.build_batch(range(len(rows)))
    asked = batch.labels != -100
    assert asked.sum() == rows.num_labels == sum(map(str.isupper, "".join(texts)))
    assert sorted(read(batch.labels[asked][None])[0]) == sorted(filter(str.isupper, "".join(texts)))
    assert (batch.input_ids != PAD).sum() == rows.num_tokens
    if batch.document_ids is not None:  # each document is one conversation, whole and in order
        found = []
        for ids, labels, documents in zip(
            batch.input_ids.numpy(), batch.labels.numpy(), batch.document_ids.numpy(), strict=True
        ):
            assert (np.diff(documents) >= 0).all()
            for number in np.unique(documents):
                inside = documents == number
                if ids[inside][0] != PAD:
                    last = labels[inside][-1]
                    found.append("".join(map(chr, [*ids[inside], last])))
        assert sorted(found) == sorted(texts)


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 50), max_size=200))
def test_packing_holds_every_item_once_in_few_bins(lengths):
    bins = pack_best_fit(lengths, 50)
    assert sorted(item for one in bins for item in one) == list(range(len(lengths)))
    assert all(sum(lengths[item] for item in one) <= 50 for one in bins)
    assert len(bins) <= 2 * sum(lengths) / 50 + 1  # at most one is less than half full


def test_rows_are_nearly_full():
    draw = np.random.default_rng(1)
    lengths = draw.integers(10, 60, size=2000).tolist()
    assert sum(lengths) / (len(pack_best_fit(lengths, 192)) * 192) > 0.99


# --- the loader ---------------------------------------------------------------------------------------------


def build_loader(*, seed: int = 1, texts: int = 13) -> ChatLoader:
    rows = rows_of(*("abcd" + "ABCDEFGHIJKLM"[i] for i in range(texts)), seq_len=7)
    return ChatLoader(rows, batch_size=4, seed=seed)


def test_each_epoch_has_every_row_once_in_a_new_order():
    loader = build_loader()
    seen = "".join(
        label
        for _ in range(13)
        for label in read(loader.next_batch().labels)
        for label in label
        if label != "-"
    )
    assert loader.epoch == 4.0
    epochs = [seen[start : start + 13] for start in range(0, 52, 13)]
    assert all(sorted(epoch) == list("ABCDEFGHIJKLM") for epoch in epochs)
    assert len(set(epochs)) == 4


def test_a_loader_goes_on_where_it_was_saved():
    first, second = build_loader(), build_loader()
    for _ in range(5):
        first.next_batch()
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        assert torch.equal(first.next_batch().labels, second.next_batch().labels)


def test_the_position_of_other_conversations_is_refused():
    state = build_loader().state_dict()
    for other in (build_loader(seed=2), build_loader(texts=12)):
        with pytest.raises(CheckpointError, match="The data position was saved with"):
            other.load_state_dict(state)
    rows = rows_of(*("abcd" + "ABCDEFGHIJKLZ"[i] for i in range(13)), seq_len=7)  # as many, as long
    with pytest.raises(CheckpointError, match="saved with fingerprint"):
        ChatLoader(rows, batch_size=4, seed=1).load_state_dict(state)
