"""Curves of quality against distance: recovered from points on them, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.evals.overoptimisation import fit_overoptimisation

D = np.linspace(0, 2.5, 12)


@given(alpha=st.floats(-2, 2), beta=st.floats(-2, 2), start=st.floats(-1, 1))
@settings(deadline=None)
def test_points_on_a_curve_give_back_its_constants(alpha: float, beta: float, start: float) -> None:
    bends = {"best_of_n": D**2, "rl": D * np.log(np.where(D > 0, D, 1))}
    for form, bend in bends.items():
        values = start + alpha * D - beta * bend
        for known in (start, None):
            fit = fit_overoptimisation(D, values, form=form, start=known)
            assert fit is not None
            assert (fit.alpha, fit.beta, fit.start) == pytest.approx((alpha, beta, start), abs=1e-9)
            assert fit.predict(D) == pytest.approx(values, abs=1e-9)
            assert fit.furthest == 2.5


def test_two_points_by_hand() -> None:
    # α - β = 0.5 at d = 1; 2α - 4β = 0.6 at d = 2: α = 0.7, β = 0.2, highest at 0.7 / 0.4
    fit = fit_overoptimisation([1, 2], [0.5, 0.6], form="best_of_n", start=0.0)
    assert fit is not None
    assert (fit.alpha, fit.beta) == pytest.approx((0.7, 0.2))
    assert fit.peak == pytest.approx((1.75, 0.7**2 / 0.8))
    assert fit.has_peaked
    # d (α - β log d): 0.5 at d = 1 is α; 2 (0.5 - β log 2) = 0.6 gives β = 0.2 / log 2
    fit = fit_overoptimisation([1, 2], [0.5, 0.6], form="rl", start=0.0)
    assert fit is not None
    assert (fit.alpha, fit.beta) == pytest.approx((0.5, 0.2 / math.log(2)))
    assert fit.peak is not None
    distance, value = fit.peak
    assert value == pytest.approx(fit.beta * distance)  # since its slope α - β log d - β is 0 there
    assert distance == pytest.approx(math.exp(0.5 / fit.beta - 1))


def test_the_peak_is_higher_than_its_surroundings() -> None:
    for form in ("best_of_n", "rl"):
        fit = fit_overoptimisation(D, 0.1 + 0.8 * D - 0.4 * D**2, form=form)
        assert fit is not None
        assert fit.peak is not None
        distance, value = fit.peak
        assert value > max(fit.predict([distance - 0.01, distance + 0.01]))


def test_a_line_has_no_peak() -> None:
    for form in ("best_of_n", "rl"):
        fit = fit_overoptimisation(D, 0.3 * D, form=form, start=0.0)
        assert fit is not None
        assert fit.beta == pytest.approx(0, abs=1e-12)
        assert fit.peak is None or fit.peak[0] > 1e9
        assert not fit.has_peaked
        rising = fit_overoptimisation(D, 0.3 * D + 0.1 * D**2, form=form, start=0.0)
        assert rising is not None
        assert rising.beta < 0
        assert rising.peak is None


def test_r_squared_is_the_part_of_the_variance_accounted_for() -> None:
    rng = np.random.default_rng(1)
    values = 0.8 * D - 0.4 * D**2 + 0.05 * rng.normal(size=len(D))
    fit = fit_overoptimisation(D, values, form="best_of_n")
    assert fit is not None
    left = ((values - fit.predict(D)) ** 2).sum()
    assert fit.r_squared == pytest.approx(1 - left / ((values - values.mean()) ** 2).sum())
    assert 0.8 < fit.r_squared < 1


def test_too_few_distances_determine_nothing() -> None:
    assert fit_overoptimisation([0, 1, 1], [0.1, 0.5, 0.4], form="best_of_n", start=0.1) is None
    assert fit_overoptimisation([0, 1], [0.1, 0.5], form="rl") is None
    assert fit_overoptimisation([], [], form="rl") is None
    assert fit_overoptimisation([0, 1, 2], [0.1, 0.5, 0.4], form="rl") is not None


def test_what_is_no_curve_is_refused() -> None:
    for distances, values, words in (
        ([0, 1], [1], r"must both be \[N\], got \(2,\) and \(1,\)"),
        ([0, -1], [1, 2], "numbers >= 0"),
        ([0, math.nan], [1, 2], "numbers >= 0"),
    ):
        with pytest.raises(ValueError, match=words):
            fit_overoptimisation(distances, values, form="rl")
    with pytest.raises(Exception, match="form"):
        fit_overoptimisation([0, 1], [1, 2], form="ppo")  # type: ignore[arg-type]
