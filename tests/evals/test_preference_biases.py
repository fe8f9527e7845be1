"""Biases in log-odds: by hand, and recovered from labellers whose biases are known."""

import math

import numpy as np
import pytest

from nn2llm.evals.intervals import wilson_interval
from nn2llm.evals.preference_biases import compare_biases, compute_matched_rate, fit_log_odds, sigmoid

GOLD, LENGTH = 3.0, 0.4
"""What the simulated labeller's log-odds are made of, a unit of each."""


def simulate(num_pairs, *, seed=0, length=LENGTH):
    draw = np.random.default_rng(seed)
    features = {"gold": draw.uniform(-1, 1, num_pairs), "length": draw.normal(0, 2, num_pairs)}
    features["length"] += 2 * features["gold"]  # better replies are longer: a plain correlation would mislead
    utilities = GOLD * features["gold"] + length * features["length"]
    choices = (draw.random(num_pairs) < sigmoid(utilities)).astype(float)
    return features, utilities, choices


def test_sigmoid_at_both_ends():
    assert sigmoid([-1000.0, 0.0, 1000.0]).tolist() == [0.0, 0.5, 1.0]


def test_one_feature_by_hand():
    # first preferred in 3 of 4 pairs where it has the feature: log-odds log 3, error 1 / sqrt(n q (1 - q))
    fit = fit_log_odds([1.0, 1.0, 0.0, 1.0] * 25, np.ones((100, 1)))
    assert fit.effects[0] == pytest.approx(math.log(3), rel=1e-4)
    (effect,) = compare_biases([1.0, 1.0, 0.0, 1.0] * 25, np.full(100, 0.7), {"x": np.ones(100)})
    error = math.sqrt(100 / 99) / math.sqrt(100 * 0.75 * 0.25)
    assert effect.labeller.standard_error == pytest.approx(error, rel=1e-4)
    assert effect.labeller.low == pytest.approx(math.log(3) - 1.95996 * error, rel=1e-3)
    assert effect.reward_model.estimate == pytest.approx(0.7, rel=1e-4)  # its log-odds are its score gaps
    assert effect.reward_model.standard_error == pytest.approx(0.0, abs=1e-4)
    assert effect.difference.estimate == pytest.approx(0.7 - math.log(3), rel=1e-4)
    assert effect.spread == 1.0


def test_the_fit_is_where_the_likelihood_is_flat():
    features, _, choices = simulate(500)
    x = np.stack(list(features.values()), axis=1)
    fit = fit_log_odds(choices, x)
    gradient = x.T @ (choices - sigmoid(x @ fit.effects)) / len(x)
    assert np.abs(gradient).max() < 1e-4  # the ridge's
    assert np.abs(fit.influences.sum(axis=0)).max() < 1e-3


def test_turning_pairs_round_changes_nothing():
    features, _, choices = simulate(300)
    x = np.stack(list(features.values()), axis=1)
    turn = np.where(np.arange(300) % 3, 1, -1)
    turned = fit_log_odds(np.where(turn > 0, choices, 1 - choices), x * turn[:, None])
    np.testing.assert_allclose(turned.effects, fit_log_odds(choices, x).effects, rtol=1e-6)


def test_scaling_a_feature_scales_its_effect():
    features, _, choices = simulate(300)
    x = np.stack(list(features.values()), axis=1)
    np.testing.assert_allclose(
        fit_log_odds(choices, x * [1, 100]).effects, fit_log_odds(choices, x).effects / [1, 100], rtol=1e-6
    )


def test_biases_are_recovered_and_shared_ones_agree():
    features, utilities, choices = simulate(20_000)
    # a model that learnt the labeller's utility, but is only half as decided
    gold, length = compare_biases(choices, utilities / 2, features, relative_to="gold")
    assert (gold.name, length.name) == ("gold", "length")
    for effect, truth in ((gold, GOLD), (length, LENGTH)):
        assert effect.labeller.low < truth < effect.labeller.high
        assert effect.labeller.standard_error < 0.05 * truth
        assert effect.reward_model.estimate == pytest.approx(truth / 2, rel=1e-4)
    # measured in gold, how decided each is does not matter
    assert length.reward_model_relative == pytest.approx(LENGTH / GOLD, rel=1e-4)
    assert length.labeller_relative == pytest.approx(LENGTH / GOLD, rel=0.1)


