"""Figures of a reward model: by hand, and on labellers whose probabilities are known."""

import json
import math

import numpy as np
import pytest

from nn2llm.evals.intervals import wilson_interval
from nn2llm.evals.preference_biases import sigmoid
from nn2llm.evals.reward_accuracy import (
    compute_accuracy,
    compute_agreement,
    compute_best_accuracy,
    compute_calibration,
    compute_expected_accuracy,
    evaluate_reward_model,
)


def simulate(num_pairs, *, seed=0, error=0.0):
    """Pairs of a labeller with known log-odds, turned so that the chosen one comes first.

    Returns the gaps of a model that is off by `error` (deviation), and P(the chosen one is preferred).
    """
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 1.5, num_pairs)
    seen = logits + draw.normal(0, error, num_pairs)
    turn = np.where(draw.random(num_pairs) < sigmoid(logits), 1, -1)
    return seen * turn, sigmoid(logits * turn)


def test_values_by_hand():
    gaps = [2.0, -1.0, 0.0, 0.5]
    assert compute_accuracy(gaps) == wilson_interval(2.5, 4)
    p = [0.9, 0.8, 0.6, 0.3]
    assert compute_expected_accuracy(gaps, p).estimate == pytest.approx((0.9 + 0.2 + 0.5 + 0.3) / 4)
    assert compute_best_accuracy(p) == pytest.approx((0.9 + 0.8 + 0.6 + 0.7) / 4)
    # gold prefers the first, the second, nothing, the second
    assert compute_agreement(gaps, [1.0, -0.2, 0.0, -0.3]) == wilson_interval(2, 3)
    assert compute_agreement(gaps, [1.0, -0.2, 0.0, -0.3], tolerance=0.25) == wilson_interval(1, 2)
    assert compute_agreement(gaps, np.zeros(4)) is None


def test_calibration_by_hand():
    one, two = compute_calibration([0.1, -0.2, 3.0, 4.0], num_bins=2)
    assert (one.count, two.count) == (2, 2)
    assert one.predicted == pytest.approx((1 / (1 + math.exp(-0.1)) + 1 / (1 + math.exp(-0.2))) / 2)
    assert (one.observed, two.observed) == (0.5, 1.0)
    assert one.low < 0.5 < one.high
    # with probabilities: of the model's own choices
    (only,) = compute_calibration([1.0, -1.0], [0.9, 0.3], num_bins=1)
    assert only.observed == pytest.approx((0.9 + 0.7) / 2)


def test_turning_pairs_round_changes_nothing():
    gaps, p = simulate(200, error=0.5)
    turn = np.where(np.arange(200) % 2, 1, -1)
    turned = np.where(turn > 0, p, 1 - p)
    assert compute_expected_accuracy(gaps, p) == compute_expected_accuracy(gaps * turn, turned)
    ours, theirs = compute_calibration(gaps, p), compute_calibration(gaps * turn, turned)
    assert [one.observed for one in ours] == pytest.approx([one.observed for one in theirs])


def test_the_labellers_own_utility_is_the_best_possible_and_calibrated():
    gaps, p = simulate(20_000)
    best = compute_best_accuracy(p)
    expected, seen = compute_expected_accuracy(gaps, p), compute_accuracy(gaps)
    assert expected.estimate == pytest.approx(best)
    assert seen.low <= best <= seen.high
    for one in compute_calibration(gaps):
        assert abs(one.predicted - one.observed) < 4 * math.sqrt(0.25 / one.count)
    report = evaluate_reward_model(gaps)
    assert report.calibration_slope == pytest.approx(1.0, abs=0.06)
    assert report.calibration_error < 0.02


def test_a_model_that_is_wrong_or_too_sure_shows():
    gaps, p = simulate(20_000, error=1.5)
    assert compute_expected_accuracy(gaps, p).high < compute_best_accuracy(p) - 0.02
    assert evaluate_reward_model(3 * gaps).calibration_slope < 0.3
    assert evaluate_reward_model(3 * gaps).calibration_error > 0.1
    # the luck of the draw apart, both say the same
    assert compute_accuracy(gaps).estimate == pytest.approx(
        compute_expected_accuracy(gaps, p).estimate, abs=0.02
    )


def test_a_report_holds_what_is_known_and_fits_into_json():
    gaps, p = simulate(400, error=0.3)
    lengths = np.random.default_rng(1).integers(-5, 6, 400)
    report = evaluate_reward_model(
        gaps, probabilities=p, gold_gaps=gaps + 0.1, features={"length": lengths, "never": np.zeros(400)},
        groups=np.arange(400) // 4,
    )  # fmt: skip
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["num_pairs"] == 400
    assert values["accuracy_low"] < values["accuracy"] < values["accuracy_high"]
    assert values["best_possible"] > values["expected_accuracy"] > 0.5
    assert [bias["name"] for bias in values["biases"]] == ["gold", "length"]  # what never differs is left out
    assert values["biases"][0]["labeller_relative"] == 1.0
    assert sum(one["count"] for one in values["calibration"]) == 400

    plain = evaluate_reward_model(gaps).to_dict()
    assert plain["best_possible"] is None
    assert plain["gold_agreement"] is None
    assert plain["biases"] == []
    untrained = evaluate_reward_model(np.zeros(10)).to_dict()
    assert (untrained["accuracy"], untrained["calibration_slope"]) == (0.5, None)
    assert untrained["loss"] == pytest.approx(math.log(2))
    assert evaluate_reward_model(gaps, features={"never": np.zeros(400)}).biases == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compute_accuracy([]), "one pair at least"),
        (lambda: compute_accuracy([1.0, math.nan]), "gaps must be numbers, got nan"),
        (lambda: compute_expected_accuracy([1.0, 2.0], [0.5]), "got 2 and 1"),
        (lambda: compute_best_accuracy([1.5]), r"in \[0, 1\]"),
        (lambda: compute_agreement([1.0], [1.0, 2.0]), "got 1 and 2"),
        (lambda: compute_calibration([1.0], num_bins=0), "num_bins must be at least 1"),
    ],
)
def test_what_cannot_be_measured(call, words):
    with pytest.raises(ValueError, match=words):
        call()
