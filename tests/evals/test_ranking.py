"""Strengths by hand, from simulated choices, and at the edges of what choices can say."""

import math
import random

import numpy as np
import pytest

from nn2llm.evals.preference_biases import sigmoid
from nn2llm.evals.ranking import ELO_PER_NAT, Choice, rank_by_choices


def simulate(strengths, num, *, seed=0):
    draw, names = random.Random(seed), list(strengths)
    found = []
    for _ in range(num):
        first, second = draw.sample(names, 2)
        p = float(sigmoid(np.array(strengths[first] - strengths[second])))
        found.append(Choice(first, second, float(draw.random() < p)))
    return found


def test_two_models_by_hand():
    # without the prior log(300 / 100); the prior of a tenth of a win changes the third digit
    ranking = rank_by_choices([Choice("a", "b", 1.0)] * 300 + [Choice("b", "a", 1.0)] * 100)
    assert [one.name for one in ranking] == ["a", "b"]
    gap = ranking[0].strength.estimate - ranking[1].strength.estimate
    assert gap == pytest.approx(math.log(3), abs=2e-3)
    assert ranking[0].strength.estimate == pytest.approx(-ranking[1].strength.estimate)
    assert [one.num_choices for one in ranking] == [400, 400]
    # the information of 400 choices with p = 3/4 is 75; each of the two has half of the gap
    assert ranking[0].strength.standard_error == pytest.approx(0.5 / math.sqrt(75), rel=2e-3)


def test_elo_points():
    assert ELO_PER_NAT * math.log(10) == pytest.approx(400)


def test_a_tie_is_half_a_win_for_each():
    ties = rank_by_choices([Choice("a", "b", 0.5)] * 40 + [Choice("a", "c", 1.0), Choice("c", "b", 0.5)])
    halves = rank_by_choices(
        [Choice("a", "b", 1.0), Choice("b", "a", 1.0)] * 20 + [Choice("a", "c", 1.0), Choice("b", "c", 0.5)]
    )
    for one, other in zip(ties, halves, strict=True):
        assert one.name == other.name
        assert one.strength.estimate == pytest.approx(other.strength.estimate)


def test_intervals_hold_the_truth_as_often_as_they_say():
    truth = {"a": 1.2, "b": 0.3, "c": -0.4, "d": -1.1}
    inside = total = 0
    for seed in range(60):
        for one in rank_by_choices(simulate(truth, 400, seed=seed)):
            inside += one.strength.low <= truth[one.name] <= one.strength.high
            total += 1
    assert 0.90 <= inside / total <= 0.99


def test_a_model_that_always_won_is_first_with_a_wide_interval():
    choices = [Choice("a", "b", 1.0)] * 5 + [Choice("b", "c", 1.0), Choice("c", "b", 1.0)] * 5
    best = rank_by_choices(choices)[0]
    assert best.name == "a"
    assert math.isfinite(best.strength.estimate)
    assert best.strength.high - best.strength.low > 2


def test_which_of_the_two_is_named_first_does_not_matter():
    choices = simulate({"a": 1.0, "b": 0.0, "c": -1.0}, 80)
    turned = [Choice(c.second, c.first, 1 - c.outcome) for c in reversed(choices)]
    for one, other in zip(rank_by_choices(choices), rank_by_choices(turned), strict=True):
        assert one.name == other.name
        assert one.strength.estimate == pytest.approx(other.strength.estimate)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rank_by_choices([]), "at least one choice"),
        (
            lambda: rank_by_choices([Choice("a", "b", 1.0), Choice("c", "d", 1.0)]),
            "c, d were never compared with a",
        ),
        (lambda: Choice("a", "a", 1.0), "'a' was compared with itself"),
        (lambda: Choice("a", "b", 2.0), "outcome must be between 0 and 1, got 2.0"),
    ],
)
def test_what_cannot_be(call, words):
    with pytest.raises(ValueError, match=words):
        call()
