"""Pairs as tokens and batches: rows once, prompts together, an order from (seed, step)."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import DataError
from nn2llm.data.pair_batches import PairLoader, build_rows, encode_pairs, encode_row
from nn2llm.data.preferences import PreferencePair
from nn2llm.tokenizers import CharTokenizer
from nn2llm.tokenizers.base import END_OF_TEXT
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat

CHAT = ChatFormat(CharTokenizer("abcdefghijklmnopqrstuvwxyz0123456789 ", [END_OF_TEXT, *CHAT_TOKENS]))


def ask(text):
    return ({"role": "user", "content": text},)


def build_pairs(replies_per_prompt):
    """All pairs of so many replies to each prompt."""
    return [
        PreferencePair(ask(f"q{prompt}"), f"a{better}" + "x" * prompt, f"a{worse}", float(better))
        for prompt, num_replies in enumerate(replies_per_prompt)
        for better, worse in itertools.combinations(range(num_replies), 2)
    ]


def encode(pairs, max_seq_len=64):
    return encode_pairs(pairs, CHAT, max_seq_len=max_seq_len)


def test_a_row_by_hand():
    row = encode_row(CHAT, ask("hi"), "yo")
    special = CHAT.tokenizer.special_tokens
    prompt = [special[END_OF_TEXT], special["<|user|>"], *CHAT.tokenizer.encode("hi"), special["<|end|>"],
              special["<|assistant|>"]]  # fmt: skip
    reply = [*CHAT.tokenizer.encode("yo"), special["<|end|>"]]
    assert row.ids == tuple(prompt + reply)
    assert row.num_prompt == len(prompt)
    batch = build_rows([row, encode_row(CHAT, ask("hi"), "y")], pad_id=3)
    assert batch.input_ids.tolist() == [prompt + reply, [*prompt, reply[0], reply[2], 3]]
    ignored = [-100] * (len(prompt) - 1)
    assert batch.labels.tolist() == [[*ignored, *reply, -100], [*ignored, reply[0], reply[2], -100, -100]]
    assert batch.last.tolist() == [len(prompt) + 2, len(prompt) + 1]
    with pytest.raises(ValueError, match="at least one row"):
        build_rows([], pad_id=0)


def test_only_the_last_reply_of_a_conversation_is_labelled():
    prompt = (*ask("hi"), {"role": "assistant", "content": "yo"}, *ask("and"))
    batch = build_rows([encode_row(CHAT, prompt, "so")], pad_id=0)
    assert [i for i in batch.labels[0].tolist() if i != -100] == CHAT.encode_reply("so")


def test_each_reply_is_one_row_however_many_pairs_it_is_in():
    data = encode(build_pairs([4, 2]))
    assert (data.num_pairs, len(data.rows), data.num_prompts) == (6 + 1, 4 + 2, 2)
    data = encode(build_pairs([4]))
    batch = data.build_batch(np.arange(6))
    assert batch.input_ids.shape[0] == 4
    for pair in range(6):
        for rows, numbers in ((batch.chosen_rows, data.chosen), (batch.rejected_rows, data.rejected)):
            row = data.rows[numbers[pair]]
            assert batch.row_ids[rows[pair]] == numbers[pair]
            assert batch.input_ids[rows[pair], : len(row.ids)].tolist() == list(row.ids)
    assert batch.num_tokens == sum(len(row.ids) for row in data.rows)


def test_a_prompt_stands_once_before_its_replies():
    pairs = build_pairs([3, 2])
    data = encode([pairs[0], pairs[3], *pairs[1:3]])  # the first prompt's pairs stand apart
    batch = data.build_tree_batch(np.arange(4))
    assert batch.input_ids.shape[0] == 2
    ends = [(int(row), int(at)) for row, found in enumerate(batch.ends) for at in found]
    seen = set()
    for pair in range(4):
        for place, number in (
            (batch.chosen[pair], data.chosen[pair]),
            (batch.rejected[pair], data.rejected[pair]),
        ):
            tree, end = ends[place]
            branch = int(batch.tree.branches[tree, end])
            columns = [at for at, one in enumerate(batch.tree.branches[tree].tolist()) if one in (0, branch)]
            row = data.rows[number]
            assert batch.input_ids[tree, columns].tolist() == list(row.ids)
            assert batch.tree.positions[tree, columns].tolist() == list(range(len(row.ids)))
            assert columns[-1] == end
            seen.add((tree, branch))
    assert len(seen) == len(data.rows) == 5
    prompts = {row.prompt for row in data.rows}
    replies = sum(len(row.ids) - row.num_prompt for row in data.rows)
    assert batch.num_tokens == sum(map(len, prompts)) + replies
    moved = batch.to("cpu")
    assert torch.equal(moved.tree.branches, batch.tree.branches)
    assert moved.num_pairs == 4


def test_pairs_of_a_prompt_that_stand_apart_come_together():
    pairs = [PreferencePair(ask(f"q{number % 2}"), f"a{number}", "b") for number in range(6)]
    data = encode(pairs)
    assert data.kept.tolist() == [0, 2, 4, 1, 3, 5]
    assert data.prompts.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(data.rows) == 8


def test_what_is_too_long_is_left_out_with_its_rows():
    pairs = [PreferencePair(ask("q"), "short", "x" * 60), *build_pairs([2, 2])]
    data = encode(pairs, max_seq_len=20)
    assert (data.num_left_out, data.num_pairs, len(data.rows)) == (1, 2, 4)
    assert data.kept.tolist() == [1, 2]
    assert max(len(row.ids) for row in data.rows) <= 20
    longest = len(encode_row(CHAT, ask("q"), "x" * 60).ids)
    assert encode(pairs[:1], max_seq_len=longest).num_left_out == 0  # what fits just so stays
    with pytest.raises(DataError, match=r"All 1 pairs of the preferences are longer than the context of 20"):
        encode(pairs[:1], max_seq_len=20)
    with pytest.raises(DataError, match="hold no pair"):
        encode([])
    with pytest.raises(
        DataError, match="Pair 2 of the preferences: The chosen and the rejected reply are equal"
    ):
        encode([pairs[1], PreferencePair(ask("q"), "a", "a")])


def test_the_fingerprint_is_that_of_the_content():
    pairs = build_pairs([3, 2])
    assert encode(pairs).fingerprint() == encode(list(pairs)).fingerprint()
    flipped = [PreferencePair(pairs[0].prompt, pairs[0].rejected, pairs[0].chosen), *pairs[1:]]
    without_margin = [PreferencePair(p.prompt, p.chosen, p.rejected) for p in pairs]
    others = [pairs[::-1], pairs[:-1], flipped, without_margin]
    assert len({encode(other).fingerprint() for other in [pairs, *others]}) == 5


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(2, 5), min_size=1, max_size=12),
    st.integers(1, 30),
    st.none() | st.integers(1, 8),
    st.integers(0, 3),
)
def test_an_epoch_takes_every_pair_once_and_whole_prompts(replies, batch_size, micro, seed):
    data = encode(build_pairs(replies))
    loader = PairLoader(data, batch_size=batch_size, micro_batch_size=micro, seed=seed)
    steps = loader.steps_per_epoch
    assert steps == min(len(replies), -(-data.num_pairs // batch_size))
    prompt_of = {
        (int(c), int(r)): int(p) for c, r, p in zip(data.chosen, data.rejected, data.prompts, strict=True)
    }
    found, steps_of_prompt = Counter(), {}
    for step in range(steps):
        batches = loader.load_step(steps + step)  # the second epoch
        assert batches
        for number, batch in enumerate(batches):
            assert batch.num_pairs
            chosen, rejected = batch.row_ids[batch.chosen_rows], batch.row_ids[batch.rejected_rows]
            for pair in zip(chosen.tolist(), rejected.tolist(), strict=True):
                found[pair] += 1
                steps_of_prompt.setdefault(prompt_of[pair], set()).add((step, number))
    assert found == Counter(prompt_of.keys())
    assert all(len(places) == 1 for places in steps_of_prompt.values())


def test_batches_are_about_equal_and_none_is_a_small_rest():
    loader = PairLoader(encode(build_pairs([2] * 130), 256), batch_size=64, seed=1)
    assert [loader.load_step(step)[0].num_pairs for step in range(3)] == [43, 44, 43]


def test_the_order_follows_from_seed_and_step_alone():
    data = encode(build_pairs([2] * 40))
    first, again = (PairLoader(data, batch_size=8, seed=5) for _ in range(2))
    taken = [first.load_step(step)[0].row_ids for step in range(10)]
    for step in (9, 3, 7, 0):  # entered anywhere
        assert torch.equal(again.load_step(step)[0].row_ids, taken[step])
    assert not torch.equal(taken[0], taken[5])  # epochs differ
    other = PairLoader(data, batch_size=8, seed=6)
    assert not torch.equal(other.load_step(0)[0].row_ids, taken[0])


def test_micro_batches_are_sorted_by_length_and_hold_the_same_pairs():
    data = encode(build_pairs([2] * 40))
    whole = PairLoader(data, batch_size=40, seed=1).load_step(0)[0]
    parts = PairLoader(data, batch_size=40, micro_batch_size=10, seed=1).load_step(0)
    assert [part.num_pairs for part in parts] == [10] * 4
    widths = [part.input_ids.shape[1] for part in parts]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert sum(part.input_ids.numel() for part in parts) < whole.input_ids.numel()
    for size in ({"batch_size": 0}, {"batch_size": 4, "micro_batch_size": 0}):
        with pytest.raises(ValueError, match="must be at least 1, got 0"):
            PairLoader(data, seed=1, **size)
