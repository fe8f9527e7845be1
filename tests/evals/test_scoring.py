"""Windows, and the nats of every token against a loop that reads one prefix at a time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import TrainingError
from nn2llm.evals import scoring
from nn2llm.evals.scoring import ScoredSequence, Window, plan_windows, score_sequences
from tests.evals.conftest import TableModel, build_random_gpt


def sequence(*tokens: int, first: int = 1, stride: int | None = None) -> ScoredSequence:
    return ScoredSequence(np.array(tokens, dtype=np.int64), first, stride)


def random_sequence(num_tokens: int, *, first: int = 1, stride: int | None = None, seed: int = 0):
    tokens = np.random.default_rng(seed).integers(20, size=num_tokens)
    return ScoredSequence(tokens, first, stride)


def test_windows_by_hand():
    # 11 tokens: 10 to predict, through a window of 4
    disjoint = list(plan_windows(11, seq_len=4, stride=4))
    assert disjoint == [Window(0, 1, 4), Window(4, 5, 8), Window(8, 9, 10)]
    sliding = list(plan_windows(11, seq_len=4, stride=2))
    assert sliding == [Window(0, 1, 4), Window(2, 5, 6), Window(4, 7, 8), Window(6, 9, 10)]
    assert list(plan_windows(5, seq_len=4, stride=1)) == [Window(0, 1, 4)]
    # given tokens are not scored, and as much of them is shown as fits beside the scored ones
    assert list(plan_windows(11, seq_len=4, stride=1, first=10)) == [Window(6, 10, 10)]
    assert list(plan_windows(11, seq_len=4, stride=2, first=9)) == [Window(6, 9, 10)]
    assert list(plan_windows(1, seq_len=4, stride=4)) == []


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_each_token_is_scored_once_with_enough_context(data):
    seq_len = data.draw(st.integers(1, 12))
    stride = data.draw(st.integers(1, seq_len))
    num_tokens = data.draw(st.integers(1, 60))
    first = data.draw(st.integers(1, num_tokens))
    scored = []
    for start, begin, stop in plan_windows(num_tokens, seq_len=seq_len, stride=stride, first=first):
        assert 0 <= start < begin <= stop < num_tokens
        assert stop - start <= seq_len
        for token in range(begin, stop + 1):
            context = token - start
            assert context >= min(token, seq_len - stride)
            scored.append(token)
    assert scored == list(range(first, num_tokens))


@pytest.mark.parametrize(("stride", "first"), [(0, 1), (5, 1), (2, 0)])
def test_impossible_windows_are_refused(stride, first):
    with pytest.raises(ValueError, match="stride must be between 1 and seq_len"):
        list(plan_windows(9, seq_len=4, stride=stride, first=first))


def naive_nats(model, tokens: list[int], *, first: int, seq_len: int, stride: int) -> list[float]:
    """Every scored token by a pass of its own over just what it may see, in float64."""
    exact = build_random_gpt(20, max_seq_len=model.config.max_seq_len).double().eval()
    starts = {}
    for window in plan_windows(len(tokens), seq_len=seq_len, stride=stride, first=first):
        starts |= dict.fromkeys(range(window.first, window.stop + 1), window.start)
    with torch.no_grad():
        return [
            -exact(torch.tensor([tokens[starts[at] : at]])).logits[0, -1].log_softmax(-1)[tokens[at]].item()
            for at in range(first, len(tokens))
        ]


@pytest.mark.parametrize(
    ("num_tokens", "seq_len", "stride", "first"),
    [
        (50, 16, 16, 1),
        (50, 16, 8, 1),
        (50, 16, 1, 1),
        (50, 7, 3, 1),
        (17, 16, 8, 1),
        (18, 16, 8, 1),
        (50, 16, 5, 20),
    ],
)
def test_windows_equal_a_loop_over_tokens(num_tokens, seq_len, stride, first):
    model = build_random_gpt(20)
    given_sequence = random_sequence(num_tokens, first=first)
    [got] = score_sequences(model, [given_sequence], batch_size=3, seq_len=seq_len, stride=stride)
    expected = naive_nats(model, given_sequence.tokens.tolist(), first=first, seq_len=seq_len, stride=stride)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert got.dtype == np.float64


def test_a_row_does_not_depend_on_the_rows_beside_it():
    model = build_random_gpt(20).eval()
    sequences = [random_sequence(length, seed=length) for length in (2, 40, 17, 3, 16, 9, 1, 33)]
    alone = [score_sequences(model, [one])[0] for one in sequences]
    for batch_size in (1, 2, 3, 100):
        together = score_sequences(model, sequences, batch_size=batch_size)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    backwards = score_sequences(model, sequences[::-1], batch_size=3)[::-1]
    for one, other in zip(alone, backwards, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert [len(nats) for nats in alone] == [1, 39, 16, 2, 15, 8, 0, 32]


def test_learned_positions_and_an_attention_window_are_read_as_the_model_reads_them():
    for options in ({"position": "learned"}, {"window": 3}, {"logit_softcap": 5.0}):
        model = build_random_gpt(20, **options).eval()
        tokens = random_sequence(12).tokens
        [got] = score_sequences(model, [ScoredSequence(tokens)])
        with torch.no_grad():
            logps = model(torch.from_numpy(tokens[None, :-1])).logits[0].log_softmax(-1)
        np.testing.assert_allclose(got, -logps[range(11), tokens[1:]].numpy(), atol=1e-5)


def test_a_table_by_hand():
    # after 0 comes 1 with probability 3/4 and 0 with 1/4; after 1 both are equally likely
    model = TableModel(torch.tensor([[0.25, 0.75], [1.0, 1.0]]).log())
    [nats] = score_sequences(model, [sequence(0, 1, 1, 0, 0)])
    np.testing.assert_allclose(nats, [math.log(4 / 3), math.log(2), math.log(2), math.log(4)], rtol=1e-6)
    assert model.training  # left as it was


def test_logits_are_made_in_pieces_and_only_where_they_are_needed(monkeypatch):
    monkeypatch.setattr(scoring, "_MAX_LOGITS", 7 * 5)
    model = TableModel(torch.randn(7, 7), max_seq_len=100)
    tokens = np.arange(90) % 7
    [whole] = score_sequences(model, [ScoredSequence(tokens, 60)], batch_size=1)
    assert max(model.num_logits) == 5
    assert sum(model.num_logits) == 30
    expected = -model.table.log_softmax(-1)[tokens[59:-1], tokens[60:]]
    np.testing.assert_allclose(whole, expected, atol=1e-6)


def test_long_rows_come_first_and_share_batches_with_their_like():
    model = TableModel(torch.zeros(7, 7), max_seq_len=100)
    score_sequences(model, [sequence(*[1] * n) for n in (3, 81, 4, 80)], batch_size=2)
    assert model.shapes == [(2, 80), (2, 3)]


def test_a_model_without_numbers_is_refused():
    model = TableModel(torch.full((3, 3), float("nan")))
    with pytest.raises(TrainingError, match=r"not a number .* go back to an earlier checkpoint"):
        score_sequences(model, [sequence(0, 1)])
    assert model.training


def test_an_impossible_token_costs_infinitely_much():
    model = TableModel(torch.tensor([[0.0, -math.inf], [0.0, 0.0]]))
    [nats] = score_sequences(model, [sequence(0, 1)])
    assert nats[0] == math.inf


def test_impossible_sizes_are_refused():
    model = TableModel(torch.zeros(2, 2), max_seq_len=8)
    with pytest.raises(ValueError, match="seq_len must be between 1 and the model's context of 8, got 9"):
        score_sequences(model, [sequence(0, 1)], seq_len=9)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        score_sequences(model, [sequence(0, 1)], batch_size=0)
