"""Schedules: values by hand, and properties of all."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import ConfigError
from nn2llm.optim import ScheduleConfig, lr_factor
from nn2llm.optim.schedules import constant_cooldown, cosine, inverse_sqrt, linear


def run(function, total, **options):
    return [function(step, total, **options) for step in range(total)]


def test_cosine_by_hand():
    # after two steps of warm-up, quarters of half a wave: cos 0, 45°, 90°, 135°, 180°
    root = math.sqrt(0.5)
    expected = [0.5, 1.0, (1 + root) / 2, 0.5, (1 - root) / 2, 0.0]
    assert run(cosine, 6, warmup_steps=2) == pytest.approx(expected)


def test_cosine_ends_at_its_floor():
    assert run(cosine, 3, floor=0.2) == pytest.approx([1.0, 0.6, 0.2])


def test_linear_by_hand():
    assert run(linear, 5) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert run(linear, 5, warmup_steps=3, floor=0.5) == pytest.approx([1 / 3, 2 / 3, 1, 0.75, 0.5])


def test_constant_cooldown_by_hand():
    assert run(constant_cooldown, 8, warmup_steps=2, cooldown_steps=4) == pytest.approx(
        [0.5, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    )
    assert run(constant_cooldown, 4, cooldown_steps=2, floor=0.5) == pytest.approx([1, 1, 0.75, 0.5])


def test_inverse_sqrt_by_hand():
    factors = run(inverse_sqrt, 16, warmup_steps=4)
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[15] == pytest.approx(0.5)  # four times the steps, half the rate


def test_cooldown_fraction_counts_all_steps_and_yields_to_the_warm_up():
    config = ScheduleConfig(kind="cooldown", cooldown_fraction=0.5)
    assert [lr_factor(s, 4, config) for s in range(4)] == pytest.approx([1, 1, 0.5, 0])
    short = ScheduleConfig(kind="cooldown", warmup_steps=3, cooldown_fraction=0.9)
    assert [lr_factor(s, 4, short) for s in range(4)] == pytest.approx([1 / 3, 2 / 3, 1, 0])


@settings(deadline=None)
@given(
    st.sampled_from(["cosine", "linear", "cooldown", "inverse_sqrt", "constant"]),
    st.integers(1, 60),
    st.integers(0, 60),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_every_schedule_rises_then_falls_within_bounds(kind, total, warmup, fraction, floor):
    warmup = min(warmup, total)
    config = ScheduleConfig(kind=kind, warmup_steps=warmup, cooldown_fraction=fraction, floor=floor)
    factors = [lr_factor(step, total, config) for step in range(total)]
    assert all(0 <= f <= 1 for f in factors)
    assert all(f > 0 for f in factors[:warmup])
    rise, fall = factors[:warmup], factors[max(warmup - 1, 0) :]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)
    if warmup:
        assert factors[warmup - 1] == 1
    if kind in ("cosine", "linear") and total > max(warmup, 1):
        assert factors[-1] == pytest.approx(floor)


def test_one_step_without_decay_moves():
    assert lr_factor(0, 1, ScheduleConfig(kind="constant")) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cosine(0, 0), "total_steps must be at least 1, got 0"),
        (lambda: linear(5, 5), r"step must be in \[0, 5\), got 5"),
        (lambda: cosine(-1, 5), "got -1"),
        (lambda: cosine(0, 5, warmup_steps=6), "warmup_steps must be in"),
        (lambda: constant_cooldown(0, 5, warmup_steps=3, cooldown_steps=3), "fit in total_steps=5"),
        (lambda: ScheduleConfig(kind="cosin"), "unknown schedule 'cosin'"),
        (lambda: ScheduleConfig(warmup_steps=-1), "warmup_steps must be >= 0"),
        (lambda: ScheduleConfig(cooldown_fraction=2.0), "cooldown_fraction"),
        (lambda: ScheduleConfig(floor=-0.5), "floor must be in"),
    ],
)
def test_wrong_settings_are_named(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