def test_a_model_without_the_bias_shows_none_though_length_and_quality_go_together():
    features, _, choices = simulate(20_000)
    _, length = compare_biases(choices, GOLD * features["gold"], features, relative_to="gold")
    assert length.reward_model.estimate == pytest.approx(0.0, abs=1e-5)
    assert length.difference.high < 0
    # leaving quality out, length gets the blame
    (alone,) = compare_biases(choices, GOLD * features["gold"], {"length": features["length"]})
    assert alone.reward_model.estimate > 0.2


def test_nothing_is_relative_to_an_effect_that_may_be_zero():
    features, utilities, choices = simulate(300)
    noise = np.random.default_rng(1).normal(0, 0.1, 300)
    gold, length = compare_biases(choices, noise, features, relative_to="gold")
    assert gold.labeller_relative == 1.0
    assert length.labeller_relative is not None
    assert gold.reward_model_relative is None
    assert length.reward_model_relative is None
    assert length.to_dict()["reward_model_relative"] is None
    unasked = compare_biases(choices, utilities, features)
    assert unasked[0].to_dict()["labeller_relative"] is None


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(300):
        features, utilities, choices = simulate(200, seed=seed)
        _, length = compare_biases(choices, utilities, features)
        held += length.labeller.low <= LENGTH <= length.labeller.high
    assert 0.91 <= held / 300 <= 0.985


def test_pairs_of_one_prompt_count_once():
    features, utilities, choices = simulate(300)
    once = compare_biases(choices, utilities, features, groups=np.arange(300))
    four = compare_biases(
        np.repeat(choices, 4),
        np.repeat(utilities, 4),
        {name: np.repeat(values, 4) for name, values in features.items()},
        groups=np.repeat(np.arange(300), 4),
    )
    for a, b in zip(once, four, strict=True):
        assert b.labeller.standard_error == pytest.approx(a.labeller.standard_error, rel=1e-6)
        assert b.difference.standard_error == pytest.approx(a.difference.standard_error, rel=1e-6)


def test_one_prompt_says_nothing_about_others(recwarn):
    (effect,) = compare_biases([0.7, 0.4, 0.6], [1.0, -0.5, 0.2], {"x": [1.0, 2.0, -1.0]}, groups=[4, 4, 4])
    assert effect.labeller.low == -math.inf
    assert effect.labeller.high == math.inf
    assert not recwarn.list


def test_a_feature_that_decides_every_choice_has_a_large_but_finite_effect():
    features, utilities, _ = simulate(300)
    choices = (features["gold"] > 0).astype(float)
    gold, _ = compare_biases(choices, utilities, features)
    assert 10 < gold.labeller.estimate < 1e6
    assert math.isfinite(gold.labeller.high)


def test_matched_rate_by_hand():
    choices = [1.0, 1.0, 0.0, 1.0, 0.0]
    lengths = [2, -1, -3, 0, 4]  # the longer one chosen: yes, no, yes, no difference, no
    golds = [0.0, 0.0, 0.0, 0.0, 0.5]
    assert compute_matched_rate(choices, lengths, golds) == wilson_interval(2, 3)
    assert compute_matched_rate(choices, lengths, golds, tolerance=0.5) == wilson_interval(2, 4)
    assert compute_matched_rate(choices, np.zeros(5), golds) is None
    with pytest.raises(ValueError, match="one length"):
        compute_matched_rate(choices, [1], golds)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_log_odds([0.5], [[1.0]]), "P >= 2"),
        (lambda: fit_log_odds([0.5, 1.5], [[1.0], [2.0]]), r"must be in \[0, 1\]"),
        (lambda: fit_log_odds([0.5, 0.5], [[1.0, 0.0], [2.0, 0.0]]), "never differs"),
        (lambda: fit_log_odds([0.5, 0.5], [[1.0], [math.nan]]), "is no number"),
        (lambda: compare_biases([1.0, 0.0], [1.0, 1.0], {"x": [0, 0]}), "nothing to compare"),
        (lambda: compare_biases([1.0, 0.0], [1.0, 1.0], {"x": [1, 2]}, groups=[1]), "one number a pair"),
    ],
)
def test_what_cannot_be_fitted(call, words):
    with pytest.raises(ValueError, match=words):
        call()
