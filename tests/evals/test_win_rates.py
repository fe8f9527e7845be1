"""Win rates counted by hand, their symmetry, and how often the intervals hold the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.evals.win_rates import (
    compare_all_pairs,
    compare_scores,
    compute_mean_score,
    compute_means_by_group,
)

scores_of_two = st.integers(2, 30).flatmap(
    lambda n: st.tuples(*(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=n, max_size=n),) * 2)
)


def test_wins_ties_and_losses_by_hand():
    result = compare_scores([1.0, 0.5, 0.0, 1.0], [0.0, 0.5, 0.5, 0.5], names=("ppo", "sft"))
    assert (result.first, result.second) == ("ppo", "sft")
    assert (result.wins, result.ties, result.losses, result.num_prompts) == (2, 1, 1, 4)
    assert result.win_rate.estimate == pytest.approx((2 + 0.5) / 4)
    assert result.difference.estimate == pytest.approx((1 + 0 - 0.5 + 0.5) / 4)
    assert not result.is_clear  # four prompts prove nothing


def test_rounding_is_no_win():
    assert compare_scores([0.1 + 0.2, 0.5], [0.3, 0.5]).ties == 2


@settings(deadline=None, max_examples=30)
@given(scores_of_two)
def test_the_rates_of_two_models_add_up_to_one(pair):
    first, second = pair
    one, other = (
        compare_scores(first, second, num_resamples=200),
        compare_scores(second, first, num_resamples=200),
    )
    assert one.win_rate.estimate + other.win_rate.estimate == pytest.approx(1)
    assert one.difference.estimate == pytest.approx(-other.difference.estimate, abs=1e-12)
    assert (one.wins, one.ties) == (other.losses, other.ties)
    assert 0 <= one.win_rate.low <= one.win_rate.estimate <= one.win_rate.high <= 1


def test_a_model_against_itself():
    scores = np.random.default_rng(0).random(50)
    result = compare_scores(scores, scores)
    assert result.win_rate.estimate == 0.5
    assert result.win_rate.low < 0.5 < result.win_rate.high  # not certain: 50 prompts were seen
    assert result.difference.low == result.difference.high == 0
    assert not result.is_clear


def test_pairing_takes_the_hardness_of_prompts_out():
    rng = np.random.default_rng(1)
    hardness = rng.random(400) * 0.8
    better = np.clip(hardness + 0.02 + rng.normal(0, 0.02, size=400), 0, 1)
    result = compare_scores(better, hardness)
    unpaired = math.hypot(
        compute_mean_score(better).standard_error, compute_mean_score(hardness).standard_error
    )
    assert result.is_clear
    assert result.difference.standard_error < unpaired / 10


def test_the_interval_of_the_win_rate_holds_the_truth():
    # P(win) 0.5, P(tie) 0.2: the true rate is 0.6. Of 200 intervals 190 expected, deviation 3.1; 4 each side
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(200):
        outcomes = rng.choice([1.0, 0.5, 0.0], p=[0.5, 0.2, 0.3], size=150)
        rate = compare_scores(outcomes, np.full(150, 0.5), num_resamples=300, seed=seed).win_rate
        held += rate.low <= 0.6 <= rate.high
    assert 178 <= held <= 200


def test_all_pairs_are_later_against_earlier():
    scores = {"base": [0.0, 0.1, 0.0], "sft": [0.5, 0.5, 0.6], "ppo": [0.9, 1.0, 0.6]}
    pairs = compare_all_pairs(scores)
    assert [(pair.first, pair.second) for pair in pairs] == [("sft", "base"), ("ppo", "base"), ("ppo", "sft")]
    assert pairs[2].win_rate.estimate == pytest.approx(2.5 / 3)


def test_all_right_is_not_certainty():
    mean = compute_mean_score([1.0] * 20)
    assert mean.estimate == mean.high == 1
    # Wilson at k = n: the lower end is n / (n + z²)
    assert mean.low == pytest.approx(20 / (20 + 1.959964**2), rel=1e-6)
    one = compute_mean_score([0.5])
    assert one.low < 0.1
    assert one.high > 0.9


def test_a_few_wins_among_many_ties_are_not_clear():
    few, many = [1.0] * 3 + [0.0] * 197, [1.0] * 12 + [0.0] * 188
    result = compare_scores(few, np.zeros(200))
    assert result.difference.low > 0  # the bootstrap is sure, and a coin gives 3 of 3 in one case of four
    assert result.num_different == 3
    assert not result.is_clear
    assert compare_scores(many, np.zeros(200)).is_clear


def test_means_by_group_keep_their_order_and_stand_on_their_own_prompts():
    values, groups = [1.0, 0.0, 0.5, 1.0, 0.0], ["b", "a", "b", "c", "a"]
    means = compute_means_by_group(values, groups)
    assert [(mean.group, mean.num_prompts, mean.mean.estimate) for mean in means] == [
        ("b", 2, 0.75),
        ("a", 2, 0.0),
        ("c", 1, 1.0),
    ]


def test_the_same_seed_gives_the_same_interval():
    scores = np.random.default_rng(3).random((2, 40))
    assert compare_scores(*scores, seed=1) == compare_scores(*scores, seed=1)
    assert compare_scores(*scores, seed=1) != compare_scores(*scores, seed=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare_scores([0.1, 0.2], [0.1]), "same length, got 2 and 1"),
        (lambda: compare_scores([0.1], [0.1]), "at least 2 values, got 1"),
        (lambda: compare_scores([0.1, math.nan], [0.1, 0.2]), "got nan for prompt 1"),
        (lambda: compute_mean_score([0.5, 1.5]), r"in \[0, 1\].*2 from 0.5 to 1.5"),
        (lambda: compute_mean_score([]), "got none"),
        (lambda: compute_mean_score([[0.5]]), r"shape \(1, 1\)"),
        (lambda: compute_means_by_group([0.5], ["a", "b"]), "1 scores and 2 groups"),
    ],
)
def test_what_cannot_be_compared_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
