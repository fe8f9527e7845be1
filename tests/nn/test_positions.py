"""Positions: by hand, the properties that make them useful, and equal to HuggingFace's rotary embedding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from nn2llm.nn.positions import apply_rope, positions_of, rope_tables, sinusoidal_positions


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_sinusoidal_by_hand():
    table = sinusoidal_positions(3, 4)  # frequencies 1 and 1/100
    expected = [[math.sin(t), math.cos(t), math.sin(t / 100), math.cos(t / 100)] for t in range(3)]
    assert_close(table, torch.tensor(expected), rtol=0, atol=1e-7)


def test_sinusoidal_shift_is_one_linear_map():
    # row t + k is row t turned by the same matrix for every t (Vaswani et al., section 3.5)
    table, shift, width = sinusoidal_positions(40, 8), 5, 8
    turn = torch.zeros(width, width)
    for i in range(0, width, 2):
        angle = shift * 10000.0 ** (-i / width)
        c, s = math.cos(angle), math.sin(angle)
        turn[i : i + 2, i : i + 2] = torch.tensor([[c, s], [-s, c]])
    assert_close(table[:-shift] @ turn.T, table[shift:], rtol=0, atol=1e-5)


def test_rope_by_hand():
    # one pair, angle t: at position 1, (1, 0) turns to (cos 1, sin 1)
    cos, sin = rope_tables(2, 2)
    turned = apply_rope(torch.tensor([[1.0, 0.0], [1.0, 0.0]]).view(1, 1, 2, 2), cos, sin)
    expected = torch.tensor([[1.0, 0.0], [math.cos(1), math.sin(1)]]).view(1, 1, 2, 2)
    assert_close(turned, expected, rtol=0, atol=1e-7)


def test_rope_pairs_are_half_split():
    # D = 4: column 0 turns with column 2 at frequency 1, column 1 with column 3 at 1/100
    cos, sin = rope_tables(2, 4)
    one = torch.eye(4)[:, None, None, :].expand(4, 1, 2, 4)  # four rows, each a unit vector
    turned = apply_rope(one, cos, sin)[:, 0, 1]
    expected = torch.zeros(4, 4)
    for i, angle in enumerate((1.0, 0.01)):
        expected[i, i], expected[i, i + 2] = math.cos(angle), math.sin(angle)
        expected[i + 2, i + 2], expected[i + 2, i] = math.cos(angle), -math.sin(angle)
    assert_close(turned, expected, rtol=0, atol=1e-7)


@settings(deadline=None, max_examples=30)
@given(m=st.integers(0, 60), n=st.integers(0, 60), shift=st.integers(0, 60))
def test_rope_scores_depend_on_the_distance_alone(m, n, shift):
    query, key = draw(8).double(), draw(8, seed=1).double()
    cos, sin = (table.double() for table in rope_tables(128, 8))

    def score(i, j):
        turned_query = apply_rope(query.view(1, 1, 1, 8), cos[i : i + 1], sin[i : i + 1])
        turned_key = apply_rope(key.view(1, 1, 1, 8), cos[j : j + 1], sin[j : j + 1])
        return (turned_query * turned_key).sum()

    # tables are rounded to float32
    assert_close(score(m, n), score(m + shift, n + shift), rtol=0, atol=5e-6)


def test_rope_scores_do_depend_on_the_distance():
    x, (cos, sin) = draw(1, 1, 1, 8), rope_tables(2, 8)
    turned = apply_rope(x, cos[1:], sin[1:])
    assert ((turned * x).sum() - (x * x).sum()).abs() > 0.1


def test_rope_keeps_the_length():
    x = draw(2, 3, 50, 16)
    turned = apply_rope(x, *rope_tables(50, 16))
    assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])  # position 0 turns nothing


@pytest.mark.parametrize("theta", [10000.0, 500000.0])
def test_rope_equals_huggingface(theta):
    config = LlamaConfig(
        hidden_size=32,
        num_attention_heads=2,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )
    query, key = draw(2, 2, 64, 16), draw(2, 2, 64, 16, seed=1)
    cos, sin = LlamaRotaryEmbedding(config)(query, torch.arange(64)[None])
    theirs = apply_rotary_pos_emb(query, key, cos, sin)
    tables = rope_tables(64, 16, theta=theta)
    for mine, other in zip((apply_rope(query, *tables), apply_rope(key, *tables)), theirs, strict=True):
        assert_close(mine, other, rtol=0, atol=2e-5)  # they compute angles in float32


def test_rows_at_their_own_positions():
    cos, sin = rope_tables(8, 4)
    x, positions = draw(2, 3, 2, 4), torch.tensor([[0, 1], [5, 6]])
    turned = apply_rope(x, cos[positions][:, None], sin[positions][:, None])
    assert torch.equal(turned[:1], apply_rope(x[:1], cos[0:2], sin[0:2]))
    assert torch.equal(turned[1:], apply_rope(x[1:], cos[5:7], sin[5:7]))


def test_positions_of_new_tokens():
    cpu = torch.device("cpu")
    assert positions_of(3, 4, None, cpu).tolist() == [4, 5, 6]
    # row 1 has two pad tokens at its left: its first real token is at position 0
    assert positions_of(4, 0, torch.tensor([0, 2]), cpu).tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert positions_of(1, 4, torch.tensor([0, 2]), cpu).tolist() == [[4], [2]]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: sinusoidal_positions(4, 5), "n_embd must be even for sinusoidal positions, got 5"),
        (lambda: rope_tables(4, 5), "head_dim must be even for RoPE, got 5"),
        (lambda: rope_tables(4, 4, theta=0.0), "theta must be > 0, got 0.0"),
    ],
)
def test_impossible_positions_are_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()
