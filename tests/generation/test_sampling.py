"""Sampling rules: values by hand, equality with transformers' processors, and what a draw must obey."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from nn2llm.core.errors import ConfigError
from nn2llm.generation.sampling import (
    SamplingConfig,
    apply_min_p,
    apply_repetition_penalty,
    apply_sampling,
    apply_temperature,
    apply_top_k,
    apply_top_p,
    draw_at,
    mark_seen,
    sample_from,
)

INF = math.inf
NO_IDS = torch.zeros(1, 0, dtype=torch.long)
# Quarters make ties frequent; the -inf is a token that the model rules out itself.
LOGIT = st.one_of(st.integers(-24, 24).map(lambda quarters: quarters / 4), st.floats(-30, 30, width=32))
LOGITS = st.lists(LOGIT, min_size=1, max_size=12).map(lambda row: torch.tensor([row]))


def log_of(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


def kept(logits: torch.Tensor) -> list[bool]:
    return (logits[0] > -INF).tolist()


def equal_bits(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert_close(ours, theirs, rtol=0, atol=0)


# Values by hand


def test_temperature_divides_and_zero_keeps_the_first_most_probable_token():
    logits = torch.tensor([[1.0, 3.0, 3.0]])
    assert apply_temperature(logits, 2.0).tolist() == [[0.5, 1.5, 1.5]]
    assert apply_temperature(logits, 0.0).tolist() == [[-INF, 3.0, -INF]]


def test_top_k_keeps_k_tokens_and_ties_with_the_last_of_them():
    logits = torch.tensor([[0.0, 2.0, 1.0, 3.0, 1.0]])
    assert kept(apply_top_k(logits, 2)) == [False, True, False, True, False]
    assert kept(apply_top_k(logits, 3)) == [False, True, True, True, True]
    assert kept(apply_top_k(logits, 50)) == [True] * 5


def test_top_p_keeps_the_smallest_set_that_reaches_the_mass():
    logits = log_of(0.5, 0.3, 0.15, 0.05)
    assert kept(apply_top_p(logits, 0.4)) == [True, False, False, False]
    assert kept(apply_top_p(logits, 0.6)) == [True, True, False, False]
    assert kept(apply_top_p(logits, 0.9)) == [True, True, True, False]
    assert kept(apply_top_p(logits, 1.0)) == [True] * 4


def test_min_p_keeps_tokens_at_least_that_fraction_of_the_best():
    logits = log_of(0.5, 0.3, 0.15, 0.05)
    assert kept(apply_min_p(logits, 0.2)) == [True, True, True, False]
    assert kept(apply_min_p(logits, 0.7)) == [True, False, False, False]


def test_repetition_penalty_lowers_positive_and_negative_logits():
    seen = torch.tensor([[True, True, False, True]])
    out = apply_repetition_penalty(torch.tensor([[3.0, -3.0, 3.0, 0.0]]), seen, penalty=1.5)
    assert out.tolist() == [[2.0, -4.5, 3.0, 0.0]]


def test_padding_is_not_seen_even_where_its_token_is_a_real_one():
    ids = torch.tensor([[0, 0, 2], [1, 0, 3]])
    seen = mark_seen(ids, torch.tensor([2, 0]), vocab_size=4)
    assert seen.tolist() == [[False, False, True, False], [True, True, False, True]]


def test_order_of_the_rules_matters_and_is_temperature_before_top_p():
    logits = log_of(0.6, 0.3, 0.1)
    # At temperature 1 the first token alone has 0.55; at 3 the distribution is flatter, and two are needed.
    config = SamplingConfig(temperature=3.0, top_p=0.55)
    assert kept(apply_sampling(logits, config)) == [True, True, False]


# Parity with transformers


@settings(deadline=None, max_examples=150)
@given(logits=LOGITS, top_k=st.integers(1, 20), top_p=st.floats(0.01, 1.0), min_p=st.floats(0.0, 1.0))
def test_filters_equal_transformers_to_the_bit(logits, top_k, top_p, min_p):
    equal_bits(apply_top_k(logits, top_k), TopKLogitsWarper(top_k)(NO_IDS, logits.clone()))
    equal_bits(apply_top_p(logits, top_p), TopPLogitsWarper(top_p)(NO_IDS, logits.clone()))
    equal_bits(apply_min_p(logits, min_p), MinPLogitsWarper(min_p)(NO_IDS, logits.clone()))


@settings(deadline=None, max_examples=100)
@given(data=st.data(), logits=LOGITS, penalty=st.floats(0.5, 3.0))
def test_repetition_penalty_equals_transformers_to_the_bit(data, logits, penalty):
    vocab_size = logits.shape[1]
    ids = torch.tensor([data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=8))])
    seen = mark_seen(ids, torch.tensor([0]), vocab_size=vocab_size)
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(ids, logits.clone())
    equal_bits(apply_repetition_penalty(logits, seen, penalty=penalty), theirs)


@settings(deadline=None, max_examples=100)
@given(
    logits=LOGITS,
    temperature=st.floats(0.1, 3.0),
    top_k=st.integers(1, 12),
    top_p=st.floats(0.05, 0.99),
    min_p=st.floats(0.01, 0.9),
)
def test_all_rules_together_equal_transformers_in_its_order(logits, temperature, top_k, top_p, min_p):
    config = SamplingConfig(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=1.3
    )
    ids = torch.tensor([[0]])
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(1.3),
            TemperatureLogitsWarper(temperature),
            TopKLogitsWarper(top_k),
            TopPLogitsWarper(top_p),
            MinPLogitsWarper(min_p),
        ]
    )
    seen = mark_seen(ids, torch.tensor([0]), vocab_size=logits.shape[1])
    equal_bits(apply_sampling(logits, config, seen), processors(ids, logits.clone()))


# Properties


@settings(deadline=None, max_examples=100)
@given(
    logits=LOGITS,
    config=st.builds(
        SamplingConfig,
        temperature=st.one_of(st.just(0.0), st.floats(0.01, 10)),
        top_k=st.one_of(st.none(), st.integers(1, 9)),
        top_p=st.floats(0.001, 1),
        min_p=st.floats(0, 1),
    ),
)
def test_a_most_probable_token_always_stays(logits, config):
    out = apply_sampling(logits, config)
    assert (out[logits == logits.max()] > -INF).any()


@settings(deadline=None, max_examples=150)
@given(logits=LOGITS, uniform=st.floats(0, 1, exclude_max=True), ruled_out=st.integers(0, 11))
def test_a_draw_never_takes_a_token_ruled_out(logits, uniform, ruled_out):
    if logits.shape[1] > 1:
        logits[0, ruled_out % logits.shape[1]] = -INF
    token = draw_at(logits, torch.tensor([uniform], dtype=torch.float64))
    assert logits[0, token.item()] > -INF


def test_draw_at_inverts_the_cumulative_distribution():
    logits = log_of(0.2, 0.5, 0.3)
    drawn = [
        int(draw_at(logits, torch.tensor([u], dtype=torch.float64)))
        for u in (0.0, 0.19, 0.21, 0.69, 0.71, 0.99)
    ]
    assert drawn == [0, 0, 1, 1, 2, 2]


def test_draws_follow_the_distribution():
    probabilities = torch.tensor([0.1, 0.2, 0.3, 0.4])
    num_draws = 20_000
    drawn = sample_from(probabilities.log().expand(num_draws, 4), torch.Generator().manual_seed(0))
    frequencies = drawn.bincount(minlength=4) / num_draws
    # Five standard errors of a frequency are at most 5 * sqrt(0.25 / 20,000) = 0.018.
    assert_close(frequencies, probabilities, rtol=0, atol=0.018)


def test_same_generator_state_gives_same_draws():
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(1))
    first, second = (sample_from(logits, torch.Generator().manual_seed(7)) for _ in range(2))
    assert first.tolist() == second.tolist()


# Errors


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", INF),
    ],
)
def test_a_setting_that_cannot_work_names_itself_and_the_value(setting, value):
    with pytest.raises(ConfigError, match=rf"^{setting} must be .*got {value}"):
        SamplingConfig(**{setting: value})


def test_a_repetition_penalty_needs_the_tokens_already_there():
    with pytest.raises(ValueError, match="mark_seen"):
        apply_sampling(torch.zeros(1, 3), SamplingConfig(repetition_penalty=1.2))
