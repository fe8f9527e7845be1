"""Curves: thinned without moving, smoothed without lag, and trends told from noise."""

import json

import numpy as np
import pytest

from nn2llm.recipe.report_series import read_course, read_series, smooth


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_line_stays_a_line_up_to_its_ends():
    values = [3.0 + 0.5 * i for i in range(20)]
    assert smooth(values, 4) == pytest.approx(values)
    assert smooth([7.0], 3) == [7.0]
    assert smooth([1.0, 2.0], 0) == [1.0, 2.0]


def test_smoothing_takes_noise_away():
    rng = np.random.default_rng(0)
    truth = np.sin(np.linspace(0, 3, 100))
    smoothed = np.array(smooth(truth + rng.normal(0, 0.2, 100), 10))
    assert np.abs(smoothed - truth).mean() < 0.07


def test_a_long_log_is_thinned_by_means_and_ends_where_it_ends(tmp_path):
    records = [{"step": step, "tokens": 10 * step, "loss": float(step)} for step in range(1, 1001)]
    curve = read_series(write(tmp_path / "metrics.jsonl", records))["loss"]
    assert len(curve.values) == 200
    assert curve.values[0] == 3.0  # mean of 1 … 5
    assert curve.steps[0] == 3.0
    assert curve.steps[-1] == 1000
    assert curve.tokens[-1] == 10_000


def test_timings_and_what_is_no_number_are_left_out(tmp_path):
    records = [
        {"step": 1, "tokens": 5, "seconds": 1.0, "mfu": 0.1, "tokens_per_s": 9, "loss": 2.0, "name": "x"},
        {"step": 2, "tokens": 9, "seconds": 2.0, "loss": float("nan"), "val_loss": 1.5},
    ]
    series = read_series(write(tmp_path / "metrics.jsonl", records))
    assert set(series) == {"loss", "val_loss"}
    assert series["loss"].values == (2.0,)
    assert series["val_loss"].steps == (2.0,)
    assert read_series(tmp_path / "absent.jsonl") == {}
    assert read_course(tmp_path / "absent.jsonl") is None


def test_a_trend_by_hand(tmp_path):
    # 40 iterations: gold rises to 0.9 in the middle and falls to 0.5; the proxy rises all the way
    golds = [0.5 + 0.02 * i for i in range(20)] + [0.9 - 0.02 * i for i in range(20)]
    records = [{"step": i + 1, "gold": gold, "reward": float(i)} for i, gold in enumerate(golds)]
    course = read_course(write(tmp_path / "metrics.jsonl", records))
    gold = course.trends["gold"]
    assert gold.start == pytest.approx(np.mean(golds[:4]))
    assert gold.end == pytest.approx(np.mean(golds[-4:]))
    assert gold.best == pytest.approx(np.mean(golds[18:22]))
    assert gold.best_step == pytest.approx(20.5)
    assert gold.has_fallen_back
    assert course.is_hacked
    flat = [record | {"reward": 1.0} for record in records]
    assert not read_course(write(tmp_path / "flat.jsonl", flat)).is_hacked


def test_few_iterations_have_no_trend(tmp_path):
    records = [{"step": i, "gold": 0.5, "reward": 0.1} for i in range(1, 10)]
    course = read_course(write(tmp_path / "metrics.jsonl", records))
    assert course.trends == {}
    assert course.num_iterations == 9
    assert not course.is_hacked
