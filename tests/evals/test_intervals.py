"""Standard errors by formula, and how often an interval holds the truth."""

import math

import numpy as np
import pytest

from nn2llm.evals.intervals import (
    bootstrap_difference,
    bootstrap_mean,
    bootstrap_ratio,
    compute_standard_error,
    wilson_interval,
)

REPEATS = 300
# of 300 intervals of 95%: 285 expected, deviation √(300 · 0.95 · 0.05) = 3.8; 4 deviations either side
FEWEST, MOST = 270, 300


def test_standard_error_by_hand():
    # mean 2.5, squared deviations 2.25, 0.25, 0.25, 2.25: s² = 5/3
    assert compute_standard_error([1, 2, 3, 4]) == pytest.approx(math.sqrt(5 / 3 / 4))


def test_a_bootstrap_mean_has_the_analytic_error_and_a_normal_interval():
    values = np.random.default_rng(0).normal(10, 3, size=1000)
    interval = bootstrap_mean(values, num_resamples=5000)
    error = compute_standard_error(values)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.standard_error == pytest.approx(error, rel=0.03)
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    narrow = bootstrap_mean(values, num_resamples=5000, level=0.5)
    assert narrow.high - narrow.low == pytest.approx(2 * 0.6745 * error, rel=0.1)


def test_a_ratio_has_the_error_of_the_delta_method():
    rng = np.random.default_rng(1)
    sizes = rng.integers(10, 200, size=800).astype(float)
    nats = 0.7 * sizes + rng.normal(0, 5, size=800)
    ratio = bootstrap_ratio(nats, sizes, num_resamples=5000)
    assert ratio.estimate == pytest.approx(nats.sum() / sizes.sum())
    residuals = nats - ratio.estimate * sizes
    error = math.sqrt((residuals**2).sum() / 800) / sizes.mean() / math.sqrt(800)
    assert ratio.standard_error == pytest.approx(error, rel=0.05)
    bits = bootstrap_ratio(nats, sizes, scale=1 / math.log(2), num_resamples=5000)
    assert bits.high == pytest.approx(ratio.high / math.log(2))


def test_a_paired_difference_is_surer_than_its_parts():
    rng = np.random.default_rng(2)
    hard = rng.normal(100, 30, size=200)  # documents differ a lot, the models hardly
    first, second = hard + 1 + rng.normal(0, 0.5, size=200), hard + rng.normal(0, 0.5, size=200)
    difference = bootstrap_difference(first, second)
    assert 0.7 < difference.low < difference.estimate < difference.high < 1.3
    assert bootstrap_mean(first).standard_error > 20 * difference.standard_error
    assert bootstrap_difference(second, first).estimate == pytest.approx(-difference.estimate)


@pytest.mark.parametrize("kind", ["normal mean", "skewed mean", "ratio", "difference"])
def test_intervals_hold_the_truth_as_often_as_they_say(kind):
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(REPEATS):
        if kind == "normal mean":
            interval, truth = bootstrap_mean(rng.normal(5, 2, 200), seed=seed, num_resamples=500), 5.0
        elif kind == "skewed mean":
            interval, truth = bootstrap_mean(rng.exponential(5, 200), seed=seed, num_resamples=500), 5.0
        elif kind == "ratio":
            sizes = rng.integers(20, 400, size=200)
            nats = sizes * rng.gamma(4, 0.25, size=200)  # mean 1 a byte, whatever the size
            interval, truth = bootstrap_ratio(nats, sizes, seed=seed, num_resamples=500), 1.0
        else:
            shared = rng.normal(0, 20, 200)
            first, second = shared + rng.normal(1, 2, 200), shared + rng.normal(0, 2, 200)
            interval, truth = bootstrap_difference(first, second, seed=seed, num_resamples=500), 1.0
        hits += interval.low <= truth <= interval.high
    assert FEWEST <= hits <= MOST


def test_bca_leans_towards_the_long_tail():
    values = np.random.default_rng(4).exponential(1, size=40)
    interval = bootstrap_mean(values)
    assert interval.high - interval.estimate > 1.1 * (interval.estimate - interval.low)


def test_the_seed_decides():
    values = np.random.default_rng(5).normal(size=50)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_memory_does_not_grow_with_the_number_of_resamples(monkeypatch):
    values = np.random.default_rng(6).normal(size=50)
    monkeypatch.setattr("nn2llm.evals.intervals._MAX_DRAWS", 120)  # two resamples at once
    piecewise = bootstrap_mean(values, num_resamples=400)
    assert piecewise.standard_error == pytest.approx(compute_standard_error(values), rel=0.15)


def test_equal_values_leave_no_doubt():
    interval = bootstrap_mean([2.0] * 10)
    assert (interval.estimate, interval.low, interval.high, interval.standard_error) == (2, 2, 2, 0)


def test_a_resample_of_empty_texts_does_no_harm():
    interval = bootstrap_ratio([1.0, 1.0, 5.0], [0, 0, 10])
    assert interval.estimate == pytest.approx(0.7)
    assert all(map(math.isfinite, (interval.low, interval.high, interval.standard_error)))


def test_wilson_by_hand():
    # 8 of 10, z = 1.96 (Wilson 1927): centre (0.8 + 0.19207)/1.38415, spread 1.41600·√(0.016 + 0.0096)
    interval = wilson_interval(8, 10)
    assert interval.estimate == 0.8
    assert interval.low == pytest.approx(0.4902, abs=1e-4)
    assert interval.high == pytest.approx(0.9433, abs=1e-4)
    assert (wilson_interval(0, 20).low, wilson_interval(20, 20).high) == (0, 1)
    assert wilson_interval(0, 20).high == pytest.approx(0.1611, abs=1e-4)


def test_wilson_covers_near_the_ends():
    rng = np.random.default_rng(7)
    intervals = [wilson_interval(rng.binomial(200, 0.97), 200) for _ in range(REPEATS)]
    assert FEWEST <= sum(interval.low <= 0.97 <= interval.high for interval in intervals) <= MOST


def test_what_has_no_interval_is_said_in_a_sentence():
    with pytest.raises(ValueError, match="an interval needs at least 2 values, got 1"):
        bootstrap_mean([1.0])
    with pytest.raises(ValueError, match="needs at least 2 values"):
        compute_standard_error([1.0])
    with pytest.raises(ValueError, match="must have the same length, got 2 and 3"):
        bootstrap_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="add up to 0"):
        bootstrap_ratio([1, 2], [0, 0])
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        bootstrap_mean([1, 2], level=95)
    with pytest.raises(ValueError, match="num_resamples must be at least 100, got 5"):
        bootstrap_mean([1, 2], num_resamples=5)
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson_interval(3, 2)
